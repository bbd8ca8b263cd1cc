"""Reading of image and label files, and encoding of pictures."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np

from regseg.data.datasets.layout import Sample
from regseg.data.datasets.spec import IGNORE_INDEX, DatasetSpec
from regseg.data.decoding import (
    GRAY,
    GRAY_ALPHA,
    PALETTE,
    RGB,
    decode,
    decode_jpeg,
    decode_palette,
    decode_plain_png,
    is_jpeg,
    lossy_kind,
    png_kind,
)
from regseg.errors import InputError
from regseg.system.reading import read_bytes


def read_image(path: Path) -> np.ndarray:
    """Read an image file.

    Grey and palette images are expanded, an alpha channel is dropped, and 16 bits are reduced to the upper 8.

    Args:
        path: the file.

    Returns:
        (H, W, 3) uint8 RGB, rotated according to EXIF.

    Raises:
        InputError: the file is missing, cannot be decoded, or is a JPEG that `decode_jpeg` refuses.
    """
    data = read_bytes(path)
    image = decode_jpeg(data, path) if is_jpeg(data) else decode_plain_png(data, RGB)
    if image is not None:
        return image
    return cv2.cvtColor(decode(data, cv2.IMREAD_COLOR, path), cv2.COLOR_BGR2RGB)


def read_label(path: Path, spec: DatasetSpec) -> np.ndarray:
    """Read a label file.

    Index labels are grey or palette PNGs of any bit depth. Colour labels are RGB or RGBA PNGs. A palette PNG is read as
    indices, or as colours if ``spec`` has no ids. An alpha channel is dropped.

    Args:
        path: the file.
        spec: the encoding of the classes.

    Returns:
        (H, W) uint8 class indices, 255 for ignored pixels.

    Raises:
        InputError: the file is missing, cannot be decoded, or contains a value that ``spec`` does not define.
    """
    # Black and white are colours where there are no ids, and 0 and 255 where 255 is the id of a class.
    unscale = bool(spec.ids) and spec.ids.get(255, IGNORE_INDEX) == IGNORE_INDEX
    return spec.decode(decode_label(read_bytes(path), path, palette_colors=not spec.ids, unscale=unscale), path)


def decode_label(data: bytes, path: Path, *, palette_colors: bool = False, unscale: bool = True) -> np.ndarray:
    """Decode a label file without knowing its classes.

    Args:
        data: the content of the file.
        path: the file, for the error.
        palette_colors: return the colours of a palette PNG instead of its indices.
        unscale: return the stored values of 1, 2 or 4 bits, which OpenCV scales to 0-255.

    Returns:
        Integer values (H, W) or RGB colours (H, W, 3).

    Raises:
        InputError: the file cannot be decoded, is compressed with loss, or contains floating-point values.
    """
    if lossy := lossy_kind(data):
        raise InputError(f"{path} is {lossy}, whose compression may change label values; export the label as a PNG.")
    depth, color_type = png_kind(data)
    if color_type == PALETTE:
        return decode_palette(data, path, as_colors=palette_colors)
    if color_type == GRAY and (gray := decode_plain_png(data, GRAY)) is not None:
        return gray[..., 0]
    raw = decode(data, cv2.IMREAD_UNCHANGED, path)
    if raw.dtype.kind == "f":
        raise InputError(f"{path} contains floating-point values; export the label as a PNG.")
    if color_type == GRAY and depth < 8 and unscale:
        raw = raw // (255 // (2**depth - 1))
    if color_type == GRAY_ALPHA:
        raw = raw[..., 0]
    if raw.ndim == 3:
        raw = cv2.cvtColor(raw, cv2.COLOR_BGRA2RGB if raw.shape[2] == 4 else cv2.COLOR_BGR2RGB)
    return raw


def read_sample(sample: Sample, spec: DatasetSpec) -> tuple[np.ndarray, np.ndarray]:
    """Read an image and its label.

    Returns:
        The image (H, W, 3) uint8 RGB and the label (H, W) uint8, as `read_image` and `read_label` return them.

    Raises:
        InputError: a file is unreadable, or the sizes differ.
    """
    image, label = read_image(sample.image), read_label(sample.label, spec)
    if image.shape[:2] != label.shape:
        upright = ", rotated as image viewers show it" if image.shape[:2] == label.shape[::-1] else ""
        raise InputError(
            f"{sample.image} is {_size(image)} pixels but its label {sample.label} is {_size(label)}; "
            f"export the label at the image's size{upright}."
        )
    return image, label


def any_labelled(samples: Iterable[Sample], spec: DatasetSpec) -> bool:
    """Return whether any label has a pixel that is not ignored; labels are read up to the first such pixel."""
    return any((read_label(sample.label, spec) != IGNORE_INDEX).any() for sample in samples)


def encode_png(pixels: np.ndarray) -> bytes:
    """Return RGB pixels (H, W, 3) uint8 or grey ones (H, W) uint8 as a PNG; `cv2.imwrite` would fail silently."""
    bgr = cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR) if pixels.ndim == 3 else pixels
    return cv2.imencode(".png", bgr)[1].tobytes()


def _size(array: np.ndarray) -> str:
    return f"{array.shape[1]}x{array.shape[0]}"
