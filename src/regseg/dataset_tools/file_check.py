"""Checks the image and the label of one pair."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from regseg.data.datasets.layout import Problem, Sample
from regseg.data.datasets.spec import IGNORE_INDEX, DatasetSpec
from regseg.data.decoding import PALETTE, png_kind
from regseg.data.io import read_image, read_label
from regseg.errors import InputError
from regseg.system.reading import read_bytes

_ORIENTATION = 0x0112  # EXIF tag; 1 is upright
_TURNS = {2: "mirrored", 3: "rotated by 180 degrees", 4: "mirrored", 5: "mirrored and rotated by 90 degrees",
          6: "rotated by 90 degrees", 7: "mirrored and rotated by 90 degrees", 8: "rotated by 90 degrees"}  # fmt: skip


class Checked(NamedTuple):
    """The result of checking a pair.

    Attributes:
        problems: The problems of both files.
        readable: Whether the label can be read.
        classes: The indices of the classes that occur in the label.
        ignored: Whether the label has ignored pixels.
    """

    problems: list[Problem]
    readable: bool
    classes: frozenset[int]
    ignored: bool


def check_pair(sample: Sample, spec: DatasetSpec) -> Checked:
    """Read and check both files of a pair; any exception of a decoder becomes a problem of its file."""
    problems: list[Problem] = []
    image = _read("unreadable image", sample.image, lambda: read_image(sample.image), problems)
    label = _read("unusable label", sample.label, lambda: read_label(sample.label, spec), problems)
    if image is not None and label is not None:
        if image.shape[:2] != label.shape:
            sizes = [f"{width}x{height}" for height, width in (image.shape[:2], label.shape)]
            turned = _turn(sample.image) if label.shape == image.shape[1::-1] else None
            hint = f"the image is stored {turned} according to EXIF, the label is not; " if turned else ""
            problems.append(
                Problem(
                    "sizes differ",
                    f"{sample.image} is {sizes[0]} pixels but its label {sample.label} is {sizes[1]}; {hint}export the "
                    "label at the size at which viewers show the image.",
                )
            )
        else:
            problems += orientation_problems(sample)
        problems += palette_problems(sample.label, spec, label)
    found = frozenset([] if label is None else np.flatnonzero(np.bincount(label.ravel(), minlength=256)).tolist())
    return Checked(problems, label is not None, found - {IGNORE_INDEX}, IGNORE_INDEX in found)


def orientation_problems(sample: Sample) -> Iterator[Problem]:
    """Yield a notice if EXIF rotates the image but not the label, although their sizes are equal."""
    turned = _turn(sample.image)
    if turned and not _turn(sample.label):
        yield Problem(
            "rotated image",
            f"{sample.image} is stored {turned} according to EXIF but its label {sample.label} is not; check that the "
            "label matches the image as a viewer shows it.",
            notice=True,
        )


def palette_problems(path: Path, spec: DatasetSpec, label: np.ndarray) -> Iterator[Problem]:
    """Yield classes of an index label whose palette shows them in the colour of another class."""
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
                f"{path} shows the value {value} ({spec.classes[index]}) in the colour {list(color)} of "
                f"{spec.classes[spec.colors.index(color)]}; check the ids and colours of the classes.",
            )


def _read(kind: str, path: Path, read: Callable[[], np.ndarray], problems: list[Problem]) -> np.ndarray | None:
    try:
        return read()
    except InputError as error:
        problems.append(Problem(kind, str(error)))
    except Exception as error:  # decoders may raise any exception, and the other files must be checked too
        reason = " ".join(f"{type(error).__name__}: {error}".split()).rstrip(".")
        problems.append(Problem(kind, f"{path} cannot be decoded ({reason}); replace it or remove it."))
    return None


def _turn(path: Path) -> str | None:
    """Return how the file is stored according to EXIF; None for upright."""
    try:
        with Image.open(path) as image:  # reads only the header
            return _TURNS.get(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # a file that Pillow cannot read has no EXIF data either
        return None
