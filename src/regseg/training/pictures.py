"""Pictures of predictions next to images and labels."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from regseg.data.datasets.spec import IGNORE_INDEX, DatasetSpec
from regseg.data.legend import LINE, legend, write_text

_GAP, _WIDTH = 4, 480
_HIGHEST = 4 * _WIDTH  # maximum height of a row in pixels; a higher image is squeezed


def prediction_grid(
    rows: Sequence[tuple[np.ndarray, np.ndarray, np.ndarray]],
    spec: DatasetSpec,
    captions: Sequence[str] | None = None,
) -> np.ndarray:
    """Draw rows of image, label and prediction, with a legend of the classes below.

    Args:
        rows: Triples of image (H, W, 3) uint8 RGB, label (h, w) uint8 and prediction (h, w) uint8 class indices.
        spec: The dataset's classes. Ignored pixels have its ``ignored_color`` in label and prediction.
        captions: One line above each row, or None.

    Returns:
        (height, width, 3) uint8 RGB with three columns of 480 pixels.
    """
    lines = [_titles(("image", "label", "prediction"))]
    for number, (image, label, prediction) in enumerate(rows):
        if captions is not None:
            lines.append(_titles((captions[number], "", "")))
        prediction = np.where(label == IGNORE_INDEX, IGNORE_INDEX, prediction).astype(np.uint8)
        height = min(max(1, round(_WIDTH * label.shape[0] / label.shape[1])), _HIGHEST)
        cells = [cv2.resize(image, (_WIDTH, height), interpolation=cv2.INTER_AREA)]
        cells += [
            cv2.resize(spec.colorize(array), (_WIDTH, height), interpolation=cv2.INTER_NEAREST)
            for array in (label, prediction)
        ]
        gap = np.full((height, _GAP, 3), 255, np.uint8)
        line = np.hstack([cells[0], gap, cells[1], gap, cells[2]])
        lines += [line, np.full((_GAP, line.shape[1], 3), 255, np.uint8)]
    ignored = any((label == IGNORE_INDEX).any() for _, label, _ in rows)
    return np.vstack([*lines, legend(spec, lines[-1].shape[1], ignored=ignored)])


def _titles(names: Sequence[str]) -> np.ndarray:
    strip = np.full((LINE + 4, 3 * _WIDTH + 2 * _GAP, 3), 255, np.uint8)
    for column, name in enumerate(names):
        write_text(strip, name, column * (_WIDTH + _GAP) + 4, LINE - 4)
    return strip
