"""Decoding of image files into pixels. Every failure is an InputError that names the file."""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from regseg.errors import InputError

# OpenCV would print messages about a broken file in addition to the error raised here.
cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)


LARGEST = 2**30  # pixels per image
LARGEST_SIDE = 2**15  # pixels of a side to which images may be resized
# An upper bound: deflate compresses by a factor of at most 1032; a byte contains at most 8 pixels.
PIXELS_PER_BYTE = 8 * 1032
GRAY, RGB, PALETTE, GRAY_ALPHA = 0, 2, 3, 4  # colour types of PNG
_PNG_SIGNATURE, _JPEG_SIGNATURE = b"\x89PNG\r\n\x1a\n", b"\xff\xd8"
_PNG_END, _JPEG_END = b"IEND\xae\x42\x60\x82", b"\xff\xd9"
_PADDING, _LONGEST_ENDING = b"\x00\xff", 4  # bytes at the end of a JPEG; how many of them may belong to its pixels
_JPEG_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}  # markers of segments that contain the size
_PLAIN_FRAMES = (0xC0, 0xC1, 0xC2)  # sequential and progressive, with Huffman codes
_PLAIN_SAMPLINGS = (0x11, 0x12, 0x21, 0x22, 0x14, 0x41)  # of luminance, if the colours have 0x11
_ORIENTATION, _EXIF = 0x0112, b"Exif\0\0"
# Signatures of TIFF and BigTIFF -> byte order, type of offsets, type of the number of tags.
_TIFFS = {b"II*\0": ("<", "I", "H"), b"MM\0*": (">", "I", "H"), b"II+\0": ("<", "Q", "Q"), b"MM\0+": (">", "Q", "Q")}
_COMPRESSION, _EXTRA_SAMPLES, _PREMULTIPLIED, _STRAIGHT = 259, 338, 1, 2  # tags of TIFF, kinds of alpha channels
_FLIPS = {2: 1, 3: -1, 4: 0, 6: 1, 7: -1, 8: 0}  # EXIF orientation -> code of `cv2.flip`, after transposing from 5 up


def is_jpeg(data: bytes) -> bool:
    """Return whether a file's content is a JPEG, regardless of its name."""
    return data.startswith(_JPEG_SIGNATURE)


def lossy_kind(data: bytes) -> str | None:
    """Return the format of a file if its compression may change values, such as "a JPEG"; None for other files."""
    if is_jpeg(data):
        return "a JPEG"
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return None if b"VP8L" in data else "a WebP with lossy compression"
    if data[4:8] == b"ftyp":
        return "an AVIF or HEIC file"
    if data.startswith((b"\0\0\0\x0cjP  ", b"\xff\x4f\xff\x51")):
        return "a JPEG 2000 file"
    found = _tiff_tag(data, _COMPRESSION)
    return "a TIFF with JPEG compression" if found is not None and found[1] in (6, 7) else None


def png_kind(data: bytes) -> tuple[int, int | None]:
    """Return (bits per channel, colour type) of a PNG, or (8, None) for any other file."""
    return (data[24], data[25]) if data.startswith(_PNG_SIGNATURE) and len(data) > 25 else (8, None)


def decode(data: bytes, flags: int, path: Path) -> np.ndarray:
    """Decode an image file with OpenCV.

    Args:
        data: the content of the file.
        flags: flags of `cv2.imdecode`.
        path: the file, for the error.

    Returns:
        (H, W) or (H, W, channels), as `cv2.imdecode` returns it.

    Raises:
        InputError: the file cannot be decoded, or its header claims more pixels than its bytes can encode.
    """
    _check_claims(data, path)
    try:
        image = cv2.imdecode(np.frombuffer(_kept_colors(data), np.uint8), flags)
    except Exception:  # decoders raise various types
        image = None
    if image is None:
        raise _undecodable(path)
    return image


