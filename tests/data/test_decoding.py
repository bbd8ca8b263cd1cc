"""Decoding: headers that claim too much, and damaged files of every format."""

import io
import random
import struct
import zlib

import cv2
import numpy as np
import pytest
from layouts import is_sentence, noise
from PIL import Image

from regseg.data.datasets.spec import DatasetSpec
from regseg.data.io import read_image, read_label
from regseg.errors import InputError

SPEC = DatasetSpec("s", ("a", "b"), ((0, 0, 0), (1, 1, 1)), ids={**dict.fromkeys(range(255), 1), 255: 255})


def saved(image, kind, **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def with_size(png, width, height):
    changed = bytearray(png)
    changed[16:24] = struct.pack(">II", width, height)
    changed[29:33] = struct.pack(">I", zlib.crc32(changed[12:29]))
    return bytes(changed)


@pytest.mark.parametrize("size", [(20_000, 20_000), (2**31 - 1, 2**31 - 1), (2**32 - 1, 1), (60_000, 17_000)])
@pytest.mark.parametrize("mode", ["RGB", "L", "P", "1"])
def test_a_png_that_claims_an_absurd_size_is_refused_before_it_is_decoded(tmp_path, monkeypatch, size, mode):
    path = tmp_path / "a.png"
    path.write_bytes(with_size(saved(Image.fromarray(noise(0)).convert(mode), "PNG"), *size))
    monkeypatch.setattr(cv2, "imdecode", lambda *args: pytest.fail("decoded"))
    monkeypatch.setattr(Image, "open", lambda *args, **options: pytest.fail("decoded"))
    for read in (read_image, lambda path: read_label(path, SPEC)):
        with pytest.raises(InputError) as error:
            read(path)
        assert is_sentence(error, path, "not a readable image", f"{size[0]}x{size[1]}")


@pytest.mark.parametrize("mode", ["RGB", "L", "P"])
def test_a_png_whose_chunk_claims_more_than_the_file_is_refused(tmp_path, monkeypatch, mode):
    """OpenCV would need up to 2 GB and many seconds for it."""
    data = bytearray(saved(Image.fromarray(noise(0)).convert(mode), "PNG"))
    at = data.index(b"IDAT") - 4
    data[at : at + 4] = struct.pack(">I", 2**31 - 1)
    (tmp_path / "a.png").write_bytes(data)
    monkeypatch.setattr(cv2, "imdecode", lambda *args: pytest.fail("decoded"))
    for read in (read_image, lambda path: read_label(path, SPEC)):
        with pytest.raises(InputError) as error:
            read(tmp_path / "a.png")
        assert is_sentence(error, "a.png", "not a readable image")


def test_a_jpeg_that_claims_an_absurd_size_is_refused(tmp_path):
    data = bytearray(saved(Image.fromarray(noise(0)), "JPEG"))
    at = data.index(b"\xff\xc0") + 5
    data[at : at + 4] = struct.pack(">HH", 32_000, 32_000)
    (tmp_path / "a.jpg").write_bytes(data)
    with pytest.raises(InputError) as error:
        read_image(tmp_path / "a.jpg")
    assert is_sentence(error, "a.jpg", "32000x32000")


JPEGS = {  # options of Pillow
    "4:2:0": {}, "4:2:2": {"subsampling": 1}, "4:4:4": {"subsampling": 0}, "progressive": {"progressive": True},
    "restarts": {"restart_marker_blocks": 3}, "RGB": {"keep_rgb": True}, "low quality": {"quality": 5},
}  # fmt: skip


def photo(size=(41, 57)):
    """Smooth noise, whose subsampled colours differ from pixel to pixel."""
    return Image.fromarray(cv2.resize(noise(0, (9, 13)), size[::-1], interpolation=cv2.INTER_CUBIC))


def by_opencv(data):
    return cv2.cvtColor(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)


@pytest.mark.parametrize("kind", [*JPEGS, "grey"])
def test_the_pixels_of_a_jpeg_are_those_of_opencv(tmp_path, monkeypatch, kind):
    """OpenCV itself is not called, so the check for damage costs no second decoding."""
    image = photo()
    data = saved(image.convert("L"), "JPEG") if kind == "grey" else saved(image, "JPEG", **JPEGS[kind])
    expected = by_opencv(data)
    monkeypatch.setattr(cv2, "imdecode", lambda *args: pytest.fail("decoded by OpenCV"))
    (tmp_path / "a.jpg").write_bytes(data + b"trailing bytes, as some phones append")
    assert (read_image(tmp_path / "a.jpg") == expected).all()


@pytest.mark.parametrize("orientation", range(10))  # 0 and 9 do not exist
def test_a_jpeg_is_rotated_as_opencv_rotates_it(tmp_path, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    (tmp_path / "a.jpg").write_bytes(data := saved(photo(), "JPEG", exif=exif))
    image = read_image(tmp_path / "a.jpg")
    assert image.shape == ((57, 41, 3) if orientation in (5, 6, 7, 8) else (41, 57, 3))
    assert (image == by_opencv(data)).all() and image.flags["C_CONTIGUOUS"]
    changed = data.replace(b"Exif\0\0", b"Exif\0\0damaged")
    (tmp_path / "a.jpg").write_bytes(changed)
    assert (read_image(tmp_path / "a.jpg") == by_opencv(changed)).all()


def test_fill_bytes_before_the_markers_of_a_jpeg(tmp_path):
    """Any number of bytes 0xFF may precede a marker: the claimed size and EXIF are found all the same."""
    exif = Image.Exif()
    exif[0x0112] = 6
    data = saved(photo(), "JPEG", exif=exif)
    path = tmp_path / "filled.jpg"
    for marker in (b"\xff\xe1", b"\xff\xc0"):
        data = data.replace(marker, b"\xff\xff" + marker, 1)
    path.write_bytes(data)
    assert read_image(path).shape == (57, 41, 3)
    at = data.index(b"\xff\xc0") + 5
    path.write_bytes(data[:at] + b"\xff\x00\xff\x00" + data[at + 4 :])
    with pytest.raises(InputError, match="claims"):
        read_image(path)


@pytest.mark.parametrize("kind", [*JPEGS, "grey"])
def test_a_jpeg_that_decodes_with_errors_is_refused(tmp_path, capfd, kind):
    """OpenCV reads every one of these, with a message of its decoder on stderr or with none."""
    image = photo((120, 160))
    data = saved(image.convert("L"), "JPEG") if kind == "grey" else saved(image, "JPEG", **JPEGS[kind])
    middle = data.rindex(b"\xff\xda") + (len(data) - data.rindex(b"\xff\xda")) // 2
    for damaged in (
        data[:middle] + b"\xff\xd9",
        data[:-9] + b"\xff\xd9",
        data[:middle] + bytes(len(data) - middle) + b"\xff\xd9",
        data[:-2] + 20 * b"\x12" + bytes(16) + b"\xff\xd9",  # left over, as after a shift
    ):
        assert by_opencv(damaged).shape == (120, 160, 3)
        capfd.readouterr()
        (tmp_path / "a.jpg").write_bytes(damaged)
        with pytest.raises(InputError) as error:
            read_image(tmp_path / "a.jpg")
        assert is_sentence(error, "a.jpg", "damaged JPEG") and capfd.readouterr().err == ""


@pytest.mark.parametrize("padding", [b"\0", bytes(16), bytes(99), b"\xff" * 9, b"\0\0\0\xff\xff"])
def test_a_jpeg_with_padding_before_its_end_is_read(tmp_path, padding):
    for kind, options in JPEGS.items():
        for quality in range(20, 90, 10):  # the last byte of the pixels is another one each time
            data = saved(photo(), "JPEG", **{"quality": quality, **options})
            (tmp_path / "a.jpg").write_bytes(data[:-2] + padding + data[-2:] + b"trailing bytes")
            assert (read_image(tmp_path / "a.jpg") == by_opencv(data)).all(), kind


def test_padding_after_pixels_that_end_in_zeros(tmp_path):
    endings = set()
    for number in range(400):
        data = saved(Image.fromarray(noise(number, (16, 16))), "JPEG", quality=20 + number % 70, subsampling=0)
        if data[-3] == 0:  # FF is always followed by 00, and some encoders write another 00
            endings.add(data[-5:-2].partition(b"\xff")[2])
            (tmp_path / "a.jpg").write_bytes(data[:-2] + bytes(16) + data[-2:])
            assert (read_image(tmp_path / "a.jpg") == by_opencv(data)).all()
    assert endings == {b"\0", b"\0\0"}


def test_a_jpeg_that_only_opencv_decodes_is_read(tmp_path):
    other_revision = bytearray(saved(photo(), "JPEG"))
    other_revision[11] = 2
    for data in (saved(photo().convert("CMYK"), "JPEG"), bytes(other_revision)):
        (tmp_path / "a.jpg").write_bytes(data)
        assert (read_image(tmp_path / "a.jpg") == by_opencv(data)).all()


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA", "P", "1"])
def test_a_damaged_png_is_refused(tmp_path, mode):
    data = saved(photo().quantize(9) if mode == "P" else photo().convert(mode), "PNG")
    at, end = data.index(b"IDAT") + 4, data.index(b"IEND") - 8
    pixels = zlib.decompress(data[at:end])

    def with_pixels(compressed, rest=data[end + 4 :]):
        head = data[: at - 8] + struct.pack(">I", len(compressed)) + b"IDAT" + compressed
        return head + struct.pack(">I", zlib.crc32(b"IDAT" + compressed)) + rest

    wrong = bytes([data[end] ^ 1])
    for damaged in (
        data[: (at + end) // 2], data[: (at + end) // 2] + data[-12:], data[:-13], data[:end] + wrong + data[end + 1 :],
        with_pixels(data[at : (at + end) // 2]), with_pixels(zlib.compress(pixels[: len(pixels) // 2])),
    ):  # fmt: skip
        (tmp_path / "a.png").write_bytes(damaged)
        with pytest.raises(InputError) as error:
            read_image(tmp_path / "a.png")
        assert is_sentence(error, "a.png", "not a readable image")
    (tmp_path / "a.png").write_bytes(with_pixels(zlib.compress(pixels)))  # so the others are refused for their damage
    assert (read_image(tmp_path / "a.png") == by_opencv(data)).all()


def test_a_webp_that_is_cut_off_is_refused(tmp_path):
    for lossless in (False, True):
        data = saved(photo(), "WEBP", lossless=lossless)
        for length in (len(data) // 2, len(data) * 9 // 10, len(data) - 1):
            (tmp_path / "a.webp").write_bytes(data[:length])
            with pytest.raises(InputError) as error:
                read_image(tmp_path / "a.webp")
            assert is_sentence(error, "a.webp", "not a readable image")


def test_images_of_one_colour_are_read(tmp_path):
    """They have the highest possible compression."""
    for mode, kind in (("1", "PNG"), ("L", "PNG"), ("P", "PNG"), ("RGB", "JPEG")):
        path = tmp_path / f"a.{kind.lower()}"
        options = {"optimize": True, "progressive": True} if kind == "JPEG" else {"compress_level": 9}
        path.write_bytes(saved(Image.new(mode, (3000, 2000)), kind, **options))
        assert read_image(path).shape == (2000, 3000, 3)


def test_any_error_of_a_decoder_becomes_one_sentence(tmp_path, monkeypatch):
    palette = tmp_path / "palette.png"
    palette.write_bytes(saved(Image.fromarray(noise(0)).quantize(4), "PNG"))
    for error_type in (Image.DecompressionBombError, SyntaxError, struct.error, MemoryError, OverflowError, ValueError):

        def fail(*args, error_type=error_type, **options):
            raise error_type("what it says\nin two lines.")

        monkeypatch.setattr(Image, "open", fail)
        monkeypatch.setattr(cv2, "imdecode", fail)
        for read in (read_image, lambda path: read_label(path, SPEC)):
            with pytest.raises(InputError) as error:
                read(palette)
            assert is_sentence(error, palette)


def test_damaged_files_of_every_format_are_read_or_refused(tmp_path):
    """Random bytes are changed or removed and PNG checksums corrected: the result is an array or an InputError."""
    rng = random.Random(0)
    image = Image.fromarray(noise(0, (9, 13)))
    palette = image.quantize(7)
    good = [
        saved(image, "PNG"), saved(image.convert("L"), "PNG"), saved(palette, "PNG", transparency=1),
        saved(image, "JPEG"), saved(image, "WEBP"), saved(image, "BMP"), saved(image, "TIFF"),
        saved(image, "TIFF", compression="tiff_lzw"), saved(image, "PNG", save_all=True, append_images=[image]),
    ]  # fmt: skip
    path, read = tmp_path / "a.png", 0
    for _ in range(400):
        path.write_bytes(_damaged(rng, rng.choice(good)))
        for of_path in (read_image, lambda path: read_label(path, SPEC)):
            try:
                array = of_path(path)
            except InputError as error:
                assert "\n" not in str(error) and str(path) in str(error)
            else:
                assert array.dtype == np.uint8 and array.size
                read += 1
    assert read > 50


def _damaged(rng, data):
    changed = bytearray(data)
    for _ in range(rng.randint(1, 3)):
        at = rng.randrange(min(len(changed), rng.choice((80, 10**6))))
        if (way := rng.randrange(4)) == 0:
            changed[at] ^= 1 << rng.randrange(8)
        elif way == 1:
            changed[at] = rng.choice((0, 1, 127, 128, 255))
        elif way == 2:
            del changed[at : at + rng.randint(1, 19)]
        else:
            del changed[at + 1 :]
        changed = changed or bytearray(b"a")
    return _with_checksums(changed) if rng.random() < 0.7 else bytes(changed)


def _with_checksums(data):
    at = 8
    while data[:4] == b"\x89PNG" and at + 12 <= len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        end = at + 8 + length
        if end + 4 > len(data):
            break
        data[end : end + 4] = struct.pack(">I", zlib.crc32(data[at + 4 : end]))
        at = end + 4
    return bytes(data)
