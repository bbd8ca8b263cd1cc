"""Compares resampling kernels with those of Pillow, which the author used for training."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import cv2
import numpy as np
from PIL import Image
from rich.table import Table

from regseg.data.augment.crop_resize import Window, cut_label, resize_image, scale_to
from regseg.data.datamodule import SegmentationDataModule
from regseg.data.io import read_sample

SHORT_SIDE = 400  # the smallest one of Sec. 4.2, at which kernels differ most


class Kernel(NamedTuple):
    """Results of one kernel, as means over the images.

    Attributes:
        name: The kernel's name.
        difference: Mean difference from Pillow's result in grey levels; for labels, the percentage of differing pixels.
        detail: Mean difference of horizontal neighbours in grey levels; for labels, the largest relative change of a
            class's share of the pixels in percent (classes above 0.1 %).
    """

    name: str
    difference: float
    detail: float


def compare_kernels(datamodule: SegmentationDataModule, images: int) -> list[Kernel]:
    """Shrink the first ``images`` training pairs to a short side of 400 pixels with every kernel."""
    found: dict[str, list[tuple[float, float]]] = {}
    for index in range(min(images, len(datamodule.train_set))):
        image, label = read_sample(datamodule.train_set.samples[index], datamodule.spec)
        size = scale_to(label.shape, SHORT_SIDE)
        wanted = np.asarray(Image.fromarray(image).resize(size[::-1], Image.Resampling.BILINEAR)).astype(int)
        for name, result in _images(image, size).items():
            detail = np.abs(np.diff(result.astype(int), axis=1)).mean()
            found.setdefault(name, []).append((np.abs(result - wanted).mean(), detail))
        wanted = np.asarray(Image.fromarray(label).resize(size[::-1], Image.Resampling.NEAREST))
        for name, result in _labels(label, size).items():
            change = 100 * _share_change(label, result)
            found.setdefault(name, []).append((100 * (result != wanted).mean(), change))
    return [Kernel(name, *np.mean(rows, axis=0)) for name, rows in found.items()]


def kernels_table(kernels: Iterable[Kernel]) -> Table:
    """Format the results of `compare_kernels` as a table."""
    table = Table(title=f"shrinking to a short side of {SHORT_SIDE} pixels")
    headings = (
        "kernel",
        "difference from Pillow (grey levels; labels: % of pixels)",
        "detail (labels: change of share, %)",
    )
    for heading in headings:
        table.add_column(heading, justify="left" if heading == "kernel" else "right")
    for row in kernels:
        table.add_row(row.name, f"{row.difference:.3f}", f"{row.detail:.2f}")
    return table


def _images(image: np.ndarray, size: tuple[int, int]) -> dict[str, np.ndarray]:
    pillow = np.asarray(Image.fromarray(image).resize(size[::-1], Image.Resampling.BILINEAR))
    return {
        "image, Pillow bilinear": pillow,
        "image, ours": resize_image(image, image.shape[:2], SHORT_SIDE),
        "image, OpenCV bilinear": cv2.resize(image, size[::-1], interpolation=cv2.INTER_LINEAR),
        "image, OpenCV area": cv2.resize(image, size[::-1], interpolation=cv2.INTER_AREA),
    }


def _labels(label: np.ndarray, size: tuple[int, int]) -> dict[str, np.ndarray]:
    return {
        "label, ours": cut_label(label, Window(size, (0, 0), size)),
        "label, OpenCV nearest": cv2.resize(label, size[::-1], interpolation=cv2.INTER_NEAREST),
    }


def _share_change(label: np.ndarray, small: np.ndarray) -> float:
    before, after = (np.bincount(array.ravel(), minlength=256) / array.size for array in (label, small))
    common = before > 0.001
    return float(np.abs(after[common] / before[common] - 1).max())