def decode_plain_png(data: bytes, color_type: int) -> np.ndarray | None:
    """Decode a PNG of 8 bits per channel, twice as fast as OpenCV.

    Args:
        data: the content of the file.
        color_type: `GRAY` or `RGB`.

    Returns:
        (H, W, 1 or 3) uint8; None if the file is another format or type, has transparency or a rotation, or is damaged.
        Such files are decoded by `decode`.
    """
    if not data.startswith(_PNG_SIGNATURE) or data[24:29] != bytes([8, color_type, 0, 0, 0]):
        return None
    start, pixels, _ = data[:8192].partition(b"IDAT")
    complete = pixels and _PNG_END in data[-64:]  # files of the half storage have a trailer after it
    if not complete or b"eXIf" in start or b"tRNS" in start:
        return None
    from kornia_rs.io import decode_image_png_u8

    height, width = claimed_size(data) or (0, 0)
    if not 0 < width * height <= min(LARGEST, PIXELS_PER_BYTE * len(data)):
        return None
    try:
        return decode_image_png_u8(data, (height, width), "rgb" if color_type == RGB else "mono")
    except Exception:  # damaged; OpenCV decides whether it is readable
        return None


def decode_jpeg(data: bytes, path: Path) -> np.ndarray | None:
    """Decode a JPEG; refuse a damaged one, which OpenCV fills with grey or shifted blocks.

    The pixels are those of OpenCV. Only libjpeg-turbo's own interface reports the decoder's warnings as an error.

    Args:
        data: the content of the file.
        path: the file, for the error.

    Returns:
        (H, W, 3) uint8 RGB, rotated according to EXIF; None for kinds that are left to `decode`: CMYK, arithmetic
            coding, 12 bits, and unusual subsampling.

    Raises:
        InputError: the file is damaged, or its header claims more pixels than its bytes can encode.
    """
    _check_claims(data, path)
    if claimed_size(data) is None:  # OpenCV limits the size by itself
        return None
    image = _decode_strictly(data)
    if image is None:
        if not _is_plain_jpeg(data):
            return None
        unpadded = (_decode_strictly(variant) for variant in _unpadded(data))
        image = next((found for found in unpadded if found is not None), None)
    if image is None:
        raise InputError(
            f"{path} is not a readable image (a damaged JPEG: decoding it reports errors); replace it, or open it in "
            "an image editor and save it again."
        )
    orientation = _orientation(data)
    if 5 <= orientation <= 8:
        image = cv2.transpose(image)
    return cv2.flip(image, _FLIPS[orientation]) if orientation in _FLIPS else image


def _decode_strictly(data: bytes) -> np.ndarray | None:
    """Return the pixels of a JPEG; None if the decoder warns, or if this interface does not decode its kind."""
    from kornia_rs.io import decode_image_jpegturbo

    try:
        return decode_image_jpegturbo(data, "rgb")
    except Exception:  # kornia_rs raises its decoder's warnings as errors of undocumented types
        return None


def _unpadded(data: bytes) -> Iterator[bytes]:
    """Yield a JPEG without the bytes 00 and FF before its end marker, with which some cameras pad files.

    The first of these bytes may belong to the pixels; without one of them, the decoder warns as for a truncated file.
    Bytes that are left over after damaged pixels have other values, so such a file is still refused.
    """
    headers = max((at for _, at in _segments(data)), default=0)  # a thumbnail in them has an end marker, too
    end = data.find(_JPEG_END, headers)
    kept = len(data[:end].rstrip(_PADDING))
    for length in range(kept, min(kept + _LONGEST_ENDING, end - 1) + 1):
        yield data[:length] + data[end:]


