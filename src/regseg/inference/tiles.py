"""Images too large for the memory, labelled in overlapping tiles."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np

from regseg.errors import check_number

Labeller = Callable[[np.ndarray], np.ndarray]

SMALLEST_TILE = 128  # pixels
STRIDE = 64  # pixels; a multiple of the largest stride of every network: 16 for RegSeg, 64 for DDRNet-23
_OVERLAP = 4  # neighbouring tiles share at least this part of a tile: a quarter


class Tiled:
    """Label an image tile by tile.

    It is an approximation: the network sees one tile at a time, but its field of view is larger than most tiles (3807
    pixels for RegSeg), and squeeze-and-excite averages over what it sees. So labels can differ from those of the whole
    image, above all near the borders of tiles. Of two overlapping tiles, each gives the labels of its own half of the
    overlap. Tiles start at multiples of `STRIDE`, so strided convolutions sample the same pixels as in the whole image.
    Memory grows with the tile; the image itself and its labels (4 bytes per pixel) must still fit into memory.

    Args:
        labeller: maps (H, W, 3) uint8 RGB to (H, W) uint8 class indices.
        tile: height and width of a tile in pixels, at least 128, preferably a multiple of 64. Smaller images are
            labelled whole.

    Raises:
        InputError: ``tile`` is not such a number.
    """

    def __init__(self, labeller: Labeller, tile: int) -> None:
        check_number("tile", tile, lowest=SMALLEST_TILE, integer=True)
        self.labeller, self.tile = labeller, tile

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """Map (H, W, 3) uint8 RGB to (H, W) uint8 class indices."""
        height, width = image.shape[:2]
        if max(height, width) <= self.tile:
            return self.labeller(image)
        labels = np.empty((height, width), np.uint8)
        for top, bottom, from_row, to_row in spans(height, self.tile):
            for left, right, from_column, to_column in spans(width, self.tile):
                found = self.labeller(_cut(image, top, bottom, left, right))
                kept = found[from_row - top : to_row - top, from_column - left : to_column - left]
                labels[from_row:to_row, from_column:to_column] = kept
        return labels


def _cut(image: np.ndarray, top: int, bottom: int, left: int, right: int) -> np.ndarray:
    """Return a tile as a contiguous array; what it lacks beyond the image repeats the last row and column."""
    part = image[top:bottom, left:right]
    missing = (0, bottom - top - part.shape[0]), (0, right - left - part.shape[1]), (0, 0)
    return np.pad(part, missing, "edge")


def spans(length: int, tile: int) -> list[tuple[int, int, int, int]]:
    """Return (start, end, first kept, end of kept) of the tiles along an axis, in pixels; kept parts do not overlap.

    The last tile can end up to ``STRIDE - 1`` pixels beyond the axis, because it starts at a multiple of `STRIDE` too.
    """
    if length <= tile:
        return [(0, length, 0, length)]
    farthest = (tile - tile // _OVERLAP) // STRIDE  # from one start to the next; this and `last` in units of STRIDE
    last = -(-(length - tile) // STRIDE)
    count = -(-last // farthest)
    starts = [number * last // count * STRIDE for number in range(count + 1)]
    # The middle of each overlap, between the start of a tile and the end of the one before.
    cuts = [0, *((start + before + tile) // 2 for before, start in pairwise(starts)), length]
    return [(start, start + tile, *kept) for start, kept in zip(starts, pairwise(cuts), strict=True)]
