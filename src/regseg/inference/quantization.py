"""Quantization to 8-bit integers with NNCF, calibrated on images of the training split."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import nn

from regseg.errors import InputError
from regseg.inference.conversion import to_onnx, to_openvino
from regseg.inference.export_info import ExportInfo
from regseg.inference.exported_runtime import require
from regseg.inference.folding import ExportNetwork

if TYPE_CHECKING:
    from regseg.data.datamodule import SegmentationDataModule
    from regseg.inference.runtimes import Runtime


# Loss of the mean IoU, as a fraction. A small RegSeg on synthetic streets lost 0.002.
_LARGEST_LOSS = 0.02


def write_int8(
    path: Path, format: str, network: nn.Module, info: ExportInfo, data: SegmentationDataModule, images: int
) -> ExportInfo:
    """Quantize a network, write it, and compare the mean IoU of both networks on the validation split.

    Args:
        path: the file.
        format: ``onnx`` or ``openvino``.
        network: the network.
        info: the record to store.
        data: the dataset of the checkpoint.
        images: number of training images for the calibration.

    Returns:
        The record, with both values of the mean IoU in its provenance.

    Raises:
        InputError: a package is missing, there is no training image, or int8 loses too much.
    """
    from regseg.inference.export_files import save_onnx, save_openvino, write_graph
    from regseg.inference.runtimes import open_runtime

    float_path = path.with_name(f"f32{path.suffix}")
    write_graph(float_path, format, network, replace(info, precision="f32"))
    batches = list(_calibration(data, images, info.size))
    graph = ExportNetwork(network, info.output)
    model: Any = to_onnx(graph, info.size) if format == "onnx" else to_openvino(graph, info.size)
    quantized = quantize(model, batches, format)
    (save_onnx if format == "onnx" else save_openvino)(path, quantized, info)
    runtime = "onnxruntime" if format == "onnx" else "openvino"
    before = mean_iou(open_runtime(float_path, runtime, "f32", "cpu"), data)
    after = mean_iou(open_runtime(path, runtime, fused=True, quiet=True), data)
    print(f"mIoU on {len(data.val_set)} images: float32 {100 * before:.2f}, int8 {100 * after:.2f}")
    check_loss(before, after)
    scores = {"miou_f32": before, "miou_int8": after, "images": len(data.val_set), "calibration": len(batches)}
    return replace(info, provenance={**info.provenance, "int8": scores})


def check_loss(before: float, after: float) -> None:
    """Raise InputError unless the mean IoU in int8 is nearly that in float32 (fractions)."""
    if not after >= before - _LARGEST_LOSS:
        raise InputError(
            f"The mean IoU is {100 * after:.2f} in int8 and {100 * before:.2f} in float32 (allowed loss: "
            f"{100 * _LARGEST_LOSS:g}), so no file was written; use more calibration_images or precision=f32."
        )


def quantize(model: Any, batches: list[np.ndarray], format: str) -> Any:
    """Return a model in int8, calibrated with ``batches`` (1, H, W, 3) uint8.

    Args:
        model: an `onnx.ModelProto` or an `openvino.Model`.
        batches: images of any sizes.
        format: ``onnx`` or ``openvino``.

    Raises:
        InputError: NNCF is not installed.
    """
    nncf = require("nncf", format, "precision=int8")
    logging.getLogger("nncf").setLevel(logging.ERROR)
    feed = (lambda batch: {"images": batch}) if format == "onnx" else (lambda batch: batch)
    dataset = nncf.Dataset(batches, feed)
    # MIXED, because unsigned activations after ReLU gain a bit by an asymmetric range.
    return nncf.quantize(model, dataset, preset=nncf.QuantizationPreset.MIXED, subset_size=len(batches))


def mean_iou(runtime: Runtime, data: SegmentationDataModule) -> float:
    """Return the mean IoU of a runtime on the validation split, as a fraction."""
    import torch

    from regseg.inference.runtime_network import label_at
    from regseg.training.metrics import ConfusionMatrix, Scores

    matrix = ConfusionMatrix(data.spec.num_classes)
    for index in range(len(data.val_set)):
        sample = data.val_set[index]
        labels = label_at(runtime, sample["image"], sample["label"].shape)
        matrix.update(torch.from_numpy(labels), torch.from_numpy(sample["label"]))
    return Scores.from_confusion(matrix.compute(), data.spec).miou


def _calibration(data: SegmentationDataModule, count: int, size: tuple[int, int] | None) -> Iterator[np.ndarray]:
    """Whole images of the training split, spread over it, as (1, H, W, 3) uint8."""
    from regseg.data.datasets.layout import list_samples
    from regseg.data.torch_datasets import EvaluationSet
    from regseg.inference.predictor import at_size

    samples = list_samples(data.dataset, data.train_split)
    samples = samples[:: max(1, len(samples) // count)][:count]
    if not samples:
        raise InputError(f"The split {data.train_split} has no images to calibrate with; give data.root=FOLDER.")
    images = EvaluationSet(samples, data.open(samples), data.val_size)
    for index in range(len(images)):
        yield np.ascontiguousarray(at_size(images[index]["image"], size)[None])
