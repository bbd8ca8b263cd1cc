"""The kernel of `regseg.inference.upsample`, compiled with numba; the machine code is cached on disk."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit


@njit(nogil=True, cache=True)
def label_rows(
    logits: Any, labels: Any, start: int, stop: int, top: Any, bottom: Any, down: Any, left: Any, across: Any
) -> None:
    """Write the rows from ``start`` to ``stop`` of the labels of one image.

    A row of the logits is interpolated horizontally once, for the few output rows between it and the next. An output
    row is then interpolated vertically, class after class, while the best logit and class of every pixel are kept. The
    innermost loops run along the row, so that they become vector instructions.

    Args:
        logits: (C, h, w) float32.
        labels: (H, W) uint8, written.
        start: first output row.
        stop: the row after the last.
        top: (H,) index of the upper row of logits.
        bottom: (H,) index of the lower row: the next, or the same at the edge.
        down: (H,) float32 weight of the lower row.
        left: (W,) uint32 index of the left column of logits; unsigned, so that no check for negative ones is made.
        across: (W,) float32 weight of the right column.
    """
    classes, _, width = logits.shape
    size = labels.shape[1]
    padded = np.empty(width + 1, np.float32)
    first, second = np.empty(size, np.float32), np.empty(size, np.float32)
    best, label = np.empty(size, np.float32), np.empty(size, np.int32)
    rows = np.empty((2, classes, size), np.float32)  # interpolated rows of logits: an even one and an odd one
    held = np.full(2, -1)
    for y in range(start, stop):
        for source in (top[y], bottom[y]):
            if held[source % 2] == source:
                continue
            held[source % 2] = source
            for c in range(classes):
                padded[:width] = logits[c, source]
                padded[width] = padded[width - 1]
                for x in range(size):  # only loads: with arithmetic, the loop would not be vectorised
                    first[x] = padded[left[x]]
                    second[x] = padded[left[x] + np.uint32(1)]
                row = rows[source % 2, c]
                for x in range(size):
                    row[x] = first[x] + across[x] * (second[x] - first[x])
        weight = down[y]
        for c in range(classes):
            upper, lower = rows[top[y] % 2, c], rows[bottom[y] % 2, c]
            if c == 0:
                for x in range(size):
                    best[x] = upper[x] + weight * (lower[x] - upper[x])
                    label[x] = 0
            else:
                for x in range(size):
                    value = upper[x] + weight * (lower[x] - upper[x])
                    higher = value > best[x]
                    best[x] = value if higher else best[x]
                    label[x] = c if higher else label[x]
        labels[y] = label