def decode_palette(data: bytes, path: Path, *, as_colors: bool) -> np.ndarray:
    """Decode a palette PNG with Pillow, because OpenCV does not return the indices.

    Args:
        data: the content of the file.
        path: the file, for the error.
        as_colors: return colours instead of indices.

    Returns:
        Indices (H, W) uint8, or RGB colours (H, W, 3) uint8.

    Raises:
        InputError: the file cannot be decoded, or its header claims more pixels than its bytes can encode.
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
    """Return (height, width) from the header of a PNG or JPEG; None for any other file or a damaged header."""
    if data.startswith(_PNG_SIGNATURE) and len(data) >= 24:
        width, height = struct.unpack_from(">II", data, 16)
        return height, width
    for marker, at in _segments(data):
        if marker in _JPEG_FRAMES and at + 5 <= len(data):
            return struct.unpack_from(">HH", data, at + 1)
    return None


def _segments(data: bytes) -> Iterator[tuple[int, int]]:
    """Yield (marker, start of the content) of the segments of a JPEG before its pixels; nothing for any other file."""
    at = 2 if is_jpeg(data) else len(data)
    while at + 4 <= len(data) and data[at] == 0xFF and data[at + 1] != 0xDA:
        if data[at + 1] == 0xFF:  # a marker may follow any number of such bytes
            at += 1
            continue
        yield data[at + 1], at + 4
        at += 2 + max(2, int.from_bytes(data[at + 2 : at + 4], "big"))


def _kept_colors(data: bytes) -> bytes:
    """Return a file with which OpenCV drops an alpha channel; it would multiply the colours of a TIFF by it."""
    found = _tiff_tag(data, _EXTRA_SAMPLES)
    if found is None or found[1] != _STRAIGHT:
        return data
    at, order = found[0], _TIFFS[data[:4]][0]
    return data[:at] + struct.pack(f"{order}H", _PREMULTIPLIED) + data[at + 2 :]


def _tiff_tag(data: bytes, tag: int) -> tuple[int, int] | None:
    """Return (place, value) of a tag of two bytes in the first image of a TIFF; None if there is none."""
    if data[:4] not in _TIFFS:
        return None
    order, offset, count = _TIFFS[data[:4]]
    width = struct.calcsize(offset)
    try:
        (start,) = struct.unpack_from(order + offset, data, width)
        (number,) = struct.unpack_from(order + count, data, start)
        first, length = start + struct.calcsize(count), 4 + 2 * width
        for at in range(first, min(first + length * number, len(data)), length):
            if struct.unpack_from(f"{order}H", data, at)[0] == tag:
                return at + 4 + width, struct.unpack_from(f"{order}H", data, at + 4 + width)[0]
    except struct.error:  # damaged; the decoder reports it
        return None
    return None


def _is_plain_jpeg(data: bytes) -> bool:
    """Return whether libjpeg-turbo decodes such a JPEG without a warning: grey or YCbCr, 8 bits, usual subsampling."""
    for marker, at in _segments(data):
        if marker == 0xE0 and data.startswith(b"JFIF\0", at) and data[at + 5 : at + 6] != b"\1":
            return False  # it warns of other revisions of JFIF
        if marker in _JPEG_FRAMES and at + 6 <= len(data):
            samplings = data[at + 7 : at + 6 + 3 * data[at + 5] : 3]
            usual = len(samplings) in (1, 3) and samplings[0] in _PLAIN_SAMPLINGS and set(samplings[1:]) <= {0x11}
            return marker in _PLAIN_FRAMES and data[at] == 8 and usual
    return False


def _orientation(data: bytes) -> int:
    """Return the EXIF orientation of a JPEG, from 1 (upright) to 8; 1 if it has none."""
    for marker, at in _segments(data):
        if marker == 0xE1 and data.startswith(_EXIF, at):
            from PIL import Image

            exif = Image.Exif()
            try:
                exif.load(data[at : at - 2 + int.from_bytes(data[at - 2 : at], "big")])
                return int(exif.get(_ORIENTATION, 1))
            except Exception:  # damaged
                return 1
    return 1


def _check_claims(data: bytes, path: Path) -> None:
    """Reject a file whose header claims more than its bytes can encode, before a decoder allocates memory for it."""
    size = claimed_size(data)
    if size is not None and size[0] * size[1] > min(LARGEST, PIXELS_PER_BYTE * len(data)):
        raise _undecodable(path, f" (its header claims {size[1]}x{size[0]} pixels in {len(data)} bytes)")
    if data.startswith(_PNG_SIGNATURE) and not _chunks_fit(data):
        raise _undecodable(path)


def _chunks_fit(data: bytes) -> bool:
    """Return whether all chunks of a PNG end within the file; False for a truncated file."""
    at, kind = 8, b""
    while at + 8 <= len(data) and kind != b"IEND":
        length, kind = struct.unpack_from(">I4s", data, at)
        at += 12 + length
    return at <= len(data)


def _undecodable(path: Path, reason: str = "") -> InputError:
    return InputError(f"{path} is not a readable image{reason}; replace it or leave it out.")
