"""Values of ``auto``: what follows from the images found and from the model (experiment=finetune)."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from regseg.config import values_of
from regseg.errors import check_number, typed
from regseg.system.processes import printed_once
from regseg.system.weights_files import list_weights, network_of

EPOCHS, ITERATIONS = 100, 2000  # train for at least this many epochs and this many iterations
EVALUATIONS = 20  # approximate number of evaluations during the training
LARGEST_SIDE, LARGEST_CROP = 1024, 768  # pixels; larger photographs are resized
SCALES = (0.4, 1.6)  # factors on the short side, as in Sec. 4.2 for CamVid
SEEN = 50  # largest number of images whose sizes are read
_AUTO = (
    "data.batch_size",
    "data.crop_size",
    "data.short_side",
    "data.val_size",
    "trainer.max_epochs",
    "callbacks.evaluation.every",
)


def fill_in(cfg: DictConfig) -> None:
    """Replace every ``auto`` of a resolved training configuration, in place, by a value that fits images and model.

    ``weights`` becomes the name of the shipped weights of this model, or null if there are none.
    ``data.short_side`` is 0.4 to 1.6 times the images' short side, ``data.crop_size`` at most their size and 768x768;
    photographs with a short side above 1024 pixels count as if resized to it. ``data.val_size`` is that short side.
    ``trainer.max_epochs`` is 100, or as many as 2,000 iterations need. The batch size per
    device is 8, or the number of images per device if that is smaller.

    Raises:
        InputError: there are no images.
    """
    if cfg.weights == "auto":
        cfg.weights = weights_of(values_of(cfg.model), cfg.weights_part)
    wanted = [name for name in _AUTO if OmegaConf.select(cfg, name) == "auto"]
    if not wanted:
        return
    images, trainer = training_images(values_of(cfg.data)), values_of(cfg.trainer)
    values = sizes(images_sizes(images))
    per_process = len(images) // processes(trainer)
    values["data.batch_size"] = max(1, min(8, per_process))
    if cfg.trainer.max_epochs != "auto":
        check_number("trainer.max_epochs", cfg.trainer.max_epochs, lowest=1, integer=True)
    if cfg.data.batch_size != "auto":
        check_number("data.batch_size", cfg.data.batch_size, lowest=1, integer=True)
    batch = values["data.batch_size"] if cfg.data.batch_size == "auto" else cfg.data.batch_size
    accumulated = trainer.get("accumulate_grad_batches", 1)
    check_number("trainer.accumulate_grad_batches", accumulated, lowest=1, integer=True)
    batches = _limited(per_process // batch, trainer.get("limit_train_batches"))
    per_epoch = max(1, -(-batches // accumulated))
    values["trainer.max_epochs"] = max(EPOCHS, -(-ITERATIONS // per_epoch))
    epochs = values["trainer.max_epochs"] if cfg.trainer.max_epochs == "auto" else cfg.trainer.max_epochs
    values["callbacks.evaluation.every"] = max(1, epochs // EVALUATIONS)
    for name in wanted:
        OmegaConf.update(cfg, name, values[name])
    if not cfg.trainer.smoke:  # a smoke test shrinks them
        with printed_once():
            print("From the images found: " + ", ".join(f"{name}={typed(values[name])}" for name in wanted))


def _limited(batches: int, limit: Any) -> int:
    """Return the batches per epoch under ``trainer.limit_train_batches``; limits that Lightning refuses are ignored."""
    if isinstance(limit, float) and 0 <= limit <= 1:
        return int(limit * batches)
    return min(batches, limit) if isinstance(limit, int) and limit >= 0 else batches


def training_images(data: Mapping[str, Any]) -> list[Path]:
    """Return the image files of the training split, from the options of a dataset of which some may be ``auto``."""
    from regseg.data.datasets.layout import list_samples

    plain = {"batch_size": 1, "crop_size": [32, 32], "short_side": [32, 32], "val_size": None}
    known = {key: plain[key] if value == "auto" else value for key, value in data.items() if key != "augment"}
    return [sample.image for sample in list_samples(instantiate(known).dataset, data["train_split"])]


def processes(trainer: Mapping[str, Any]) -> int:
    """Return the number of processes that the arguments of a Trainer ask for; 1 for values that it refuses."""
    devices, nodes = trainer.get("devices", 1), trainer.get("num_nodes", 1)
    if devices in ("auto", -1, "-1") and trainer.get("accelerator", "auto") in ("auto", "gpu", "cuda"):
        import torch

        devices = torch.cuda.device_count()
    if isinstance(devices, str):  # such as 2 or 0,1
        devices = int(devices) if devices.isdecimal() else [one for one in devices.split(",") if one]
    count = len(devices) if isinstance(devices, list) else devices
    return max(1, math.prod(number for number in (count, nodes) if isinstance(number, int)))


def weights_of(model: Mapping[str, Any], part: str = "all") -> str | None:
    """Return the name of the shipped weights of a model; None if there are none.

    Args:
        model: the model's node of the configuration.
        part: ``backbone`` if the decoder may differ.
    """
    ours = {"name": model.get("name"), "backbone": _name_in(model, "backbone"), "decoder": _name_in(model, "decoder")}
    compared = ("name", "backbone") if part == "backbone" else tuple(ours)
    for name in list_weights():
        network = network_of(name)
        if all(ours[key] == network.get(key) for key in compared):
            return name
    return None


def _name_in(model: Mapping[str, Any], part: str) -> Any:
    """Return the name of a model's backbone or decoder; None for custom dilation rates."""
    given = model.get(part)
    if not isinstance(given, Mapping):
        return given if isinstance(given, str) else None
    return given.get("name") if given.get("dilations") is None else None


def images_sizes(paths: Sequence[Path]) -> list[tuple[int, int]]:
    """Return (height, width) in pixels of up to `SEEN` images, spread over ``paths``, as `read_image` returns them."""
    from regseg.data.io import read_image

    chosen = paths[:: max(1, len(paths) // SEEN)][:SEEN]
    return [read_image(path).shape[:2] for path in chosen]


def sizes(found: Sequence[tuple[int, int]]) -> dict[str, Any]:
    """Crop, range of short sides and evaluation size for images of these (height, width)."""
    height, width = (int(statistics.median(side)) for side in zip(*found, strict=True))
    short = min(height, width)
    scale = min(1.0, LARGEST_SIDE / short)
    base = round(short * scale)
    return {
        "data.crop_size": [max(32, min(round(side * scale), LARGEST_CROP)) for side in (height, width)],
        "data.short_side": [max(32, round(factor * base)) for factor in SCALES],
        "data.val_size": max(32, base),  # recorded in checkpoints: prediction reduces larger photographs to it
    }
