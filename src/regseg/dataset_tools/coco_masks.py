"""Masks of COCO annotations: polygons, and compressed or uncompressed run-length encodings."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from regseg.errors import InputError, shortened

_FEWEST_POINTS = 3  # of a polygon; pycocotools takes two points for a box
_BITS = 40  # of a run length; more would be larger than any image
_OUTSIDE = 4  # how far a polygon may reach outside of its image, as a multiple of the image's side


def draw_objects(
    objects: Iterable[Mapping[str, Any]], values: Mapping[Any, int], height: int, width: int
) -> np.ndarray:
    """Draw the objects of an image into a label.

    A pixel shows the smallest object that covers it, or the last one of several of the same size. Masks are decoded one
    at a time, because an image may have hundreds of them.

    Args:
        objects: the annotations of the image.
        values: category id -> value in the label.
        height: height of the image, in pixels.
        width: width of the image, in pixels.

    Returns:
        (H, W) uint8, 0 where there is no object.

    Raises:
        ValueError: a mask does not fit the image. Damaged annotations raise other exceptions, too.
        InputError: there are polygons, and pycocotools is not installed.
    """
    label = np.zeros((height, width), np.uint8)
    shown = np.full((height, width), height * width, np.uint32)  # size of the object that each pixel shows
    for entry in objects:
        mask = decode_mask(entry["segmentation"], height, width)
        size = np.count_nonzero(mask)
        mask &= size <= shown
        label[mask], shown[mask] = values[entry["category_id"]], size
    return label


def decode_mask(segmentation: Any, height: int, width: int) -> np.ndarray:
    """Return the (H, W) bool mask of a list of polygons, or of a compressed or uncompressed run-length encoding."""
    if isinstance(segmentation, list):
        coco = _pycocotools()
        polygons = [_polygon(one, height, width) for one in segmentation]
        return coco.decode(coco.merge(coco.frPyObjects(polygons, height, width))).astype(bool)
    counts = segmentation["counts"]
    runs = counts if isinstance(counts, list) else _run_lengths(counts)
    if list(segmentation["size"]) != [height, width] or min(runs) < 0 or sum(runs) != height * width:
        # pycocotools would fill missing pixels with whatever is in memory.
        raise ValueError(f"a mask of the size {shortened(segmentation['size'])} with {shortened(sum(runs))} pixels")
    return np.repeat(np.arange(len(runs)) % 2 == 1, runs).reshape(width, height).T


def _run_lengths(text: str) -> list[int]:
    """Return the run lengths in COCO's compressed form, which starts with the number of background pixels.

    Each number is stored in characters of 5 bits and, from the third on, as the difference from the one before the
    previous.
    """
    runs: list[int] = []
    value = shift = 0
    for code in (ord(character) - 48 for character in text):
        value |= (code & 31) << shift
        shift += 5
        if shift > _BITS:
            raise ValueError("a run length that is larger than any image")
        if code & 32:  # more characters follow
            continue
        if code & 16:  # negative
            value -= 1 << shift
        runs.append(value + (runs[-2] if len(runs) > 2 else 0))
        value = shift = 0
    return runs


def _pycocotools() -> Any:
    try:
        from pycocotools import mask
    except ImportError:
        raise InputError("COCO annotations need pycocotools; install it with pip install 'regseg[coco]'.") from None
    return mask


def _polygon(points: Any, height: int, width: int) -> list[float]:
    """Return a polygon, checked: pycocotools walks along its edges pixel by pixel, however far they lead outside."""
    xs, ys = points[::2], points[1::2]
    fits = len(xs) == len(ys) >= _FEWEST_POINTS and all(type(number) in (int, float) for number in points)
    for values, side in ((xs, width), (ys, height)):
        fits = fits and all(-_OUTSIDE * side <= value <= (1 + _OUTSIDE) * side for value in values)
    if not fits:
        raise ValueError(f"the polygon {shortened(points)}")
    return points
