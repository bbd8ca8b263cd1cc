"""The classes' colours and names as a strip below a picture."""

from __future__ import annotations

import cv2
import numpy as np

from regseg.data.spec import DatasetSpec

LINE = 20  # pixels a line of text takes


def legend(spec: DatasetSpec, width: int) -> np.ndarray:
    """(…, width, 3) uint8 RGB: a box of colour and a name for every class."""
    columns, cell = max(1, width // 144), 144
    rows = -(-spec.num_classes // columns)
    strip = np.full((rows * LINE + 6, width, 3), 255, np.uint8)
    for index, (name, color) in enumerate(zip(spec.classes, spec.colors, strict=True)):
        left, top = index % columns * cell + 4, index // columns * LINE + 4
        cv2.rectangle(strip, (left, top), (left + 16, top + 12), color, cv2.FILLED)
        write_text(strip, name, left + 22, top + 11)
    return strip


def write_text(picture: np.ndarray, text: str, left: int, baseline: int) -> None:
    """Write black text into a picture, in place; ``left`` and ``baseline`` in pixels."""
    cv2.putText(picture, text, (left, baseline), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (0, 0, 0), 1, cv2.LINE_AA)
