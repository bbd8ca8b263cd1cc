"""The protocol of a dataset, and functions that list its pairs of image and label files."""

from __future__ import annotations

import inspect
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import takewhile
from pathlib import Path
from typing import NamedTuple, Protocol

from regseg.data.datasets.spec import DatasetSpec
from regseg.errors import InputError
from regseg.system.reading import is_file, retried

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp")
PARTS = ("train", "val", "test")  # the splits on disk
SPLITS = (*PARTS, "trainval")
# Names of folders that stand for a split, such as Train, training, valid and val2017; only some of them are read.
# Four digits must be a year, because test0001 may be a drive.
_SPLIT_NAME = re.compile(r"(?:(train)(?:ing)?|(val)(?:id|idation)?|(test)(?:ing)?)(?:(?:19|20)\d\d)?", re.IGNORECASE)

_OTHER_NAMES = {  # of the folders; SegmentationClass and JPEGImages are those of PASCAL VOC and CVAT
    "labels": ("masks", "mask", "label", "annotations", "annots", "gt", "SegmentationClass"),
    "images": ("JPEGImages", "image", "imgs", "img", "photos"),
}
_IMAGE_ENDING = re.compile(
    r"[ _-](?:image|img|photo|rgb)$", re.IGNORECASE
)  # as in 7_image.jpg, whose label is 7_mask.png


class Sample(NamedTuple):
    """An image file and its label file."""

    image: Path
    label: Path


class Problem(NamedTuple):
    """A problem with a file of a dataset.

    Attributes:
        kind: the category under which the problem is counted.
        sentence: a message that names the file.
        notice: whether the problem may be intended.
    """

    kind: str
    sentence: str
    notice: bool = False


class DatasetLayout(Protocol):
    """The interface of a dataset: the encoding of its labels and the location of its files."""

    @property
    def spec(self) -> DatasetSpec:
        """The classes and how label files encode them."""

    def samples(self, split: str, problems: list[Problem] | None = None) -> list[Sample]:
        """List the pairs of image and label files of a split, sorted by file name (Sec. 4.3).

        Args:
            split: train, val, test or trainval.
            problems: if given, faulty pairs are skipped and their problems are appended to this list.

        Raises:
            InputError: there are no images; without ``problems``, also if a label is missing or shared.
        """


def list_samples(dataset: DatasetLayout, split: str, problems: list[Problem] | None = None) -> list[Sample]:
    """Return `DatasetLayout.samples`; a custom class may also return pairs of paths and need not take ``problems``.

    Raises:
        InputError: as `DatasetLayout.samples`, or the class returns nothing or something else.
    """
    takes_problems = problems is not None and "problems" in inspect.signature(dataset.samples).parameters
    found = dataset.samples(split, problems) if takes_problems else dataset.samples(split)
    try:
        samples = [Sample(Path(image), Path(label)) for image, label in found]
    except (TypeError, ValueError) as error:
        raise InputError(
            f"{type(dataset).__name__}.samples({split!r}) does not list pairs of an image and a label file ({error}); "
            "return a list of regseg.data.datasets.layout.Sample."
        ) from error
    if not samples and not takes_problems:  # where problems are collected, every pair may have one
        raise InputError(
            f"{type(dataset).__name__}.samples({split!r}) lists no images; set data.root to the dataset's folder, or "
            "choose another split."
        )
    return samples


