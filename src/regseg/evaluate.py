"""Evaluate weights: ``python -m regseg.evaluate weights=FILE split=val``; ``--help`` lists the options."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from regseg.cli import entry_point
from regseg.config import is_typed, values_of
from regseg.errors import InputError, check_boolean, check_number, counted, typed
from regseg.run_dir import folder_of_run, write_json
from regseg.system.folders import check_no_file
from regseg.system.processes import printed_once
from regseg.system.weights_files import GRAPHS, resolve_weights, shown_weights

if TYPE_CHECKING:
    from lightning import Trainer
    from torch import nn

    from regseg.data.datamodule import SegmentationDataModule
    from regseg.data.datasets.spec import DatasetSpec
    from regseg.inference.runtime_network import RuntimeNetwork
    from regseg.system.checkpoint_file import OpenedFile
    from regseg.training.metrics import Scores
    from regseg.training.task import SegmentationTask


@entry_point("evaluate")
def main(cfg: DictConfig) -> float:
    """Print the table of one evaluation; return its mean IoU."""
    OmegaConf.resolve(cfg)
    for name in ("flip", "confusion"):
        check_boolean(name, cfg[name])
    if cfg.split is None:
        raise InputError("split=null is not a split; choose one of train, val, test, trainval.")
    if cfg.worst is not None:
        check_number("worst", cfg.worst, lowest=1, integer=True)
    if cfg.trainer.smoke:
        raise InputError("trainer=smoke is for training; use trainer.limit_val_batches=2 to evaluate a few images.")
    if cfg.weights != "position":
        with printed_once():
            cfg.weights = str(resolve_weights(cfg.weights))
    check_scales(cfg)
    # Elsewhere true and false may be names of folders (regseg.arguments.PATHS); here a folder is ./true.
    cfg.pictures = {"true": True, "false": None}.get(str(cfg.pictures).lower(), cfg.pictures)
    check_no_file("pictures", out_folder(cfg))
    if cfg.val_sizes is not None:
        if cfg.val_size is not None or cfg.pictures or cfg.worst or cfg.confusion:
            raise InputError(
                "val_sizes cannot be combined with val_size, pictures, worst or confusion; remove one of them."
            )
        return compare_sizes(cfg)
    from lightning.pytorch.utilities import rank_zero_only

    from regseg.training.progress import print_scores

    scores, datamodule, _ = evaluate(cfg)
    # In a distributed evaluation all ranks have the same scores.
    if rank_zero_only.rank:  # type: ignore[attr-defined]  # Lightning sets it at run time
        return scores.miou
    print(f"{shown_weights(cfg.weights)} on {datamodule.spec.name}, split {cfg.split}")
    print_scores(scores, datamodule.spec.excluded)
    if cfg.pictures:
        print(f"pictures: {out_folder(cfg) / 'pictures' / f'{cfg.split}.png'}")
    if cfg.worst:
        print(f"worst images: {out_folder(cfg) / 'worst.png'}, listed in worst.csv")
    return scores.miou


def check_scales(cfg: DictConfig) -> None:
    """Raise InputError unless ``scales`` is a list of factors."""
    if not OmegaConf.is_list(cfg.scales) or not cfg.scales:
        raise InputError(f"scales={typed(cfg.scales)} is not a list of factors; write 'scales=[0.75,1.0]'.")
    for scale in cfg.scales:
        check_number("scales", scale, lowest=0.01, highest=10)


def compare_sizes(cfg: DictConfig) -> float:
    """Evaluate at every one of ``val_sizes`` (Fig. 6): print the table, write JSON and curve; return the best mIoU."""
    if not OmegaConf.is_list(cfg.val_sizes) or not cfg.val_sizes:
        raise InputError(
            f"val_sizes={typed(cfg.val_sizes)} is not a list of sizes; write 'val_sizes=[512,768,1024,1280]'."
        )
    from regseg.data.decoding import LARGEST_SIDE

    for size in cfg.val_sizes:  # all of them before the first evaluation
        check_number("val_sizes", size, lowest=1, highest=LARGEST_SIDE, integer=True)
    from lightning.pytorch.utilities import rank_zero_only

    from regseg.reporting.val_sizes import draw, sizes_table

    results, file = [], open_weights(cfg)
    options = {"weights": Path(cfg.weights).name, "split": cfg.split, "flip": cfg.flip, "scales": list(cfg.scales)}
    for size in sorted(set(cfg.val_sizes)):
        with printed_once():
            print(f"short side {size}")
        scores, datamodule, images = evaluate(cast(DictConfig, OmegaConf.merge(cfg, {"val_size": size})), file)
        data = {"dataset": datamodule.spec.name, "images": images, "images_of_split": len(datamodule.val_set)}
        results.append({"val_size": size, **options, **data, "metrics": scores.metrics()})
    best = max(result["metrics"]["val/miou"] for result in results)
    if rank_zero_only.rank:  # type: ignore[attr-defined]  # as in `main`
        return best
    print(f"{shown_weights(cfg.weights)} on {datamodule.spec.name}, split {cfg.split}, labels at original size")
    sizes_table(results, reduced=bool(datamodule.spec.excluded))
    folder = folder_of_run(cfg.weights)
    write_json(folder / "val_sizes.json", results)
    draw({Path(cfg.weights).stem if folder == Path(".") else folder.name: results}, folder / "val_sizes.png")
    print(f"results and curve: {folder / 'val_sizes.json'}, {folder / 'val_sizes.png'}")
    return best


def out_folder(cfg: DictConfig) -> Path:
    """Return the folder for pictures, confusion matrix and worst images; by default the folder of the weights' run.

    ``pictures=true`` means its subfolder ``evaluation``, because its subfolder ``pictures`` is for the training.
    """
    if cfg.pictures is True:
        return folder_of_run(cfg.weights) / "evaluation"
    return Path(cfg.pictures) if cfg.pictures else folder_of_run(cfg.weights)


def open_weights(cfg: DictConfig) -> OpenedFile | None:
    """Return the checkpoint file, read; None for an exported file, another runtime or the position baseline."""
    from regseg.system.checkpoint_file import open_checkpoint_file

    return None if cfg.weights == "position" or runs_otherwise(cfg) else open_checkpoint_file(cfg.weights)


def evaluate(cfg: DictConfig, file: OpenedFile | None = None) -> tuple[Scores, SegmentationDataModule, int]:
    """Return (Scores, DataModule, number of images) of one evaluation that the resolved ``cfg`` describes.

    Args:
        cfg: The configuration.
        file: What `open_weights` returns, if the weights were read before.
    """
    from regseg.inference.tta import TestTimeAugmentation
    from regseg.reporting.confusion import draw_confusion
    from regseg.training.callbacks import Pictures
    from regseg.training.progress import EvaluationBar
    from regseg.training.task import SegmentationTask
    from regseg.training.trainer import is_limited, make_trainer, quiet
    from regseg.training.worst_images import WorstImages

    quiet()
    file = file or open_weights(cfg)
    datamodule = make_datamodule(cfg, file)
    network = make_network(cfg, datamodule, file)
    callbacks = [EvaluationBar(), *([Pictures(name=cfg.split)] if cfg.pictures else [])]
    callbacks += [WorstImages(cfg.worst, out_folder(cfg))] if cfg.worst else []
    if cfg.flip or list(cfg.scales) != [1.0]:
        network = TestTimeAugmentation(network, cfg.scales, cfg.flip)
    task = SegmentationTask(network, datamodule.spec)
    options, chosen = {"benchmark": False, **values_of(cfg.trainer)}, is_typed("trainer.precision")
    trainer = make_trainer(
        options, out_folder(cfg) if cfg.pictures else Path("."), callbacks, chosen=chosen, trains=False
    )
    began = time.perf_counter()
    validate(trainer, task, datamodule)
    total = len(datamodule.val_set)
    count = int(min(total, sum(trainer.num_val_batches) * trainer.world_size)) if is_limited(trainer) else total
    if trainer.is_global_zero:
        images = counted(total, "image") if count == total else f"{count} of the {total} images"
        print(f"{images} in {time.perf_counter() - began:.1f} s")
    if cfg.confusion and trainer.is_global_zero:
        path = out_folder(cfg) / "confusion.png"
        draw_confusion(task.counts.cpu().numpy(), datamodule.spec.classes, path)
        print(f"confusion matrix: {path}")
    return task.scores, datamodule, count


def validate(trainer: Trainer, task: SegmentationTask, datamodule: SegmentationDataModule) -> None:
    """Evaluate: on a CPU in threads, otherwise with the loader of ``datamodule``.

    Precisions such as 16-true change PyTorch's default dtype, which all threads share; there the loader is used too.
    """
    from regseg.inference.upsample import prepare
    from regseg.training.callbacks import Pictures
    from regseg.training.trainer import check_limits, is_limited

    on_cpu = trainer.world_size == 1 and trainer.strategy.root_device.type == "cpu"
    if not on_cpu or trainer.precision not in ("32-true", "16-mixed", "bf16-mixed"):
        trainer.validate(task, datamodule, verbose=False)
        return
    prepare()
    datamodule.setup("validate")
    check_limits(trainer, datamodule, "validate")
    task.trainer = trainer
    single = is_limited(trainer) or any(isinstance(callback, Pictures) for callback in cast(Any, trainer).callbacks)
    batches = task.predicted(datamodule.val_set, batch_size=1 if single else 8)  # limits and pictures count batches
    trainer.validate(task, batches, verbose=False)


def make_datamodule(cfg: DictConfig, file: OpenedFile | None = None) -> SegmentationDataModule:
    """Return the chosen dataset, or the one the checkpoint was trained on, at the chosen split and size."""
    from regseg.data.datamodule import SegmentationDataModule

    given = (("val_split", cfg.split), ("val_size", cfg.val_size))
    changes = {key: value for key, value in given if value is not None}
    if "_target_" in cfg.data:
        return instantiate(cfg.data, **changes)
    if cfg.weights == "position":
        raise InputError("weights=position needs a dataset; choose one, such as data=cityscapes.")
    if cfg.data.root is not None:
        changes["root"] = cfg.data.root
    shown = shown_weights(cfg.weights)
    return SegmentationDataModule.from_description(description_of(file or cfg.weights), shown, **changes)


def description_of(weights: str | OpenedFile) -> Mapping[str, Any] | None:
    """Return the dataset that a checkpoint or an exported file records; None if it records none."""
    from regseg.inference.runtimes import info_of
    from regseg.system.checkpoint_file import dataset_in

    return dict(info_of(str(weights)).data) or None if Path(str(weights)).suffix in GRAPHS else dataset_in(weights)


def make_network(cfg: DictConfig, datamodule: SegmentationDataModule, file: OpenedFile | None = None) -> nn.Module:
    """Return the network of ``weights`` (or of the ``file`` read from it), checked to have the dataset's classes."""
    from regseg.models.description import config_of
    from regseg.models.factory import build_model, load_model
    from regseg.models.weights import load_weights
    from regseg.system.checkpoint_file import classes_in

    spec = datamodule.spec
    check_model(cfg)
    if cfg.weights == "position":
        from regseg.inference.position_prior import position_prior

        return position_prior(datamodule)
    if runs_otherwise(cfg):
        return open_network(cfg, spec)
    if cfg.precision != "auto":
        raise InputError(
            f"precision={cfg.precision} is for other runtimes; add runtime=openvino, or set trainer.precision."
        )
    if OmegaConf.select(cfg, "model") is None:
        network = load_model(file or cfg.weights)
        fits = config_of(network)["num_classes"] == spec.num_classes
    else:
        network = build_model(**values_of(cfg.model), num_classes=spec.num_classes)
        with printed_once():
            fits = not load_weights(network, file or cfg.weights).skipped
    trained_on = classes_in(file or cfg.weights)
    if not fits or trained_on not in (None, list(spec.classes)):
        differing = next(
            (pair for pair in zip(trained_on or [], spec.classes, strict=False) if pair[0] != pair[1]), None
        )
        first = f" (the first that differs is {differing[0]}, here {differing[1]})" if differing else ""
        raise InputError(
            f"{shown_weights(cfg.weights)} was trained for other classes than the {spec.num_classes} of "
            f"{spec.name}{first}; choose the dataset it was trained on with data=NAME."
        )
    return network


