"""The kernel of `regseg.inference.upsample`, compiled with numba; the machine code is cached on disk if possible."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np
from numba import njit
from numba.core.caching import FunctionCache


class _Cache(FunctionCache):
    """A cache that never makes the kernel fail: a full disk or a damaged file only costs a compilation."""

    def load_overload(self, *args: Any) -> Any:
        """Return the cached machine code; None, after emptying the cache, if it cannot be read."""
        try:
            return super().load_overload(*args)
        except Exception:  # damaged pickles raise exceptions of almost any type
            with suppress(OSError):
                self.flush()
            return None

    def save_overload(self, *args: Any) -> None:
        """Write the machine code, if possible."""
        with suppress(Exception):  # a full disk, or a damaged index that cannot be replaced
            super().save_overload(*args)


def _compiled(kernel: Callable[..., None]) -> Any:
    compiled: Any = njit(nogil=True)(kernel)
    with suppress(RuntimeError):  # neither the package's folder nor the user's cache folder is writable
        compiled._cache = _Cache(kernel)  # as `njit(cache=True)` does, with numba's own class
    return compiled


@_compiled
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
    space = np.empty((3, max(size, width + 1)), np.float32)
    best, label = np.empty(size, np.float32), np.empty(size, np.int32)
    rows = np.empty((2, classes, size), np.float32)  # interpolated rows of logits: an even one and an odd one
    held = np.full(2, -1)
    for y in range(start, stop):
        for source in (top[y], bottom[y]):
            if held[source % 2] != source:
                held[source % 2] = source
                for c in range(classes):
                    _stretch(logits[c, source], left, across, space, rows[source % 2, c])
        _take_best(rows[top[y] % 2], rows[bottom[y] % 2], down[y], best, label)
        labels[y] = label


@_compiled
def _stretch(logits: Any, left: Any, across: Any, space: Any, row: Any) -> None:
    """Interpolate one row of the logits of one class (w,) horizontally into ``row`` (W,)."""
    width, size = len(logits), len(row)
    padded, first, second = space[0, : width + 1], space[1, :size], space[2, :size]
    padded[:width] = logits
    padded[width] = padded[width - 1]
    for x in range(size):  # only loads: with arithmetic, the loop would not be vectorized
        first[x] = padded[left[x]]
        second[x] = padded[left[x] + np.uint32(1)]
    for x in range(size):
        row[x] = first[x] + across[x] * (second[x] - first[x])


@_compiled
def _take_best(upper: Any, lower: Any, weight: Any, best: Any, label: Any) -> None:
    """Interpolate two rows (C, W) vertically; write the largest logit and its class at every pixel (W,)."""
    size = len(label)
    for x in range(size):
        best[x] = upper[0, x] + weight * (lower[0, x] - upper[0, x])
        label[x] = 0
    for c in range(1, len(upper)):
        above, below = upper[c], lower[c]
        for x in range(size):
            value = above[x] + weight * (below[x] - above[x])
            higher = value > best[x]
            best[x] = value if higher else best[x]
            label[x] = c if higher else label[x]
