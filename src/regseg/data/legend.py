"""A legend of class colours and names to put below a picture."""

from __future__ import annotations

from collections.abc import Iterable

import cv2
import numpy as np

from regseg.data.datasets.spec import DatasetSpec

LINE = 20  # height of a line of text, in pixels
_FONT = (cv2.FONT_HERSHEY_SIMPLEX, 0.45)
_TEXT_FROM, _END = 22, 8  # pixels from a cell's left edge to its name, and from the name to the next cell
_CELL, _WIDEST_CELL = 144, 432  # pixels
_NEAR_WHITE = 220  # boxes of lighter colours get an outline


def legend(
    spec: DatasetSpec, width: int, *, only: Iterable[int] | None = None, ignored: bool = False, scale: int = 1
) -> np.ndarray:
    """Return a legend with a coloured box and a name for every class; long names are shortened.

    Args:
        spec: the classes.
        width: width of the legend, in pixels.
        only: indices of the classes to show; None shows all.
        ignored: whether to explain the colour of ignored pixels, too.
        scale: factor on the size of boxes and text, for large pictures.

    Returns:
        (height, width, 3) uint8 RGB; the height depends on the number of classes.
    """
    shown = range(spec.num_classes) if only is None else list(only)
    boxes = [(_printable(spec.classes[index]), spec.colors[index]) for index in shown]
    boxes += [("(ignored)", spec.ignored_color)] * ignored
    names = [name for name, _ in boxes]
    needed = max((_text_width(name) for name in names), default=0) + _TEXT_FROM + _END
    cell = min(max(_CELL, min(needed, _WIDEST_CELL)), max(1, width // scale))
    columns = max(1, width // scale // cell)
    rows = -(-len(names) // columns)
    strip = np.full(((rows * LINE + 6) * scale, width, 3), 255, np.uint8)
    for position, (name, color) in enumerate(boxes):
        left, top = position % columns * cell + 4, position // columns * LINE + 4
        corners = ((left * scale, top * scale), ((left + 17) * scale - 1, (top + 13) * scale - 1))
        cv2.rectangle(strip, *corners, color, cv2.FILLED)
        if min(color) > _NEAR_WHITE:
            cv2.rectangle(strip, *corners, (128, 128, 128), scale)
        write_text(strip, _shortened(name, cell - _TEXT_FROM - _END), left + _TEXT_FROM, top + 11, scale)
    return strip


def write_text(picture: np.ndarray, text: str, left: int, baseline: int, scale: int = 1) -> None:
    """Write black text into a picture (H, W, 3) uint8, in place.

    Args:
        picture: the picture.
        text: the text; characters that cannot be printed become question marks.
        left: column of the left edge of the text, in pixels.
        baseline: row of its baseline, in pixels.
        scale: factor on ``left``, ``baseline`` and the size of the text.
    """
    font, size = _FONT
    place = (left * scale, baseline * scale)
    cv2.putText(picture, _printable(text), place, font, size * scale, (0, 0, 0), scale, cv2.LINE_AA)


def _printable(text: str) -> str:
    # OpenCV aborts the process on a lone surrogate. No legend is wide enough for more than 200 characters.
    return "".join(letter if letter.isprintable() else "?" for letter in text[:200])


def _text_width(text: str) -> int:
    return cv2.getTextSize(text, *_FONT, 1)[0][0]


def _shortened(text: str, width: int) -> str:
    if _text_width(text) <= width:
        return text
    while text and _text_width(f"{text}...") > width:
        text = text[:-1]
    return f"{text}..." if text else ""
