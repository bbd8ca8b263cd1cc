"""Crop first, then resize: only the pixels that a crop shows are read and resized.

Images are resized by Pillow's bilinear kernel, with which the author trained. When shrinking, it widens to the scale,
so that every pixel counts; OpenCV's bilinear, which looks at four pixels at any scale, leaves an image noisier than any
that the author's network saw, and area averaging leaves it sharper. Labels are moved by nearest neighbour alone, from
pixel centre to pixel centre. ``python -m regseg.benchmark what=kernels`` shows what each choice does.
"""

from __future__ import annotations

import functools
import math
from typing import NamedTuple

import cv2
import numpy as np
from cykooz_resizer import CropBox, FilterType, ResizeAlg, ResizeOptions, Resizer
from PIL import Image

Size = tuple[int, int]


class Window(NamedTuple):
    """A crop of a scaled image.

    Attributes:
        scaled: (height, width) of the whole image after scaling, in pixels.
        corner: (top, left) of the crop there.
        size: (height, width) of the crop, never beyond the scaled image.
    """

    scaled: Size
    corner: Size
    size: Size


def draw_window(
    size: Size,
    crop_size: Size,
    short_side: Size,
    rng: np.random.Generator,
    centroid: tuple[float, float] | None = None,
) -> Window:
    """Random scale and crop of Sec. 4.2.

    The short side becomes an integer uniform in ``short_side``, both ends included. The crop lies uniformly in the
    scaled image; around a centroid, it starts uniformly between a crop's length before it and the centroid itself,
    clamped to the image, as in the author's release.

    Args:
        size: (height, width) of the image, in pixels.
        crop_size: (height, width) of the crop; it takes the whole of a side that is shorter.
        short_side: (smallest, largest) length of the short side after scaling.
        rng: where the draws come from.
        centroid: (row, column) in the image that the crop should show; None for a crop anywhere.
    """
    scaled = scale_to(size, int(rng.integers(*short_side, endpoint=True)))
    cut = (min(crop_size[0], scaled[0]), min(crop_size[1], scaled[1]))
    corner = []
    for axis in (0, 1):
        last = scaled[axis] - cut[axis]
        if centroid is None:
            start = rng.integers(0, last, endpoint=True)
        else:
            center = int(centroid[axis] * scaled[axis] / size[axis])
            start = np.clip(rng.integers(center - crop_size[axis], center, endpoint=True), 0, last)
        corner.append(int(start))
    return Window(scaled, (corner[0], corner[1]), cut)


def scale_to(size: Size, short_side: int) -> Size:
    """(height, width) of an image of ``size`` whose short side becomes ``short_side`` pixels."""
    shortest = min(size)
    return max(1, round(size[0] * short_side / shortest)), max(1, round(size[1] * short_side / shortest))


def cut_image(image: np.ndarray, window: Window) -> np.ndarray:
    """What ``window`` shows of an image, equal to resizing the whole image and cropping then.

    That is within one grey level. An image stored at half its resolution is resized straight to the window's scale, as
    the author's release does: one resampling, and none where the drawn size is that of the stored image.

    Args:
        image: (h, w, 3) uint8, also memory-mapped: only the rows in the window are read. Of four channels, which are
            resized without a copy, the last is dropped.
        window: the crop of the image after scaling.

    Returns:
        (*window.size, 3) uint8.
    """
    return _resample(image, _source_box(image.shape[:2], window), window.size)


def cut_label(label: np.ndarray, window: Window) -> np.ndarray:
    """What ``window`` shows of a label, by nearest neighbour: the pixel under each centre, between two the second.

    Args:
        label: (H, W) uint8, also memory-mapped: only the rows in the window are read.
        window: the crop.

    Returns:
        window.size, uint8.
    """
    # Rounding must not turn the second into the first. Centres lie whole multiples of 1 / (2 * scaled) from the edge
    # between two pixels, so half of that moves no other. Of it 1 / window.size is left where the box is cut short at
    # the image's far edge, which outweighs the resizer's rounding up to some 2500 rows.
    (y, height), (x, width) = (
        (start + 1 / (4 * scaled), length)
        for (start, length), scaled in zip(_source_box(label.shape, window), window.scaled, strict=True)
    )
    top = int(y)
    rows = np.ascontiguousarray(label[top : math.ceil(y + height)])
    result = np.empty(window.size, np.uint8)
    _resize(rows, ((y - top, height), (x, width)), result, ResizeAlg.nearest())
    return result


