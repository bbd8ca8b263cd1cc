"""How fast each operation of RandAug is, beside Pillow's."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from functools import partial
from statistics import median
from typing import NamedTuple

import cv2
import numpy as np
from PIL import Image, ImageEnhance, ImageOps
from rich.table import Table

from regseg.data import operations
from regseg.data.transforms import FILL


class OperationTime(NamedTuple):
    """Median milliseconds of one operation of RandAug, by Pillow and by `regseg.data.operations`."""

    name: str
    pillow: float
    ours: float

    @property
    def ratio(self) -> float:
        return self.pillow / self.ours


def benchmark_operations(image: np.ndarray | None = None, repeats: int = 50) -> list[OperationTime]:
    """Time each operation of RandAug at magnitude 0.2 against Pillow's, on one thread.

    Pillow works on an image that is already one of its own, ours on an array. The two take turns, so that whatever
    else the machine does meets both.

    Args:
        image: (H, W, 3) uint8 RGB; None for blurred noise of 768x768, the size of a training crop.
        repeats: how often each is timed.
    """
    image = _blurred_noise(768) if image is None else np.ascontiguousarray(image)
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        return [
            OperationTime(name, *_alternate(pillow, ours, repeats))
            for name, pillow, ours in _pairs(image, Image.fromarray(image))
        ]
    finally:
        cv2.setNumThreads(threads)


def operations_table(times: Iterable[OperationTime]) -> Table:
    """What `benchmark_operations` found, for a console."""
    table = Table(title="RandAug operations, one thread")
    for column in ("operation", "Pillow ms", "ours ms", "times as fast"):
        table.add_column(column, justify="left" if column == "operation" else "right")
    for row in times:
        table.add_row(row.name, f"{row.pillow:.2f}", f"{row.ours:.2f}", f"{row.ratio:.1f}")
    return table


def _pairs(array: np.ndarray, pillow: Image.Image) -> Iterable[tuple[str, Callable[[], object], Callable[[], object]]]:
    """(name, Pillow's, ours) of every operation."""
    yield "autocontrast", lambda: ImageOps.autocontrast(pillow), lambda: operations.autocontrast(array)
    yield "equalize", lambda: ImageOps.equalize(pillow), lambda: operations.equalize(array)
    bilinear = Image.Resampling.BILINEAR
    yield "rotate", lambda: pillow.rotate(6, bilinear, fillcolor=FILL), lambda: operations.rotate(array, 6, FILL)
    for name in ("color", "contrast", "brightness", "sharpness"):
        enhancer, function = getattr(ImageEnhance, name.capitalize()), getattr(operations, name)
        yield name, partial(lambda make: make(pillow).enhance(1.18), enhancer), partial(function, array, 1.18)


def _alternate(first: Callable[[], object], second: Callable[[], object], repeats: int) -> tuple[float, float]:
    """Median milliseconds of both, after one call of each that does not count."""
    first(), second()
    times = [(_milliseconds(first), _milliseconds(second)) for _ in range(repeats)]
    return median(time for time, _ in times), median(time for _, time in times)


def _milliseconds(function: Callable[[], object]) -> float:
    began = time.perf_counter()
    function()
    return 1000 * (time.perf_counter() - began)


def _blurred_noise(size: int) -> np.ndarray:
    """Neighbouring pixels alike, as in a photograph: histograms take longer then than on noise."""
    noise = np.random.default_rng(0).normal(128, 1, (size, size, 3)).astype(np.float32)
    blurred = cv2.GaussianBlur(noise, (0, 0), 4) - 128
    return np.clip(128 + 40 * blurred / blurred.std(), 0, 255).astype(np.uint8)
