"""Exports a checkpoint as one file, which is compared with PyTorch before it is written."""

from __future__ import annotations

import contextlib
import datetime
import os
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from regseg.data.augment.transforms import MEAN, STD
from regseg.data.datamodule import SegmentationDataModule
from regseg.data.datasets.spec import DatasetSpec
from regseg.errors import InputError, typed
from regseg.inference.export_check import Check, check_export, evaluation_images
from regseg.inference.export_files import replace_record, write_graph
from regseg.inference.export_info import ExportInfo, seal, unsealed
from regseg.inference.predictor import SMALLEST
from regseg.inference.torch_runtime import network_and_spec
from regseg.models.description import config_of
from regseg.system.atomic import replace_file
from regseg.system.checkpoint_file import OpenedFile, dataset_in, open_checkpoint_file
from regseg.system.provenance import version_of
from regseg.system.signals import Postponed
from regseg.system.temporary import temporary_folder
from regseg.system.weights_files import shown_weights

SUFFIXES = {"onnx": ".onnx", "openvino": ".xml", "torch": ".safetensors"}
_PRECISIONS = {
    "onnx": ("f32", "f16", "int8"),
    "openvino": ("f32", "f16", "bf16", "int8"),
    "torch": ("f32", "f16", "bf16"),
}


def export(
    weights: Path,
    out: Path,
    format: str,
    *,
    output: str = "labels",
    size: tuple[int, int] | None = None,
    precision: str = "f32",
    root: str | None = None,
    calibration_images: int = 128,
) -> ExportInfo:
    """Export a checkpoint, check the result against PyTorch, and write it to ``out``.

    Args:
        weights: a training checkpoint.
        out: the file; its suffix must be that of the format in `SUFFIXES`.
        format: ``onnx``, ``openvino`` (a pair of .xml and .bin) or ``torch`` (the weights as .safetensors).
        output: ``labels`` (B, H, W) uint8, or ``logits`` (B, C, H, W) float32.
        size: (height, width) of the images; None for any.
        precision: precision of the weights; for bf16 and int8, also of the arithmetic.
        root: the dataset's folder if it is not the one that the checkpoint records.
        calibration_images: number of training images that calibrate int8.

    Returns:
        The record in the file.

    Raises:
        InputError: an option is wrong, a package is missing, or the check failed; then nothing is written.
        OSError: the disk is full or the folder is not writable; then nothing is written.
    """
    check_choices(out, format, output, size, precision)
    file = open_checkpoint_file(weights)
    (network, spec), data = network_and_spec(file), _data(file, root)
    if precision == "int8" and data is None:
        raise _not_calibrated(file)
    info = _info(file, network, spec, precision, output, size)
    with _draft(out) as draft:
        info = _write(draft, format, network, info, data, calibration_images)
        if data is None:
            print("The checkpoint's dataset was not found; the export is checked on random images only.")
        info = _checked(draft, format, network, info, evaluation_images(data, 2))
        _move(draft, out)
    return info


@contextlib.contextmanager
def _draft(out: Path) -> Iterator[Path]:
    """Yield a path with the name of ``out`` in a hidden folder next to it; the folder is removed at the end."""
    out.parent.mkdir(parents=True, exist_ok=True)
    with temporary_folder(out.parent, out.name) as folder:
        try:
            yield folder / out.name
        except OSError as error:
            if error.filename is None or folder in Path(os.fsdecode(error.filename)).parents:
                error.filename = str(out)  # the name that the user gave
            raise


def _write(
    draft: Path,
    format: str,
    network: nn.Module,
    info: ExportInfo,
    data: SegmentationDataModule | None,
    calibration_images: int,
) -> ExportInfo:
    """Write the network in the precision of ``info``; return its record, which for int8 includes the mean IoU."""
    if info.precision != "int8":
        write_graph(draft, format, network, info)
        return info
    from regseg.inference.quantization import write_int8

    assert data is not None  # `export` checks it
    return write_int8(draft, format, network, info, data, calibration_images)


def _checked(draft: Path, format: str, network: nn.Module, info: ExportInfo, images: list[np.ndarray]) -> ExportInfo:
    """Compare a file with PyTorch and add the result to its record, which is returned."""
    checks = check_export(draft, network, info.spec, info.precision, info.size, images)
    report(checks)
    info = replace(info, provenance={**info.provenance, "checks": [check.to_dict() for check in checks]})
    replace_record(draft, format, info if format == "torch" else unsealed(info))
    if format != "torch":
        seal(draft)
    return info


