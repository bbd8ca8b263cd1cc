"""Decoding the bytes of image files into pixels. Every failure is one sentence that names the file."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import cv2
import numpy as np

from regseg.errors import InputError

# What OpenCV would print about a broken file, our error says in one sentence.
cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)


LARGEST = 2**30  # pixels of an image
PIXELS_PER_BYTE = 8 * 1032  # an upper bound: deflate reaches 1032, a byte holds at most 8 pixels
GRAY, RGB, PALETTE, GRAY_ALPHA = 0, 2, 3, 4  # colour types of PNG
_PNG_SIGNATURE, _JPEG_SIGNATURE = b"\x89PNG\r\n\x1a\n", b"\xff\xd8"
_PNG_END = b"IEND\xae\x42\x60\x82"
_JPEG_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}  # markers of segments that hold the size


def is_jpeg(data: bytes) -> bool:
    """Whether a file's content is a JPEG, whatever its name says."""
    return data.startswith(_JPEG_SIGNATURE)


def png_kind(data: bytes) -> tuple[int, int | None]:
    """(bits a channel, colour type) of a PNG; (8, None) of any other file."""
    return (data[24], data[25]) if data.startswith(_PNG_SIGNATURE) and len(data) > 25 else (8, None)


def decode(data: bytes, flags: int, path: Path) -> np.ndarray:
    """An image file's content by OpenCV.

    Raises:
        InputError: it cannot be decoded, or claims more pixels than its bytes can hold.
    """
    _check_claims(data, path)
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except Exception:  # whatever a decoder raises
        image = None
    if image is None:
        raise _undecodable(path)
    return image


def decode_plain_png(data: bytes, color_type: int) -> np.ndarray | None:
    """A PNG of 8 bits and that colour type as (H, W, channels), in half of OpenCV's time; None for any other.

    Files with transparency or a rotation are left to OpenCV, as are damaged ones.
    """
    if not data.startswith(_PNG_SIGNATURE) or data[24:29] != bytes([8, color_type, 0, 0, 0]):
        return None
    start, pixels, _ = data[:8192].partition(b"IDAT")
    whole = pixels and _PNG_END in data[-64:]  # the half storage keeps a trailer behind it
    if not whole or b"eXIf" in start or b"tRNS" in start:
        return None
    from kornia_rs.io import decode_image_png_u8

    height, width = claimed_size(data) or (0, 0)
    if not 0 < width * height <= min(LARGEST, PIXELS_PER_BYTE * len(data)):
        return None
    try:
        return decode_image_png_u8(data, (height, width), "rgb" if color_type == RGB else "mono")
    except Exception:  # what OpenCV makes of the file decides
        return None


def decode_palette(data: bytes, path: Path, *, as_colors: bool) -> np.ndarray:
    """A palette PNG's indices (H, W) uint8, which OpenCV cannot give, or its colours (H, W, 3) uint8.

    Raises:
        InputError: it cannot be decoded, or claims more pixels than its bytes can hold.
    """
    from PIL import Image

    _check_claims(data, path)
    try:
        with Image.open(io.BytesIO(data), formats=("PNG",)) as image:
            return np.array(image.convert("RGB") if as_colors else image)
    except Exception as error:  # Pillow raises OSError, SyntaxError, ValueError, struct.error and others
        reason = " ".join(str(error).split()).rstrip(".")
        raise InputError(f"{path} is not a readable image ({reason}); replace it.") from error


def claimed_size(data: bytes) -> tuple[int, int] | None:
    """(height, width) that the header of a PNG or JPEG claims; None for any other file or a damaged header."""
    if data.startswith(_PNG_SIGNATURE) and len(data) >= 24:
        width, height = struct.unpack_from(">II", data, 16)
        return height, width
    at = 2 if is_jpeg(data) else len(data)
    while at + 9 <= len(data) and data[at] == 0xFF:
        if data[at + 1] in _JPEG_FRAMES:
            return struct.unpack_from(">HH", data, at + 5)
        at += 2 + max(2, int.from_bytes(data[at + 2 : at + 4], "big"))
    return None


def _check_claims(data: bytes, path: Path) -> None:
    """Refuse what claims more than its bytes can hold, before a decoder takes memory for it."""
    size = claimed_size(data)
    if size is not None and size[0] * size[1] > min(LARGEST, PIXELS_PER_BYTE * len(data)):
        raise _undecodable(path, f": it claims {size[1]}x{size[0]} pixels in {len(data)} bytes")
    if data.startswith(_PNG_SIGNATURE) and not _chunks_fit(data):
        raise _undecodable(path)


def _chunks_fit(data: bytes) -> bool:
    """Whether no chunk of a PNG claims to be longer than the file; false of one that was cut off."""
    at, kind = 8, b""
    while at + 8 <= len(data) and kind != b"IEND":
        length, kind = struct.unpack_from(">I4s", data, at)
        at += 12 + length
    return at <= len(data)


def _undecodable(path: Path, reason: str = "") -> InputError:
    return InputError(f"{path} is not a readable image{reason}; replace it or take it out of the dataset.")
