"""The picture of a confusion matrix."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from regseg.reporting.plots import axis_name, figure

_LARGEST = 12  # inches of the matrix; many classes make smaller cells
_NUMBERED = 0.25  # inches of a cell that has room for a number


def draw_confusion(counts: np.ndarray, classes: Sequence[str], path: Path) -> None:
    """Draw how the pixels of each class were predicted, in percent of the class.

    Args:
        counts: (C, C) integers, rows the label, columns the prediction.
        classes: C names.
        path: path of the picture.
    """
    totals = counts.sum(1, keepdims=True)
    shares = 100 * counts / np.maximum(totals, 1)
    names = [axis_name(name) for name in classes]
    cell = min(0.36, max(0.15, _LARGEST / len(classes)))
    font = 10 if cell > _NUMBERED else 6
    size = max(3.2, 1.6 + 0.08 * font / 10 * max(map(len, names)) + cell * len(classes))
    with figure(path, size + 0.8, size) as drawn:
        axes = drawn.subplots()
        axes.grid(False)
        shown = axes.imshow(shares, cmap="Blues", vmin=0, vmax=100)
        places = range(len(classes))
        labels = [name if total else f"{name} (absent)" for name, total in zip(names, totals.ravel(), strict=True)]
        axes.set_xticks(places, names, rotation=90, fontsize=font)
        axes.set_yticks(places, labels, fontsize=font)
        axes.set(xlabel="prediction", ylabel="label")
        for row, column in zip(*np.nonzero(shares >= 0.5), strict=True) if cell > _NUMBERED else ():
            value = shares[row, column]
            color = "white" if value > 60 else "black"
            axes.text(column, row, f"{value:.0f}", ha="center", va="center", fontsize=7, color=color)
        drawn.colorbar(shown, ax=axes, label="% of the class's labelled pixels", shrink=0.7, aspect=30)