def check_choices(out: Path, format: str, output: str, size: tuple[int, int] | None, precision: str) -> None:
    """Check that the options exist and fit each other.

    Raises:
        InputError: an option does not exist or does not fit the others.
    """
    choices = {"format": (format, SUFFIXES), "output": (output, ("labels", "logits"))}
    choices["precision"] = (precision, _PRECISIONS.get(format, ()))
    for name, (value, known) in choices.items():
        if value not in known:
            given = f" for format={format}" if name == "precision" else ""
            listed = ", ".join(known)
            raise InputError(f"{name}={typed(value)} does not exist{given}; choose one of {listed}.")
    if out.suffix != SUFFIXES[format]:
        raise InputError(f"out={out} does not end in {SUFFIXES[format]}, the suffix of format={format}; rename it.")
    if size is not None and min(size) < SMALLEST:
        raise InputError(f"size=[{size[0]},{size[1]}] is too small; give {SMALLEST} or more for both sides.")
    if format == "torch" and (output != "labels" or size is not None):
        raise InputError("format=torch stores weights, which have no output and no size; remove both options.")


def report(checks: list[Check]) -> None:
    """Print what the checks found; raise InputError if one failed."""
    for check in checks:
        print(check)
    if failed := next((check for check in checks if not check.passed), None):
        labels, logits = f"{failed.changed:.3%} of the labels", f"{failed.difference:.2g} of the largest logit"
        raise InputError(
            f"The export changes {labels} (allowed: {failed.allowed:.3%}) and the logits by {logits} (allowed: "
            f"{failed.allowed_difference:.2g}), so no file was written; train the weights further, or choose another "
            "precision or format."
        )


def _move(draft: Path, out: Path) -> None:
    """Move the checked file to its name; of a pair, the .xml last, because a .bin without it is not a model.

    Everything is on the disk before an earlier export is replaced, so that the replacement is quick.
    """
    parts = [draft.with_suffix(".bin"), draft] if out.suffix == ".xml" else [draft]
    for part in parts:
        with open(part, "rb") as file:
            os.fsync(file.fileno())
    with Postponed():  # a signal must not separate the files of a pair
        if len(parts) > 1:
            out.unlink(missing_ok=True)
        for part in parts:
            replace_file(part, out.with_suffix(part.suffix))


def _data(file: OpenedFile, root: str | None) -> SegmentationDataModule | None:
    """Return the checkpoint's dataset; None if it records none, or if its files are not on this machine."""
    description = dataset_in(file)
    if not isinstance(description, Mapping):
        return None
    changes = {"num_workers": 0} | ({} if root is None else {"root": root})
    if description.get("storage") == "cache":  # images that are read once need no cache
        changes["storage"] = "full"
    try:
        datamodule = SegmentationDataModule.from_description(description, shown_weights(file.path), **changes)
        datamodule.setup("validate")
        return datamodule
    except InputError:
        if root is not None:
            raise
        return None


def _not_calibrated(file: OpenedFile) -> InputError:
    if dataset_in(file) is None:
        return InputError(f"{file} records no dataset, which precision=int8 needs; export a training checkpoint.")
    return InputError(
        f"precision=int8 is calibrated on training images, and those of {file} were not found; set data.root=FOLDER to "
        "its dataset."
    )


def _info(
    file: OpenedFile, network: nn.Module, spec: DatasetSpec, precision: str, output: str, size: tuple[int, int] | None
) -> ExportInfo:
    """Return the record of an export, without the results of checks."""
    normalization = {"mean": list(MEAN), "std": list(STD)}
    data, provenance = _portable(dataset_in(file) or {}), _provenance(file.path)
    return ExportInfo(spec, precision, output, size, config_of(network), data, normalization, provenance)


def _portable(description: Mapping[str, Any]) -> dict[str, Any]:
    """Return a dataset description without what belongs to one machine: the folder, worker processes and a cache."""
    stored = {key: value for key, value in description.items() if key not in ("root", "num_workers")}
    return stored | ({"storage": "full"} if stored.get("storage") == "cache" else {})


def _provenance(weights: Path) -> dict[str, Any]:
    packages = {name: version_of(name) for name in ("regseg", "torch")}
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    return {"weights": weights.name, "created": now, **packages}
