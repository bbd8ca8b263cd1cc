"""Label images and videos: ``python -m regseg.predict source=FOLDER``; ``--help`` lists the options.

The same in Python, one image at a time::

    predictor = regseg.Predictor("camvid_360")
    labels = predictor(image)  # (H, W, 3) uint8 RGB -> (H, W) uint8 class indices
    picture = predictor.draw(image, labels)
    names = [predictor.spec.classes[index] for index in np.unique(labels)]
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, OmegaConf

from regseg.cli import entry_point
from regseg.config import values_of
from regseg.continuation import entered
from regseg.errors import InputError, RunFailure, check_boolean, check_choice, check_number, counted
from regseg.multirun import is_one_of_several, own_gpu

if TYPE_CHECKING:
    from regseg.data.datasets.spec import DatasetSpec
    from regseg.inference.out_folder import Origin
    from regseg.inference.predictor import Predictor
    from regseg.inference.tiles import Labeller


@entry_point("predict", repeatable=True)
def main(cfg: DictConfig) -> None:
    """Predict ``source`` into ``out``."""
    from regseg.inference.sources import check_source, is_video
    from regseg.inference.writers import OVERLAY_FORMATS, check_save

    OmegaConf.resolve(cfg)
    check_number("opacity", cfg.opacity, highest=1)
    check_boolean("overwrite", cfg.overwrite)
    _ = cfg.weights, cfg.source  # raises if a value is missing
    options = values_of(cfg)
    check_source(options["source"])
    check_save(options["save"])
    check_choice("overlay_format", options["overlay_format"], OVERLAY_FORMATS)
    (predict_video if is_video(cfg.source) else predict_images)(options)


def predict_images(options: dict[str, Any]) -> None:
    """Predict the images of one shard of ``source`` that are not predicted yet."""
    from regseg.inference import out_folder
    from regseg.inference.pipeline import predict_images
    from regseg.inference.progress import Counter
    from regseg.inference.sources import find_images, shard_of
    from regseg.inference.writers import Outputs, zip_labels

    out = Path(options["out"])
    items = find_images(options["source"], out)
    mine = shard_of(items, options["shard"], options["shards"])
    settings, predictor, labeller = open_network(options)
    pictures = {name: options[name] for name in ("overlay_format", "opacity")}
    outputs = Outputs(out, options["save"], predictor.spec, **pictures)
    origins = outputs.origins(items, settings)
    files = {path: origins[path] for item in mine for path in outputs.paths(item).values()}
    out_folder.enter(out, files, overwrite=options["overwrite"])
    entered()
    with out_folder.writing(out, files):
        missing = out_folder.missing(out, files)
        todo = [item for item in mine if not missing.isdisjoint(outputs.paths(item).values())]
        if len(todo) < len(mine):
            print(f"Skipping {len(mine) - len(todo)} of {counted(len(mine), 'image')}: already predicted.")
        if todo and "cityscapes" in outputs.save:
            (out / out_folder.ARCHIVE).unlink(missing_ok=True)  # of an earlier command
        if todo:
            made = [path for item in todo for path in outputs.paths(item).values()]
            out_folder.record_computed_by(out, made, description_of(predictor))
            predictor.runtime.load()
        with Counter(len(todo), bar=not is_one_of_several()) as counter:
            failures = predict_images(todo, labeller, outputs.write, counter.advance)
        if len(failures) < len(todo):
            print(f"{counter.summary(len(failures))} into {', '.join(str(out / mode) for mode in outputs.save)}")
        for note in (out_folder.of_other_settings(out, files), out_folder.note_on_runtimes(out, origins)):
            if note:
                print(note)
        if "cityscapes" in outputs.save:
            with out_folder.locked(out):  # otherwise another shard may add the last result in between
                print(zip_labels(outputs, items, out_folder.missing(out, origins)))
    if failures:
        raise RunFailure(f"{len(failures)} of {counted(len(todo), 'image')} could not be predicted; see above.")


def predict_video(options: dict[str, Any]) -> None:
    """Predict a video; write one video for each mode in ``save``."""
    from regseg.inference import out_folder
    from regseg.inference.sources import check_out
    from regseg.inference.video import video_outputs
    from regseg.inference.video_reader import Video

    out, source = Path(options["out"]), Path(options["source"])
    if (options["shard"], options["shards"]) != (0, 1):
        raise InputError(f"{source} is a video, which cannot be divided into shards; remove shard and shards.")
    targets = video_outputs(out, source, options["save"])
    check_out(out, [source])
    Video(source).close()  # reports a bad file before the network is loaded
    settings, predictor, labeller = open_network(options)
    files = {mode: video_origins(mode, target, source, settings, options) for mode, target in targets.items()}
    everything = {path: origin for part in files.values() for path, origin in part.items()}
    out_folder.enter(out, everything, overwrite=options["overwrite"])
    damages = []
    entered()
    with out_folder.writing(out, everything):
        missing = out_folder.missing(out, everything)
        for mode, target in targets.items():
            if missing.isdisjoint(files[mode]):
                print(f"Skipping {target}: already predicted.")
                continue
            out_folder.mark(out, [target], incomplete=True)
            out_folder.record_computed_by(out, files[mode], description_of(predictor))
            predictor.runtime.load()
            damages.append(write_video(mode, target, source, predictor.spec, labeller, options["opacity"]))
            out_folder.mark(out, [target], incomplete=damages[-1] is not None)
    if note := out_folder.of_other_settings(out, everything):
        print(note)
    if damage := next((one for one in damages if one), None):
        raise RunFailure(f"{source} is damaged: it {damage}; those frames are missing from the result.")


def video_origins(
    mode: str, target: Path, source: Path, settings: dict[str, Any], options: dict[str, Any]
) -> dict[Path, Origin]:
    """Return the files of one mode, with what determines their content; see `regseg.inference.out_folder`."""
    from regseg.inference.out_folder import Origin
    from regseg.inference.writers import settings_of

    origin = Origin(os.path.abspath(source), settings_of(mode, settings, options["opacity"]))
    return dict.fromkeys([target, *([legend_of(target)] if mode == "overlay" else [])], origin)


def write_video(
    mode: str, target: Path, source: Path, spec: DatasetSpec, labeller: Labeller, opacity: float
) -> str | None:
    """Write one video; return what could not be read of the source, as the end of a sentence."""
    from regseg.inference.progress import Counter
    from regseg.inference.video import drawing, predict_video
    from regseg.inference.video_reader import Video
    from regseg.inference.writers import write_legend

    draw = drawing(mode, spec, opacity)
    with Video(source) as video, Counter(video.count, "frames", bar=not is_one_of_several()) as counter:
        predict_video(video, labeller, draw, target, counter.advance)
    if mode == "overlay":
        write_legend(legend_of(target), spec)
    print(f"{counter.summary()} into {target}{' (without sound)' if video.has_sound else ''}")
    return video.damage


def legend_of(target: Path) -> Path:
    """Return the path of the legend next to a video."""
    return target.with_name(f"{target.stem}_legend.png")


def open_network(options: dict[str, Any]) -> tuple[dict[str, Any], Predictor, Labeller]:
    """Return (settings that determine the labels, Predictor, function that labels an image) for the options.

    The settings contain ``auto`` as given, because shards on different machines have the same settings.
    """
    from regseg.inference.tiles import Tiled
    from regseg.system.weights_files import shown_weights

    tile, short_side = options["tile"], options["short_side"]
    if tile is not None:
        if short_side not in ("auto", None):
            raise InputError("tile is for images at their full size; leave short_side out.")
        short_side = None
    weights, digest, predictor = open_predictor(options, short_side)
    if tile is not None and predictor.runtime.size:
        height, width = predictor.runtime.size
        raise InputError(
            f"{weights} accepts only images that are {height} pixels high and {width} wide; leave tile out."
        )
    print(
        f"{Path(shown_weights(weights)).name}: {predictor.spec.num_classes} classes of {predictor.spec.name}",
        flush=True,
    )
    settings = {"weights": digest, **{name: options[name] for name in ("runtime", "precision", "tile")}}
    settings["short_side"] = predictor.short_side
    return settings, predictor, predictor if tile is None else Tiled(predictor, tile)


def description_of(predictor: Predictor) -> str:
    """Return what computes the labels, such as "openvino in bf16"."""
    return f"{predictor.runtime.name} in {predictor.runtime.precision}"


def open_predictor(options: dict[str, Any], short_side: int | str | None) -> tuple[Path, str, Predictor]:
    """Return the file of the weights, its digest and its Predictor; one of several processes gets its own GPU."""
    from regseg.inference.out_folder import digest
    from regseg.inference.predictor import Predictor
    from regseg.inference.runtimes import runtime_for
    from regseg.system.weights_files import resolve_weights

    weights, runtime, device = resolve_weights(options["weights"]), options["runtime"], options["device"]
    if device == "auto" and is_one_of_several() and runtime_for(weights, runtime, device) == "torch":
        gpu = own_gpu()
        device = device if gpu is None else f"cuda:{gpu}"
    while True:
        found = digest(weights)
        predictor = Predictor(weights, runtime, options["precision"], device, short_side=short_side)
        if digest(weights) == found:  # otherwise a training replaced the file
            return weights, found, predictor


if __name__ == "__main__":
    main()
