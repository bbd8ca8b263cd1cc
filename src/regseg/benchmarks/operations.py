"""Measures how fast each operation of RandAug is, compared with Pillow's."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from statistics import median
from typing import NamedTuple

import cv2
import numpy as np
from PIL import Image, ImageEnhance, ImageOps
from rich.table import Table

from regseg.data.augment import pil_ops as operations
from regseg.data.augment.transforms import FILL

TURN = 10  # calls of one implementation before the next one takes over


class OperationTime(NamedTuple):
    """Median milliseconds of one operation of RandAug.

    Attributes:
        name: The operation's name.
        pillow: Pillow, from a Pillow image to a Pillow image.
        on_arrays: Pillow, from an array to an array, as albumentations passes images.
        ours: `regseg.data.augment.pil_ops`, from an array to an array.
    """

    name: str
    pillow: float
    on_arrays: float
    ours: float


def benchmark_operations(image: np.ndarray | None = None, rounds: int = 10) -> list[OperationTime]:
    """Time each operation of RandAug at magnitude 0.2 against Pillow's, on one thread.

    The implementations alternate every `TURN` calls, so that other load on the machine affects all of them equally.
    If they alternated every call, each would find the other's data in the processor's cache.

    Args:
        image: (H, W, 3) uint8 RGB; None for blurred noise of 768x768, the size of a training crop.
        rounds: Counted rounds, after a warm-up round.

    Returns:
        One result per operation.
    """
    image = _blurred_noise(768) if image is None else np.ascontiguousarray(image)
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        return [
            OperationTime(name, *_alternate(functions, rounds))
            for name, *functions in _implementations(image, Image.fromarray(image))
        ]
    finally:
        cv2.setNumThreads(threads)


def operations_table(times: Iterable[OperationTime]) -> Table:
    """Format the results of `benchmark_operations` as a table of at most 80 characters."""
    table = Table(title="RandAug operations, one thread")
    for column in ("operation", "Pillow\nms", "Pillow on\narrays, ms", "ours\nms", "speedup", "speedup\non arrays"):
        table.add_column(column, justify="left" if column == "operation" else "right")
    for row in times:
        milliseconds = (f"{value:.2f}" for value in (row.pillow, row.on_arrays, row.ours))
        table.add_row(row.name, *milliseconds, *(f"{value / row.ours:.1f}" for value in (row.pillow, row.on_arrays)))
    return table


def _implementations(array: np.ndarray, image: Image.Image) -> Iterator[tuple[str, Callable, Callable, Callable]]:
    """Yield (name, Pillow, Pillow on arrays, ours) of every operation."""
    rotate = partial(Image.Image.rotate, angle=6, resample=Image.Resampling.BILINEAR, fillcolor=FILL)
    pairs: dict[str, tuple[Callable, Callable]] = {
        "autocontrast": (ImageOps.autocontrast, operations.autocontrast),
        "equalize": (ImageOps.equalize, operations.equalize),
        "rotate": (rotate, partial(operations.rotate, degrees=6, fill=FILL)),
    }
    for name in ("color", "contrast", "brightness", "sharpness"):
        enhancer = getattr(ImageEnhance, name.capitalize())
        pairs[name] = (partial(_enhance, enhancer), partial(getattr(operations, name), factor=1.18))
    for name, (pillow, ours) in pairs.items():
        yield name, partial(pillow, image), partial(_on_arrays, pillow, array), partial(ours, array)


def _enhance(enhancer: Callable, image: Image.Image) -> Image.Image:
    return enhancer(image).enhance(1.18)


def _on_arrays(operation: Callable[[Image.Image], Image.Image], array: np.ndarray) -> np.ndarray:
    return np.asarray(operation(Image.fromarray(array)))


def _alternate(functions: Iterable[Callable[[], object]], rounds: int) -> list[float]:
    """Return the median milliseconds of each function, called alternately."""
    functions = list(functions)
    times: list[list[float]] = [[] for _ in functions]
    for number in range(-1, rounds):
        for function, own in zip(functions, times, strict=True):
            turn = [_milliseconds(function) for _ in range(TURN)]
            own += turn if number >= 0 else []
    return [median(own) for own in times]


def _milliseconds(function: Callable[[], object]) -> float:
    began = time.perf_counter()
    function()
    return 1000 * (time.perf_counter() - began)


def _blurred_noise(size: int) -> np.ndarray:
    """Return noise whose neighbouring pixels are similar, as in a photograph: histograms then take longer."""
    noise = np.random.default_rng(0).normal(128, 1, (size, size, 3)).astype(np.float32)
    blurred = cv2.GaussianBlur(noise, (0, 0), 4) - 128
    return np.clip(128 + 40 * blurred / blurred.std(), 0, 255).astype(np.uint8)
