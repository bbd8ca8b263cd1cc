"""The protocol that a dataset fulfils, and finding its pairs of image and label files."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple, Protocol

from regseg.data.datasets.spec import DatasetSpec
from regseg.errors import InputError
from regseg.system.reading import is_file, retried

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp")
SPLITS = ("train", "val", "test", "trainval")


class Sample(NamedTuple):
    """One image and its label on disk."""

    image: Path
    label: Path


class Problem(NamedTuple):
    """What is wrong with a file: a kind to count by, and a sentence that names the file.

    A notice is about what may be intended.
    """

    kind: str
    sentence: str
    notice: bool = False


class DatasetLayout(Protocol):
    """What a dataset's file defines: the meaning of its labels and where its files are."""

    spec: DatasetSpec

    def samples(self, split: str, problems: list[Problem] | None = None) -> list[Sample]:
        """The split's pairs, sorted by file name (Sec. 4.3).

        Raises InputError where files are missing; with ``problems``, faulty pairs go there and are left out instead.
        """


def image_files(folder: Path) -> list[Path]:
    """Image files of a folder and its subfolders, linked ones too, sorted by their path; hidden ones are left out.

    Raises:
        InputError: a folder cannot be listed.
    """
    try:
        found = retried(lambda: _walk(folder))
    except OSError as error:
        raise InputError(f"{error.filename} cannot be listed ({error.strerror}); check its permissions.") from error
    return sorted(path for path in found if path.suffix.lower() in IMAGE_SUFFIXES)


def check_pairs(
    samples: Iterable[Sample], split: str, folder: Path, problems: list[Problem] | None = None
) -> list[Sample]:
    """The samples as a list, sorted by file name, if there are any and each has a label of its own.

    With ``problems``, pairs that have none, or share one, are told of there and left out.

    Raises:
        InputError: no image at all; without ``problems``, images without a label, two with one, or what is no file but
            a named pipe, a socket or a device, the first named.
    """
    samples = sorted(samples, key=lambda sample: (sample.image.name, sample.image))
    if not samples:
        raise InputError(f"{folder} holds no images for the split {split}; put them there or choose another split.")
    samples, missing = _with_label(samples, problems)
    if problems is not None:
        problems += [Problem("no label", f"{_lack(sample)}.") for sample in missing]
    elif missing:
        more = f" and {len(missing) - 1} more images have none" if len(missing) > 1 else ""
        raise InputError(f"{_lack(missing[0])}{more}; add the label or remove the image.")
    owners: dict[Path, Path] = {}
    for image, label in samples:
        if (other := owners.setdefault(label, image)) != image:
            sentence = f"{other} and {image} both have the label {label}; remove or rename one of them."
            if problems is None:
                raise InputError(sentence)
            problems.append(Problem("shared label", sentence))
    return [sample for sample in samples if owners[sample.label] == sample.image]


def _with_label(samples: list[Sample], problems: list[Problem] | None) -> tuple[list[Sample], list[Sample]]:
    """(samples whose label is there, those whose label is missing); what is no file is in neither."""
    found: tuple[list[Sample], list[Sample]] = ([], [])
    for sample in samples:
        try:
            is_file(sample.image)  # raises for what must not be opened
            found[0 if is_file(sample.label) else 1].append(sample)
        except InputError as error:
            if problems is None:
                raise
            problems.append(Problem("not a file", str(error)))
    return found


def _lack(sample: Sample) -> str:
    image, label = sample
    others = (label.with_suffix(suffix) for suffix in IMAGE_SUFFIXES)
    other = next((path for path in others if path != image and is_file(path)), None)
    hint = "" if other is None else f" (there is {other}, but labels have to be PNGs)"
    return f"{image} has no label: {label} is missing{hint}"


def check_folder(folder: Path, layout: str) -> Path:
    """``folder`` if it exists.

    Raises:
        InputError: it does not; names the folder, the dataset's layout and how to point elsewhere.
    """
    if not folder.is_dir():
        raise InputError(f"The folder {folder} is missing; the layout is {layout}; set data.root to where it lies.")
    return folder


def check_split(split: str) -> tuple[str, ...]:
    """The splits on disk that make up ``split``: trainval is train and val.

    Raises:
        InputError: ``split`` is none of `SPLITS`.
    """
    if split not in SPLITS:
        raise InputError(f"The split {split!r} does not exist; choose one of {', '.join(SPLITS)}.")
    return ("train", "val") if split == "trainval" else (split,)


def _walk(folder: Path) -> list[Path]:
    found = []
    for parent, folders, names in os.walk(folder, followlinks=True, onerror=_raise):
        folders[:] = [name for name in folders if not name.startswith(".")]  # .ipynb_checkpoints
        found += [Path(parent, name) for name in names if not name.startswith(".")]  # ._0001.png, as macOS leaves them
    return found


def _raise(error: OSError) -> None:
    raise error