def image_files(folder: Path) -> list[Path]:
    """List the image files of a folder and its subfolders, sorted by path.

    Links are followed, except to a folder that contains the link. Hidden files and folders are skipped.

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
    """Check that every image has its own label, and sort the pairs by file name.

    Args:
        samples: the pairs.
        split: the split, for the error.
        folder: the folder of the images, for the error.
        problems: if given, faulty pairs are skipped and their problems are appended to this list.

    Raises:
        InputError: there are no images; without ``problems``, also if a label is missing or shared by two images, or a
            path is a named pipe, a socket or a device.
    """
    samples = sorted(samples, key=lambda sample: (sample.image.name, sample.image))
    if not samples:
        raise InputError(
            f"{folder} has no images for the split {split}; put {', '.join(IMAGE_SUFFIXES)} files there or "
            "choose another split."
        )
    samples, missing = _with_label(samples, problems)
    messages = _missing_label_messages(missing, {sample.label for sample in samples})
    if problems is not None:
        problems += [Problem("no label", f"{message}.") for message in messages]
    elif missing:
        others = {1: "", 2: " and 1 more image has none"}
        more = others.get(len(missing), f" and {len(missing) - 1} more images have none")
        hint = "; add the label or remove the image (python -m regseg.prepare what=check lists all problems)."
        raise InputError(f"{next(messages)}{more}{hint}")
    owners: dict[Path, Path] = {}
    for image, label in samples:
        if (other := owners.setdefault(label, image)) != image:
            sentence = f"{other} and {image} have the same label {label}; remove or rename one of them."
            if problems is None:
                raise InputError(sentence)
            problems.append(Problem("shared label", sentence))
    return [sample for sample in samples if owners[sample.label] == sample.image]


def _with_label(samples: list[Sample], problems: list[Problem] | None) -> tuple[list[Sample], list[Sample]]:
    """Return the samples with a label and the samples without one; skip paths that are not regular files."""
    found: tuple[list[Sample], list[Sample]] = ([], [])
    for sample in samples:
        try:
            is_file(sample.image)  # raises InputError for a named pipe, a socket or a device
            found[0 if is_file(sample.label) else 1].append(sample)
        except InputError as error:
            if problems is None:
                raise
            problems.append(Problem("not a file", str(error)))
    return found


def _missing_label_messages(missing: Iterable[Sample], used: set[Path]) -> Iterator[str]:
    """Yield a message for each image without a label.

    The first message of a folder also names a file that may be the label. ``used`` are the labels of other images.
    """
    searched: set[Path] = set()
    for image, label in missing:
        hint = ""
        others = (label.with_suffix(suffix) for suffix in IMAGE_SUFFIXES)
        if other := next((path for path in others if path != image and is_file(path)), None):
            hint = f" (there is {other}, but labels must be PNGs)"
        elif label.parent not in searched and (other := _named_like(image, label, used)):
            reason = "its name does not match the image" if other.suffix.lower() == ".png" else "labels must be PNGs"
            hint = f" (there is {other}, but {reason})"
        searched.add(label.parent)
        yield f"{image} has no label: {label} is missing{hint}"


def _named_like(image: Path, label: Path, used: set[Path]) -> Path | None:
    """Return a file next to ``label`` whose name contains that of the image; None if there is none."""
    stem = image.stem[: shared_start(image.stem, label.stem)].rstrip("_")  # without the endings of Cityscapes
    stem = _IMAGE_ENDING.sub("", stem) or stem
    pattern = re.compile(rf"(?<![^\W_]){re.escape(stem)}(?![^\W_])", re.IGNORECASE)  # 1, but not 10
    files = image_files(label.parent) if stem and label.parent.is_dir() else []
    return next((path for path in files if pattern.search(path.name) and path != image and path not in used), None)


def shared_start(first: Sequence[str], second: Sequence[str]) -> int:
    """Return how many items two sequences have in common at their start."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(first, second, strict=False)))


def split_of(name: str) -> str | None:
    """Return the split for which the name of a folder stands, as in Train, training or val2017; None for others."""
    match = _SPLIT_NAME.fullmatch(name)
    return match[match.lastindex].lower() if match and match.lastindex else None


def check_folder(folder: Path, layout: str) -> Path:
    """Return ``folder`` if it exists.

    Args:
        folder: the folder.
        layout: the layout of the dataset, for the error.

    Raises:
        InputError: the folder does not exist.
    """
    if not folder.is_dir():
        raise InputError(f"The folder {folder} is missing; set data.root to a folder with the layout {layout}.")
    return folder


def deeper_root(root: Path) -> str:
    """Return a hint if a folder in ``root`` is the dataset, as after unpacking an archive, or the folder above it."""
    if root.name in _OTHER_NAMES and all((root.parent / kind).is_dir() for kind in _OTHER_NAMES):
        return f"perhaps data.root={root.parent} is meant; otherwise "
    found = sorted(path.parent for path in root.glob("*/images") if path.is_dir() and not split_of(path.parent.name))
    return f"perhaps data.root={found[0]} is meant; otherwise " if found else ""


def other_name(root: Path, kind: str) -> str:
    """Return a hint if the ``images`` or ``labels`` are in a folder of another name, such as ``masks``."""
    found = [root / name for name in _OTHER_NAMES[kind] if (root / name).is_dir()]
    return f"rename {found[0]} to {kind}, or " if found and not (root / kind).is_dir() else ""


def check_split(split: str) -> tuple[str, ...]:
    """Return the splits on disk that a split consists of: trainval is train and val.

    Raises:
        InputError: ``split`` is not one of `SPLITS`.
    """
    if split not in SPLITS:
        raise InputError(f"The split {split!r} does not exist; choose one of {', '.join(SPLITS)}.")
    return ("train", "val") if split == "trainval" else (split,)


def _walk(folder: Path) -> list[Path]:
    found: list[Path] = []
    for parent, folders, names in os.walk(folder, followlinks=True, onerror=_raise):
        folders[:] = [name for name in folders if not name.startswith(".")]  # .ipynb_checkpoints
        folders[:] = [name for name in folders if not _leads_back(Path(parent, name))]
        found += [Path(parent, name) for name in names if not name.startswith(".")]  # ._0001.png of macOS
    return found


def _leads_back(folder: Path) -> bool:
    """Return whether ``folder`` is a link to a folder that contains it, by its name or behind an earlier link."""
    if not folder.is_symlink():
        return False
    places = (*Path(os.path.abspath(folder)).parents, *folder.parent.resolve().parents)
    return folder.resolve() in {place.resolve() for place in places}


def _raise(error: OSError) -> None:
    raise error
