"""What may be wrong within the two files of a pair."""

from __future__ import annotations

import io
import os
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from regseg.data.datasets.layout import Problem, Sample
from regseg.data.datasets.spec import IGNORE_INDEX, DatasetSpec
from regseg.data.decoding import PALETTE, is_jpeg, png_kind
from regseg.data.io import read_image, read_label
from regseg.errors import InputError
from regseg.system.reading import read_bytes

_ORIENTATION = 0x0112  # EXIF tag; 1 is upright
_TURNS = {2: "mirrored", 3: "turned by 180 degrees", 4: "mirrored", 5: "mirrored and turned by 90 degrees",
          6: "turned by 90 degrees", 7: "mirrored and turned by 90 degrees", 8: "turned by 90 degrees"}  # fmt: skip
_stderr_lock = threading.Lock()


class Checked(NamedTuple):
    """What a pair's files hold.

    Attributes:
        problems: what is wrong with them.
        readable: whether the label can be read.
        labelled: whether it has a pixel that is not ignored.
    """

    problems: list[Problem]
    readable: bool
    labelled: bool


def check_pair(sample: Sample, spec: DatasetSpec) -> Checked:
    """Read both files of a pair; whatever a decoder raises is a problem of that file."""
    problems: list[Problem] = []
    image = _read("unreadable image", sample.image, lambda: _read_image(sample.image, problems), problems)
    label = _read("unusable label", sample.label, lambda: read_label(sample.label, spec), problems)
    if image is not None and label is not None:
        if image.shape[:2] != label.shape:
            sizes = [f"{width}x{height}" for height, width in (image.shape[:2], label.shape)]
            turned = _turn(sample.image) if label.shape == image.shape[1::-1] else None
            hint = f"; the image is stored {turned} (EXIF), the label is not" if turned else ""
            problems.append(
                Problem(
                    "sizes differ",
                    f"{sample.image} is {sizes[0]} pixels but its label {sample.label} is {sizes[1]}{hint}.",
                )
            )
        else:
            problems += orientation_problems(sample)
        problems += palette_problems(sample.label, spec, label)
    return Checked(problems, label is not None, label is not None and bool((label != IGNORE_INDEX).any()))


def orientation_problems(sample: Sample) -> Iterator[Problem]:
    """An image that its EXIF data turns to a shape that fits the label also without the turn."""
    turned = _turn(sample.image)
    if turned and not _turn(sample.label):
        yield Problem(
            "turned image",
            f"{sample.image} is stored {turned} (EXIF) and its label {sample.label} is not; look whether the label "
            "fits the image as a viewer shows it.",
            notice=True,
        )


def palette_problems(path: Path, spec: DatasetSpec, label: np.ndarray) -> Iterator[Problem]:
    """Palette entries of an index label that are the colour of another class than the index means."""
    data = read_bytes(path)
    if png_kind(data)[1] != PALETTE or not spec.ids:
        return
    with Image.open(io.BytesIO(data), formats=("PNG",)) as image:
        values = image.getpalette("RGB") or []
    palette = [tuple(values[start : start + 3]) for start in range(0, len(values), 3)]
    present = set(np.unique(label).tolist())
    for value, index in spec.ids.items():
        if index == IGNORE_INDEX or index not in present or value >= len(palette):
            continue
        color = palette[value]
        if color != spec.colors[index] and color in spec.colors:
            yield Problem(
                "palette contradicts classes",
                f"{path} shows the value {value}, {spec.classes[index]}, in the colour {list(color)} of "
                f"{spec.classes[spec.colors.index(color)]}; check the ids and colours of the classes.",
            )


def _read(kind: str, path: Path, read: Callable[[], np.ndarray], problems: list[Problem]) -> np.ndarray | None:
    try:
        return read()
    except InputError as error:
        problems.append(Problem(kind, str(error)))
    except Exception as error:  # a decoder's own; the other files are to be checked, too
        reason = " ".join(f"{type(error).__name__}: {error}".split()).rstrip(".")
        problems.append(Problem(kind, f"{path} cannot be decoded ({reason})."))
    return None


def _read_image(path: Path, problems: list[Problem]) -> np.ndarray:
    """The image; adds a problem if it is a JPEG with errors, which decoders bridge by grey or shifted blocks."""
    if not is_jpeg(read_bytes(path)):
        return read_image(path)
    image, said = _heard(lambda: read_image(path))
    if warning := next((line for line in said.splitlines() if "JPEG" in line), None):
        problems.append(
            Problem("damaged JPEG", f"{path} decodes with errors ({warning.strip()}); replace it by an intact copy.")
        )
    return image


def _heard(read: Callable[[], np.ndarray]) -> tuple[np.ndarray, str]:
    """(what ``read`` gives, what libraries print to the process's stderr meanwhile).

    The JPEG decoder tells of errors that it bridges in no other way. One thread at a time.
    """
    with _stderr_lock, tempfile.TemporaryFile() as file:
        sys.stderr.flush()
        kept = os.dup(2)
        os.dup2(file.fileno(), 2)
        try:
            result = read()
        finally:
            os.dup2(kept, 2)
            os.close(kept)
        file.seek(0)
        return result, file.read().decode(errors="replace")


def _turn(path: Path) -> str | None:
    """How a file's EXIF data says that it is stored; None for upright."""
    try:
        with Image.open(path) as image:  # the header alone is read
            return _TURNS.get(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # what Pillow does not read has no turn that it could tell
        return None