def resize_image(image: np.ndarray, full_size: Size, short_side: int | None) -> np.ndarray:
    """A whole image (h, w, 3) uint8 with its short side at ``short_side`` pixels; None takes that of ``full_size``.

    ``full_size`` is (height, width) of its label, beyond the image's where that is stored at half its resolution.
    """
    scaled = full_size if short_side is None else scale_to(full_size, short_side)
    return cut_image(image, Window(scaled, (0, 0), scaled))


Span = tuple[float, float]  # (start, length) along one axis, in pixels


def _source_box(size: Size, window: Window) -> tuple[Span, Span]:
    """The fractional box of an array of ``size`` that ``window`` shows."""
    rows, columns = (
        (start * side / scaled, length * side / scaled)
        for side, scaled, start, length in zip(size, *window, strict=True)
    )
    return rows, columns


def _reach(start: float, length: float, number: int, limit: int) -> Size:
    """The whole pixels on which ``number`` pixels over (start, length) depend: half a kernel more on either side."""
    margin = math.ceil(max(length / number, 1))
    return max(0, math.floor(start) - margin), min(limit, math.ceil(start + length) + margin)


def _resample(image: np.ndarray, box: tuple[Span, Span], size: Size) -> np.ndarray:
    """The fractional ``box`` of an image at ``size``, by Pillow's bilinear kernel; (*size, 3) uint8."""
    (y, height), (x, width) = box
    if (height, width) == size and y == int(y) and x == int(x):
        part = image[int(y) : int(y) + size[0], int(x) : int(x) + size[1]]
        return np.array(part) if part.shape[2] == 3 else cv2.cvtColor(part, cv2.COLOR_RGBA2RGB)
    (top, bottom), (left, right) = (
        _reach(start, length, number, limit)
        for (start, length), number, limit in zip(box, size, image.shape, strict=False)
    )
    if image.shape[2] == 3:  # four channels are resized in less time than three
        source = cv2.cvtColor(image[top:bottom, left:right], cv2.COLOR_RGB2RGBA)
    else:
        source, left = image[top:bottom], 0  # whole rows, as they lie in memory
    result = np.empty((*size, 4), np.uint8)
    _resize(source, ((y - top, height), (x - left, width)), result, ResizeAlg.convolution(FilterType.bilinear))
    return cv2.cvtColor(result, cv2.COLOR_RGBA2RGB)


def _resize(source: np.ndarray, box: tuple[Span, Span], result: np.ndarray, algorithm: ResizeAlg) -> None:
    """Fill ``result`` with the fractional ``box`` of ``source``, both (H, W) or (H, W, 4) uint8 and contiguous."""
    (y, height), (x, width) = box
    # Rounding may put the far edge a hair outside, which the library refuses.
    area = CropBox(x, y, min(width, source.shape[1] - x), min(height, source.shape[0] - y))
    _resizer().resize_pil(_as_pillow(source), _as_pillow(result), ResizeOptions(algorithm, crop_box=area))


def _as_pillow(pixels: np.ndarray) -> Image.Image:
    """The memory of ``pixels`` (H, W) or (H, W, 4) uint8 as an image: the form in which the resizer copies neither way.

    CMYK is Pillow's only mode of four channels among which none is an alpha, by which others would be multiplied.
    """
    mode = "L" if pixels.ndim == 2 else "CMYK"
    return Image.frombuffer(mode, pixels.shape[1::-1], pixels, "raw", mode, 0, 1)


@functools.cache
def _resizer() -> Resizer:
    return Resizer()  # on one thread, with memory that it keeps