def check_model(cfg: DictConfig) -> None:
    """Raise InputError if ``model`` is given but would not be used."""
    if OmegaConf.select(cfg, "model") is None or (cfg.weights != "position" and not runs_otherwise(cfg)):
        return
    what = f"runtime={cfg.runtime}" if cfg.runtime != "torch" else f"weights={shown_weights(cfg.weights)}"
    raise InputError(f"model is for checkpoints that runtime=torch evaluates, not for {what}; leave model out.")


def runs_otherwise(cfg: DictConfig) -> bool:
    """Return whether the evaluation uses another runtime than PyTorch."""
    return cfg.runtime != "torch" or Path(str(cfg.weights)).suffix in GRAPHS


def open_network(cfg: DictConfig, spec: DatasetSpec) -> RuntimeNetwork:
    """Return the runtime of ``weights``, checked to have the dataset's classes and to support the chosen options."""
    from regseg.inference.runtime_network import RuntimeNetwork
    from regseg.inference.runtimes import open_runtime
    from regseg.system.cpu import images_at_once

    if cfg.flip or list(cfg.scales) != [1.0]:
        raise InputError("flip and scales need logits, which only runtime=torch provides; give a checkpoint.")
    name = "auto" if cfg.runtime == "torch" else cfg.runtime
    runtime = open_runtime(cfg.weights, name, cfg.precision, streams=images_at_once())
    if runtime.spec.classes != spec.classes:
        raise InputError(
            f"{shown_weights(cfg.weights)} has other classes than {spec.name}; choose the dataset it was trained on "
            "with data=NAME."
        )
    if runtime.size and cfg.val_size is not None:  # each of val_sizes comes here, too
        raise InputError(
            f"{cfg.weights} accepts only images that are {runtime.size[0]} pixels high and {runtime.size[1]} wide; "
            "leave val_size and val_sizes out."
        )
    runtime.load()  # not part of the time that is printed
    return RuntimeNetwork(runtime)


if __name__ == "__main__":
    main()
