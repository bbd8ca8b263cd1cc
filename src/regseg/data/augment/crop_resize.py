"""Random scale and crop. The crop is cut out before resizing, so that only the pixels in it are read and resized.

Images are resized with Pillow's bilinear kernel, which the author used for training. When an image is reduced, the
kernel widens with the scale, so that every pixel contributes. OpenCV's bilinear kernel reads four pixels at any scale
and returns noisier images; area averaging returns sharper ones. Labels are resized by nearest neighbour between pixel
centres. ``python -m regseg.benchmark what=kernels`` compares the kernels.
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
        corner: (top, left) of the crop in the scaled image.
        size: (height, width) of the crop; it lies within the scaled image.
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
    """Sample a random scale and crop (Sec. 4.2).

    The length of the short side is a uniformly distributed integer. The position of the crop is uniformly distributed
    in the scaled image. With a centroid, the crop starts uniformly between one crop length before the centroid and the
    centroid itself, and is clamped to the image, as in the author's release.

    Args:
        size: (height, width) of the image, in pixels.
        crop_size: (height, width) of the crop, in pixels; the crop is smaller if the scaled image is.
        short_side: (smallest, largest) length of the short side after scaling, in pixels, both included.
        rng: the random stream.
        centroid: (row, column) in the image that the crop should contain; None for a crop at any position.
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
    """Return (height, width) of an image of ``size`` after scaling its short side to ``short_side`` pixels."""
    shortest = min(size)
    return max(1, round(size[0] * short_side / shortest)), max(1, round(size[1] * short_side / shortest))


def cut_image(image: np.ndarray, window: Window) -> np.ndarray:
    """Cut a crop out of an image and resize it.

    The result equals, within one grey level, the crop of the whole resized image. An image stored at half its
    resolution is resized directly to the window's scale, as in the author's release.

    Args:
        image: (h, w, 3) uint8, or (h, w, 4) with a padding channel, so that resizing needs no copy. It may be
            memory-mapped: only the rows in the window are read.
        window: the crop of the scaled image.

    Returns:
        (*window.size, 3) uint8.
    """
    return _resample(image, _source_box(image.shape[:2], window), window.size)


def cut_label(label: np.ndarray, window: Window) -> np.ndarray:
    """Cut a crop out of a label and resize it by nearest neighbour; a centre between two pixels takes the second.

    Args:
        label: (H, W) uint8. It may be memory-mapped: only the rows in the window are read.
        window: the crop of the scaled label.

    Returns:
        (*window.size,) uint8.
    """
    # Rounding must not select the first of two pixels. The distance of a centre from the edge between two pixels is a
    # multiple of 1 / (2 * scaled), so a shift by half of that affects no other centre. Where the box is clipped at the
    # far edge of the image, 1 / window.size of the shift remains, which exceeds the resizer's rounding up to about
    # 2500 rows.
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
    """Resize a whole image.

    Args:
        image: (h, w, 3) uint8.
        full_size: (height, width) of its label; larger than the image if that is stored at half its resolution.
        short_side: length of the short side of the result, in pixels; None keeps ``full_size``.

    Returns:
        (height, width, 3) uint8.
    """
    scaled = full_size if short_side is None else scale_to(full_size, short_side)
    return cut_image(image, Window(scaled, (0, 0), scaled))


Span = tuple[float, float]  # (start, length) along one axis, in pixels


def _source_box(size: Size, window: Window) -> tuple[Span, Span]:
    """Return the fractional box of an array of ``size`` that corresponds to ``window``."""
    rows, columns = (
        (start * side / scaled, length * side / scaled)
        for side, scaled, start, length in zip(size, *window, strict=True)
    )
    return rows, columns


def _reach(start: float, length: float, number: int, limit: int) -> Size:
    """Return the range of pixels on which ``number`` pixels over (start, length) depend, with the kernel's margin."""
    margin = math.ceil(max(length / number, 1))
    return max(0, math.floor(start) - margin), min(limit, math.ceil(start + length) + margin)


def _resample(image: np.ndarray, box: tuple[Span, Span], size: Size) -> np.ndarray:
    """Resize the fractional ``box`` of an image to (*size, 3) uint8 with Pillow's bilinear kernel."""
    (y, height), (x, width) = box
    if (height, width) == size and y == int(y) and x == int(x):
        part = image[int(y) : int(y) + size[0], int(x) : int(x) + size[1]]
        return np.array(part) if part.shape[2] == 3 else cv2.cvtColor(part, cv2.COLOR_RGBA2RGB)
    (top, bottom), (left, right) = (
        _reach(start, length, number, limit)
        for (start, length), number, limit in zip(box, size, image.shape, strict=False)
    )
    if image.shape[2] == 3:  # resizing four channels is faster than resizing three
        source = cv2.cvtColor(image[top:bottom, left:right], cv2.COLOR_RGB2RGBA)
    else:
        source, left = image[top:bottom], 0  # whole rows are contiguous
    result = np.empty((*size, 4), np.uint8)
    _resize(source, ((y - top, height), (x - left, width)), result, ResizeAlg.convolution(FilterType.bilinear))
    return cv2.cvtColor(result, cv2.COLOR_RGBA2RGB)


def _resize(source: np.ndarray, box: tuple[Span, Span], result: np.ndarray, algorithm: ResizeAlg) -> None:
    """Resize the fractional ``box`` of ``source`` into ``result``; both are contiguous (H, W) or (H, W, 4) uint8."""
    (y, height), (x, width) = box
    # Rounding may put the far edge slightly outside, which the library rejects.
    area = CropBox(x, y, min(width, source.shape[1] - x), min(height, source.shape[0] - y))
    _resizer().resize_pil(_as_pillow(source), _as_pillow(result), ResizeOptions(algorithm, crop_box=area))


def _as_pillow(pixels: np.ndarray) -> Image.Image:
    """Wrap the memory of ``pixels`` (H, W) or (H, W, 4) uint8 in an image, which the resizer uses without a copy.

    The mode is CMYK because the resizer multiplies by alpha in Pillow's other modes with four channels.
    """
    mode = "L" if pixels.ndim == 2 else "CMYK"
    return Image.frombuffer(mode, pixels.shape[1::-1], pixels, "raw", mode, 0, 1)


@functools.cache
def _resizer() -> Resizer:
    return Resizer()  # single-threaded; it reuses its buffers
