"""Label images and videos: ``python -m regseg.predict weights=FILE source=FOLDER``; ``--help`` lists the options.

The same in Python, one image at a time::

    predictor = regseg.Predictor("runs/demo/run_seed0")
    labels = predictor(image)  # (H, W, 3) uint8 RGB -> (H, W) uint8 class indices
    picture = predictor.draw(image, labels)
    names = [predictor.spec.classes[index] for index in np.unique(labels)]
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from regseg.cli import entry_point
from regseg.config import values_of
from regseg.errors import InputError, RunFailure, check_number
from regseg.multirun import own_gpu, runs_beside_others


@entry_point("predict", repeatable=True)
def main(cfg: DictConfig) -> None:
    """Predict ``source`` into ``out``."""
    from regseg.inference.sources import is_video
    from regseg.inference.writers import check_save

    OmegaConf.resolve(cfg)
    check_number("opacity", cfg.opacity, highest=1)
    if not isinstance(cfg.overwrite, bool):
        raise InputError(f"overwrite={cfg.overwrite} is neither true nor false.")
    _ = cfg.weights, cfg.source  # raises for a value that is missing
    options = values_of(cfg)
    check_save(options["save"])
    (predict_video if is_video(cfg.source) else predict_images)(options)


def predict_images(options: dict[str, Any]) -> None:
    """Predict the images of ``source`` that are not predicted yet, those of one shard."""
    from regseg.inference import out_folder
    from regseg.inference.pipeline import predict_images
    from regseg.inference.progress import Counter
    from regseg.inference.sources import find_images, shard_of
    from regseg.inference.writers import Outputs, zip_labels

    out, overwrite = Path(options["out"]), options["overwrite"]
    items, base = find_images(options["source"], out)
    mine = shard_of(items, options["shard"], options["shards"])
    weights, predictor, labeller = open_network(options)
    pictures = {name: options[name] for name in ("overlay_format", "opacity")}
    outputs = Outputs(out, options["save"], predictor.spec, **pictures)
    record = record_of(weights, predictor, base, options)
    since = out_folder.enter(out, record, outputs.files(items), overwrite=overwrite)
    todo = [item for item in mine if overwrite or outputs.missing(item, since)]
    if len(todo) < len(mine):
        print(f"Skipping {len(mine) - len(todo)} of {len(mine)} images: already predicted.")
    with Counter(len(todo), bar=not runs_beside_others()) as counter:
        failures = predict_images(todo, labeller, outputs.write, counter.advance)
    if todo:
        print(f"{counter.summary()} into {', '.join(str(out / mode) for mode in outputs.save)}")
    if "cityscapes" in outputs.save:
        print(zip_labels(outputs, items, since))
    if failures:
        raise RunFailure(f"{len(failures)} of {len(todo)} images could not be predicted; they are named above.")


def predict_video(options: dict[str, Any]) -> None:
    """Predict a video, into one video for each of ``save``."""
    from regseg.inference import out_folder
    from regseg.inference.progress import Counter
    from regseg.inference.sources import check_out
    from regseg.inference.video import Video, drawing, predict_video, video_outputs
    from regseg.inference.writers import write_legend

    out, source, overwrite = Path(options["out"]), Path(options["source"]), options["overwrite"]
    if options["shards"] != 1:
        raise InputError(f"{source} is a video, which is not divided; leave out shards.")
    targets = video_outputs(out, source, options["save"])
    check_out(out, [source])
    Video(source).close()  # says what is wrong with it before the network is read
    weights, predictor, labeller = open_network(options)
    base = source.absolute().parent
    record = record_of(weights, predictor, base, options)
    since = out_folder.enter(out, record, targets.values(), overwrite=overwrite)
    damage = None
    for mode, target in targets.items():
        if not overwrite and out_folder.is_current(target, since):
            print(f"Skipping {target}: already predicted.")
            continue
        draw = drawing(mode, predictor.spec, options["opacity"])
        with Video(source) as video, Counter(video.count, "frames", bar=not runs_beside_others()) as counter:
            predict_video(video, labeller, draw, target, counter.advance)
            damage = video.damage
        if mode == "overlay":
            write_legend(target.with_name(f"{target.stem}_legend.png"), predictor.spec)
        print(f"{counter.summary()} into {target}{'; the sound is left out' if video.has_sound else ''}")
    if damage:
        raise RunFailure(f"{source} is damaged: it {damage}; the result lacks those frames.")


def record_of(weights: Path, predictor: Any, base: Path, options: dict[str, Any]) -> dict[str, Any]:
    """Return what decides the content of outputs of the same name, see `regseg.inference.out_folder`."""
    from regseg.inference import out_folder

    opened = {"runtime": predictor.runtime.name, "precision": predictor.runtime.precision}
    deciding = {name: options[name] for name in ("tile", "opacity")}
    return {"weights": out_folder.digest(weights), "source": str(base), **opened, **deciding}


def open_network(options: dict[str, Any]) -> tuple[Path, Any, Any]:
    """(file of the weights, Predictor, what labels an image) as the options say."""
    from regseg.inference.predictor import Predictor
    from regseg.inference.runtimes import resolve_weights
    from regseg.inference.tiles import Tiled

    weights, device = resolve_weights(options["weights"]), options["device"]
    if device == "auto" and runs_beside_others() and (gpu := own_gpu()) is not None:
        device = f"cuda:{gpu}"
    predictor = Predictor(weights, options["runtime"], options["precision"], device)
    print(f"{weights}: {predictor.spec.num_classes} classes of {predictor.spec.name}", flush=True)
    return weights, predictor, predictor if options["tile"] is None else Tiled(predictor, options["tile"])


if __name__ == "__main__":
    main()
