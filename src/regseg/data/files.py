"""Finding and reading image and label files."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple, Protocol

import cv2
import numpy as np

from regseg.data.spec import IGNORE_INDEX, DatasetSpec
from regseg.errors import InputError

# What OpenCV would print about a broken file, our error says in one sentence.
cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)

LARGEST = 2**30  # pixels; what claims more is damaged, and would take all memory
IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp")
SPLITS = ("train", "val", "test", "trainval")
_PNG_SIGNATURE, _JPEG_SIGNATURE = b"\x89PNG\r\n\x1a\n", b"\xff\xd8"
_PNG_END = b"IEND\xae\x42\x60\x82"
_GRAY, _RGB, _PALETTE, _GRAY_ALPHA = 0, 2, 3, 4  # colour types of PNG


class Sample(NamedTuple):
    """One image and its label on disk."""

    image: Path
    label: Path


class Problem(NamedTuple):
    """What is wrong with a file: a kind to count by, and a sentence that names the file."""

    kind: str
    sentence: str


class Dataset(Protocol):
    """What a dataset's file defines: the meaning of its labels and where its files are."""

    spec: DatasetSpec

    def samples(self, split: str, problems: list[Problem] | None = None) -> list[Sample]:
        """The split's pairs, sorted by file name (Sec. 4.3).

        Raises InputError where files are missing; with ``problems``, faulty pairs go there and are left out instead.
        """


def read_image(path: Path) -> np.ndarray:
    """An image file as (H, W, 3) uint8 RGB, upright as viewers show it (EXIF).

    Grey and palette images are expanded, an alpha channel is dropped, of 16 bits the upper 8 are taken.

    Raises:
        InputError: the file is missing or cannot be decoded.
    """
    data = _read_bytes(path)
    if (image := _decode_plain_png(data, _RGB)) is not None:
        return image
    return cv2.cvtColor(_decode(data, cv2.IMREAD_COLOR, path), cv2.COLOR_BGR2RGB)


def read_label(path: Path, spec: DatasetSpec) -> np.ndarray:
    """A label file as (H, W) uint8 class indices of ``spec``.

    Index labels may be grey or palette PNGs (the palette's indices count then) of any depth, colour labels RGB, RGBA or
    palette PNGs (its colours count where ``spec`` has no ids). Alpha is dropped.

    Raises:
        InputError: the file is missing, cannot be decoded, or holds a value that ``spec`` does not know.
    """
    data = _read_bytes(path)
    if data[:2].tobytes() == _JPEG_SIGNATURE:
        raise InputError(f"{path} is a JPEG, whose compression changes label values; export the label as a PNG.")
    depth, color_type = data[24:26].tolist() if data[:8].tobytes() == _PNG_SIGNATURE and data.size > 25 else (8, None)
    if color_type == _PALETTE:
        return spec.decode(_read_palette(path, as_colors=not spec.ids), path)
    if color_type == _GRAY and (gray := _decode_plain_png(data, _GRAY)) is not None:
        return spec.decode(gray[..., 0], path)
    raw = _decode(data, cv2.IMREAD_UNCHANGED, path)
    if color_type == _GRAY and depth < 8 and spec.ids.get(255, IGNORE_INDEX) == IGNORE_INDEX:
        raw = raw // (255 // (2**depth - 1))  # OpenCV stretches the values of 1, 2 or 4 bits to 0-255
    if color_type == _GRAY_ALPHA:
        raw = raw[..., 0]
    if raw.ndim == 3:
        raw = cv2.cvtColor(raw, cv2.COLOR_BGRA2RGB if raw.shape[2] == 4 else cv2.COLOR_BGR2RGB)
    return spec.decode(raw, path)


def read_sample(sample: Sample, spec: DatasetSpec) -> tuple[np.ndarray, np.ndarray]:
    """A pair as (H, W, 3) uint8 RGB and (H, W) uint8 class indices.

    Raises:
        InputError: a file is unreadable, or the two differ in size.
    """
    image, label = read_image(sample.image), read_label(sample.label, spec)
    if image.shape[:2] != label.shape:
        upright = ", upright as a viewer shows it" if image.shape[:2] == label.shape[::-1] else ""
        raise InputError(
            f"{sample.image} is {_size(image)} pixels but its label {sample.label} is {_size(label)}; "
            f"export the label at the image's size{upright}."
        )
    return image, label


def image_files(folder: Path) -> list[Path]:
    """Image files of a folder and its subfolders, linked ones too, sorted by their path; hidden ones are left out.

    Raises:
        InputError: a folder cannot be listed.
    """
    found = []
    for parent, folders, names in os.walk(folder, followlinks=True, onerror=_fail_to_list):
        folders[:] = [name for name in folders if not name.startswith(".")]  # .ipynb_checkpoints
        found += [Path(parent, name) for name in names if not name.startswith(".")]  # ._0001.png, as macOS leaves them
    return sorted(path for path in found if path.suffix.lower() in IMAGE_SUFFIXES)


