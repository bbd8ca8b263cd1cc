"""The operations of RandAug (Sec. 4.2) on arrays, with Pillow's results, on which the author trained.

Images are (H, W, 3) uint8 RGB of any size; none is changed in place. Autocontrast, equalize and brightness are Pillow's
to the bit, color, contrast and sharpness within one grey level, rotate too where no border is near (OpenCV 5; earlier
ones interpolate in steps of 1/32 pixel, up to six grey levels away).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import cv2
import numpy as np
from albucore import sz_lut  # a table over an array by SIMD, a tenth of the time of cv2.LUT

# Pillow cuts fractions off where OpenCV rounds: what is half a level lower is rounded as Pillow cuts. The last bit
# keeps whole numbers from becoming ties, which OpenCV rounds to even.
CUT = -0.5 + 1 / 1024


def autocontrast(image: np.ndarray) -> np.ndarray:
    """Each channel stretched so that its smallest value becomes 0 and its largest 255."""
    return _by_channel(image, _stretch_table)


def equalize(image: np.ndarray) -> np.ndarray:
    """Each channel with its histogram made flat.

    Counts are exact up to 2^24 pixels. Twice as fast as Pillow from array to array, but only 1.3 times as fast as on an
    image of Pillow's own, for half of the time goes into counting, which no loop does faster (experiments/README.md).
    """
    return _by_channel(image, _equalize_table)


def brightness(image: np.ndarray, factor: float) -> np.ndarray:
    """``factor · image``."""
    return sz_lut(image, _blend_table(0, factor), inplace=False)


def contrast(image: np.ndarray, factor: float) -> np.ndarray:
    """``m + factor · (image - m)``, m being the mean luma, rounded."""
    mean = cv2.mean(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY))[0]
    return sz_lut(image, _blend_table(int(mean + 0.5), factor), inplace=False)


def color(image: np.ndarray, factor: float) -> np.ndarray:
    """``l + factor · (image - l)``, l being a pixel's luma."""
    luma = cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    return cv2.addWeighted(image, factor, luma, 1 - factor, CUT, dst=luma)


def sharpness(image: np.ndarray, factor: float) -> np.ndarray:
    """``s + factor · (image - s)``, s being the image smoothed by 3x3; the outermost pixels stay as they are.

    Pillow's kernel, [[1, 1, 1], [1, 5, 1], [1, 1, 1]] / 13, is 9/13 of a mean over 3x3 and 4/13 of the pixel itself. So
    computed it takes a third of the time; as the mean is rounded, 7 % of the values are a level off Pillow's.
    """
    result = cv2.blur(image, (3, 3))
    share = (1 - factor) * 9 / 13
    cv2.addWeighted(image, 1 - share, result, share, CUT, dst=result)
    result[[0, -1]], result[:, [0, -1]] = image[[0, -1]], image[:, [0, -1]]
    return result


def rotate(image: np.ndarray, degrees: float, fill: Sequence[int] | int, *, nearest: bool = False) -> np.ndarray:
    """The image turned about its centre, at its size.

    Args:
        image: (H, W, 3) uint8, or a label (H, W) uint8.
        degrees: counterclockwise.
        fill: of the corners that open; a colour, or a class index.
        nearest: take the nearest pixel, as a label needs it, instead of interpolating bilinearly.
    """
    height, width = image.shape[:2]
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    x, y = (width - 1) / 2, (height - 1) / 2
    # From a pixel of the result to its place in the image.
    matrix = np.array([[cos, -sin, x - cos * x + sin * y], [sin, cos, y - sin * x - cos * y]])
    flags = cv2.WARP_INVERSE_MAP | (cv2.INTER_NEAREST if nearest else cv2.INTER_LINEAR)
    if image.ndim == 2:
        return cv2.warpAffine(image, matrix, (width, height), flags=flags, borderValue=fill)
    # OpenCV turns four channels in less than half of the time of three, to the same values.
    padded = cv2.cvtColor(image, cv2.COLOR_RGB2RGBA)
    turned = cv2.warpAffine(padded, matrix, (width, height), flags=flags, borderValue=(*fill, 0))
    return cv2.cvtColor(turned, cv2.COLOR_RGBA2RGB)


def _by_channel(image: np.ndarray, table: Callable[[np.ndarray], np.ndarray | None]) -> np.ndarray:
    """``image`` with every channel put through the table that ``table`` makes of it; None leaves it as it is."""
    # OpenCV copies channels that it allocates itself, and writes past the cache to those that are aligned alike; what
    # follows would have to fetch them from memory.
    planes = np.empty((3, image[..., 0].size + 1), np.uint8)
    channels = cv2.split(image, [plane[:-1].reshape(image.shape[:2]) for plane in planes])
    for channel in channels:
        if (entries := table(channel)) is not None:
            sz_lut(channel, entries)
    return cv2.merge(channels)


def _stretch_table(channel: np.ndarray) -> np.ndarray | None:
    low, high, *_ = cv2.minMaxLoc(channel)
    if low == high:
        return None
    scale = 255 / (high - low)
    return np.clip(np.arange(256) * scale - low * scale, 0, 255).astype(np.uint8)


def _equalize_table(channel: np.ndarray) -> np.ndarray | None:
    # OpenCV's counts are floats, and so is what is made of them: whole numbers all the same.
    counts = cv2.calcHist([channel], [0], None, [256], [0, 256]).ravel()
    # The brightest value stays out of the step, so that it comes to lie at 255 and not below.
    step = int(channel.size - counts[counts.nonzero()[0][-1]]) // 255
    if step == 0:
        return None
    below = counts.cumsum() - counts
    return np.minimum((below + step // 2) // step, 255).astype(np.uint8)


def _blend_table(base: int, factor: float) -> np.ndarray:
    # In single precision, as Pillow blends.
    levels = np.arange(256, dtype=np.float32)
    return np.clip(base + np.float32(factor) * (levels - base), 0, 255).astype(np.uint8)