def check_pairs(
    samples: Iterable[Sample], split: str, folder: Path, problems: list[Problem] | None = None
) -> list[Sample]:
    """The samples as a list, sorted by file name, if there are any and each has a label of its own.

    With ``problems``, pairs that have none, or share one, are told of there and left out.

    Raises:
        InputError: no image at all; without ``problems``, images without a label, or two with one, the first named.
    """
    samples = sorted(samples, key=lambda sample: (sample.image.name, sample.image))
    if not samples:
        raise InputError(f"{folder} holds no images for the split {split}; put them there or choose another split.")
    missing = [sample for sample in samples if not sample.label.is_file()]
    if problems is not None:
        problems += [Problem("no label", f"{image} has no label: {label} is missing") for image, label in missing]
        samples = [sample for sample in samples if sample not in set(missing)]
    elif missing:
        more = f" and {len(missing) - 1} more images have none" if len(missing) > 1 else ""
        raise InputError(
            f"{missing[0].image} has no label: {missing[0].label} is missing{more}; add the label or remove the image."
        )
    owners: dict[Path, Path] = {}
    for image, label in samples:
        if (other := owners.setdefault(label, image)) != image:
            sentence = f"{other} and {image} both have the label {label}; remove or rename one of them."
            if problems is None:
                raise InputError(sentence)
            problems.append(Problem("shared label", sentence))
    return [sample for sample in samples if owners[sample.label] == sample.image]


def check_folder(folder: Path, layout: str) -> Path:
    """``folder`` if it exists.

    Raises:
        InputError: it does not; names the folder, the dataset's layout and how to point elsewhere.
    """
    if not folder.is_dir():
        raise InputError(
            f"The folder {folder} is missing; the layout is {layout}; "
            "set data.root (root in regseg.evaluate) to where it lies."
        )
    return folder


def check_split(split: str) -> tuple[str, ...]:
    """The splits on disk that make up ``split``: trainval is train and val.

    Raises:
        InputError: ``split`` is none of `SPLITS`.
    """
    if split not in SPLITS:
        raise InputError(f"The split {split!r} does not exist; choose one of {', '.join(SPLITS)}.")
    return ("train", "val") if split == "trainval" else (split,)


def _read_bytes(path: Path) -> np.ndarray:
    try:
        data = np.fromfile(path, np.uint8)
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}); check the file and its permissions.") from error
    if data.size == 0:
        raise InputError(f"{path} is an empty file; replace it or take it out of the dataset.")
    return data


def _decode_plain_png(data: np.ndarray, color_type: int) -> np.ndarray | None:
    """A PNG of 8 bits and that colour type as (H, W, channels), in half of OpenCV's time; None for any other.

    Files with transparency or a rotation are left to OpenCV, as are damaged ones.
    """
    if data[:8].tobytes() != _PNG_SIGNATURE or data[24:29].tolist() != [8, color_type, 0, 0, 0]:
        return None
    start, pixels, _ = data[:8192].tobytes().partition(b"IDAT")
    whole = pixels and _PNG_END in data[-64:].tobytes()  # the half storage keeps a trailer behind it
    if not whole or b"eXIf" in start or b"tRNS" in start:
        return None
    from kornia_rs.io import decode_image_png_u8

    width, height = (int(side) for side in data[16:24].view(">u4"))
    if width * height > LARGEST:
        return None
    try:
        return decode_image_png_u8(data.tobytes(), (height, width), "rgb" if color_type == _RGB else "mono")
    except Exception:  # the library has none of its own; what OpenCV makes of the file decides
        return None


def _decode(data: np.ndarray, flags: int, path: Path) -> np.ndarray:
    try:
        image = cv2.imdecode(data, flags)
    except cv2.error:  # a header that tells an absurd size
        image = None
    if image is None:
        raise InputError(f"{path} is not a readable image; replace it or take it out of the dataset.")
    return image


def _read_palette(path: Path, *, as_colors: bool) -> np.ndarray:
    # OpenCV can only give the palette's colours; the indices need Pillow.
    from PIL import Image

    try:
        with Image.open(path) as image:
            return np.array(image.convert("RGB") if as_colors else image)
    except OSError as error:
        raise InputError(f"{path} is not a readable image ({error}); replace it.") from error


def _fail_to_list(error: OSError) -> None:
    raise InputError(f"{error.filename} cannot be listed ({error.strerror}); check its permissions.") from error


def _size(array: np.ndarray) -> str:
    return f"{array.shape[1]}x{array.shape[0]}"
