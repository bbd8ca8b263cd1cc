"""Reading of images and labels of every kind."""

import io
import struct
import zlib
from dataclasses import replace

import cv2
import numpy as np
import pytest
from layouts import indices, is_sentence, noise, write
from PIL import Image

from regseg.data.datasets.cityscapes import SPEC as CITYSCAPES
from regseg.data.datasets.layout import Sample
from regseg.data.datasets.spec import DatasetSpec
from regseg.data.io import read_image, read_label, read_sample
from regseg.errors import InputError

IDS = DatasetSpec("ids", ("a", "b", "c", "d"), ((0, 0, 0),) * 4, ids={0: 0, 1: 1, 2: 2, 3: 3, 255: 255})
COLORS = DatasetSpec("colours", ("a", "b"), ((10, 20, 30), (5, 5, 5)), color_ids=(((10, 20, 30), 0), ((5, 5, 5), 1)))
MASK = DatasetSpec("mask", ("a", "b"), ((0, 0, 0),) * 2, ids={0: 0, 255: 1})


def pillow(path, array, mode=None, **options):
    image = Image.fromarray(array)
    (image if mode is None else image.convert(mode)).save(path, **options)
    return path


def palette_png(path, values, colors, **options):
    image = Image.fromarray(values).convert("L")
    image.putpalette([channel for color in colors for channel in color])
    image.save(path, **options)
    assert path.read_bytes()[25] == 3  # a palette indeed
    return path


def grey_png(path, depth, rows, width):
    """Encode a grey PNG of fewer than 8 bits, which neither OpenCV nor Pillow writes."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, len(rows), depth, 0, 0, 0, 0)
    pixels = zlib.compress(b"".join(b"\0" + row for row in rows))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b""))
    return path


def tiff(rgba, order, big):
    """Encode RGBA pixels as a TIFF or BigTIFF in one of both byte orders; Pillow writes only "<"."""
    height, width = rgba.shape[:2]
    # Width, height, bits per channel, RGB, place, channels, bytes, and the tag of a straight alpha channel.
    tags = [(256, width), (257, height), (258, 8), (262, 2), (273, 16), (277, 4), (279, rgba.size), (338, 2)]
    entry, start = f"{order}HHQQ" if big else f"{order}HHII", 16 + rgba.size
    shift = 48 if big else 16  # values of two bytes stand at the left
    entries = [struct.pack(entry, tag, 3, 1, value << shift if order == ">" else value) for tag, value in tags]
    head = struct.pack(f"{order}HHHQ", 43, 8, 0, start) if big else struct.pack(f"{order}HI", 42, start)
    count = struct.pack(f"{order}Q" if big else f"{order}H", len(tags))
    head = ((b"II" if order == "<" else b"MM") + head).ljust(16, b"\0")
    return head + rgba.tobytes() + count + b"".join(entries) + bytes(8)


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tif", ".tiff", ".PNG"])
def test_an_image_is_read_as_rgb(tmp_path, suffix):
    pixels = noise(0)
    image = read_image(write(tmp_path / f"a{suffix}", pixels))
    assert image.dtype == np.uint8 and np.array_equal(image, pixels)


@pytest.mark.parametrize("suffix", [".jpg", ".jpeg", ".webp"])
def test_a_compressed_image_is_nearly_the_same(tmp_path, suffix):
    pixels = np.full((16, 16, 3), (200, 100, 50), np.uint8)
    assert np.abs(read_image(write(tmp_path / f"a{suffix}", pixels)).astype(int) - pixels).max() < 8


def test_grey_palette_and_alpha_images(tmp_path):
    grey = noise(0)[..., 0]
    expected = grey[..., None].repeat(3, 2)
    assert np.array_equal(read_image(write(tmp_path / "grey.png", grey)), expected)
    assert np.array_equal(read_image(pillow(tmp_path / "la.png", np.dstack([grey, 255 - grey]))), expected)
    assert np.array_equal(read_image(pillow(tmp_path / "bit.png", grey > 99)), (expected > 99) * np.uint8(255))
    rgba = np.dstack([noise(1), grey])
    assert np.array_equal(read_image(write(tmp_path / "rgba.png", rgba)), rgba[..., :3])
    values = np.arange(6, dtype=np.uint8).reshape(2, 3) % 3
    colors = [(10, 20, 30), (40, 50, 60), (40, 50, 60)]
    for name, options in (("plain", {}), ("transparent", {"transparency": 0}), ("packed", {"bits": 2})):
        image = read_image(palette_png(tmp_path / f"{name}.png", values, colors, **options))
        assert np.array_equal(image, np.array(colors, np.uint8)[values])


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("order", ["<", ">"])
def test_the_alpha_channel_of_a_tiff_leaves_the_colours(tmp_path, order, big):
    """Orthophotos often have one, and OpenCV would multiply the colours by it."""
    rgba = np.dstack([noise(1), noise(0)[..., 0]])
    (tmp_path / "a.tif").write_bytes(tiff(rgba, order, big))
    assert np.array_equal(read_image(tmp_path / "a.tif"), rgba[..., :3])


def test_16_bits_are_reduced_to_the_upper_8(tmp_path):
    pixels = noise(0).astype(np.uint16)
    assert np.array_equal(read_image(write(tmp_path / "rgb.png", pixels * 257)), pixels)
    assert np.array_equal(read_image(write(tmp_path / "grey.png", pixels[..., 0] * 257))[..., 1], pixels[..., 0])


def test_exif_orientation_is_applied(tmp_path):
    """Annotation tools apply the EXIF orientation, and export labels accordingly."""
    exif = Image.Exif()
    exif[0x0112] = 6  # a quarter turn clockwise to view
    stored = np.zeros((20, 40, 3), np.uint8)
    stored[:, :20] = 255
    image = read_image(pillow(tmp_path / "photo.jpg", stored, exif=exif, quality=95))
    assert image.shape == (40, 20, 3) and image[:18].mean() > 240 and image[22:].mean() < 15

    sample = Sample(tmp_path / "photo.jpg", write(tmp_path / "upright.png", np.zeros((40, 20), np.uint8)))
    assert read_sample(sample, IDS)[1].shape == (40, 20)
    sideways = Sample(tmp_path / "photo.jpg", write(tmp_path / "stored.png", np.zeros((20, 40), np.uint8)))
    with pytest.raises(InputError) as error:
        read_sample(sideways, IDS)
    assert is_sentence(error, "photo.jpg is 20x40", "stored.png is 40x20", "rotated")


def test_index_labels_of_every_kind(tmp_path):
    values = indices(0, [0, 1, 2, 3])
    rgb = values[..., None].repeat(3, 2)
    duplicate_colors = [(0, 0, 0), (7, 7, 7), (7, 7, 7), (7, 7, 7)]
    for path in (
        write(tmp_path / "grey.png", values),
        write(tmp_path / "grey16.png", values.astype(np.uint16)),
        write(tmp_path / "rgb.png", rgb),
        write(tmp_path / "rgb16.png", rgb.astype(np.uint16)),
        pillow(tmp_path / "grey_alpha.png", np.dstack([values, 255 - values])),
        write(tmp_path / "rgba.png", np.dstack([rgb, 9 * values])),
        palette_png(tmp_path / "palette.png", values, duplicate_colors),
        palette_png(tmp_path / "packed.png", values, duplicate_colors, bits=2),
        palette_png(tmp_path / "transparent.png", values, duplicate_colors, transparency=1),
        pillow(tmp_path / "deflated.png", values, optimize=True),
    ):
        label = read_label(path, IDS)
        assert label.dtype == np.uint8 and np.array_equal(label, values), path.name


def test_grey_with_alpha_is_an_index_label_where_colours_are_known_too(tmp_path):
    both = DatasetSpec("both", ("a", "b"), ((9, 9, 9),) * 2, ids={0: 0, 1: 1}, color_ids=(((1, 1, 1), 0),))
    path = pillow(tmp_path / "grey_alpha.png", np.full((2, 2, 2), 1, np.uint8))
    assert (read_label(path, both) == 1).all()


def test_grey_labels_of_few_bits_keep_their_values(tmp_path):
    """OpenCV scales them to 0-255, and the foreground of a binary mask would be ignored as 255."""
    mask = noise(0)[..., 0] > 99
    path = pillow(tmp_path / "bit.png", mask)
    assert path.read_bytes()[24:26] == b"\x01\x00"
    assert np.array_equal(read_label(path, IDS), mask)
    assert np.array_equal(read_label(path, MASK), mask)  # its ids are 0 and 255: a shrunken mask of 8 bits
    assert read_label(grey_png(tmp_path / "2.png", 2, [bytes([0b00011011])], 4), IDS).tolist() == [[0, 1, 2, 3]]
    assert read_label(grey_png(tmp_path / "4.png", 4, [b"\x01\x23"], 4), IDS).tolist() == [[0, 1, 2, 3]]


def test_colour_labels_of_every_kind(tmp_path):
    classes = indices(0, [0, 1])
    rgb = np.array(COLORS.colors, np.uint8)[classes]
    for path in (
        write(tmp_path / "rgb.png", rgb),
        write(tmp_path / "rgb16.png", rgb.astype(np.uint16) * 257),
        write(tmp_path / "rgba.png", np.dstack([rgb, 100 * classes])),
        palette_png(tmp_path / "palette.png", 1 - classes, COLORS.colors[::-1]),  # its indices mean nothing
        palette_png(tmp_path / "duplicates.png", 2 * classes, [COLORS.colors[0]] * 2 + [COLORS.colors[1]]),
    ):
        assert np.array_equal(read_label(path, COLORS), classes), path.name
    all_grey = write(tmp_path / "all_grey.png", np.full((2, 2, 3), 5, np.uint8))
    one_channel = write(tmp_path / "one_channel.png", np.full((2, 2), 5, np.uint8))
    assert (read_label(all_grey, COLORS) == 1).all() and (read_label(one_channel, COLORS) == 1).all()
    black_and_white = replace(COLORS, color_ids=(((0, 0, 0), 0), ((255, 255, 255), 1)))
    assert np.array_equal(read_label(pillow(tmp_path / "bit.png", classes == 1), black_and_white), classes)


def test_a_cityscapes_label_is_read(tmp_path):
    label = read_label(write(tmp_path / "a.png", np.array([[7, 33, 0, 255, 29]], np.uint8)), CITYSCAPES)
    assert label.tolist() == [[0, 18, 255, 255, 255]]


def test_an_unknown_value_names_the_file(tmp_path):
    path = write(tmp_path / "label.png", np.full((2, 2), 77, np.uint8))
    with pytest.raises(InputError) as error:
        read_label(path, CITYSCAPES)
    assert is_sentence(error, path, "value 77 at 4 pixels", "0-33, 255", "cityscapes")


def test_a_jpeg_label_is_refused(tmp_path):
    path = tmp_path / "label.png"
    write(tmp_path / "label.jpg", np.zeros((8, 8), np.uint8)).rename(path)
    with pytest.raises(InputError) as error:
        read_label(path, IDS)
    assert is_sentence(error, path, "JPEG", "PNG")


@pytest.mark.parametrize(
    ("kind", "options"),
    [("WEBP", {}), ("AVIF", {}), ("JPEG2000", {}), ("TIFF", {"compression": "jpeg"})],
)
def test_a_label_of_another_lossy_format_is_refused(tmp_path, kind, options):
    """A browser, for example, saves a WebP under the name of the PNG that it shows."""
    path = tmp_path / "label.png"
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(path, kind, **options)
    with pytest.raises(InputError) as error:
        read_label(path, IDS)
    assert is_sentence(error, path, kind[:4].replace("WEBP", "WebP"), "PNG")


@pytest.mark.parametrize(("kind", "options"), [("WEBP", {"lossless": True}), ("TIFF", {}), ("BMP", {})])
def test_a_label_of_another_lossless_format_is_read(tmp_path, kind, options):
    values = noise(0)[..., 0] % 4
    path = tmp_path / "label.png"
    Image.fromarray(values).save(path, kind, **options)
    assert np.array_equal(read_label(path, IDS), values)


def test_a_label_of_floating_point_values_is_refused(tmp_path):
    Image.fromarray(np.zeros((8, 8), np.float32)).save(tmp_path / "label.png", "TIFF")
    with pytest.raises(InputError) as error:
        read_label(tmp_path / "label.png", IDS)
    assert is_sentence(error, "label.png", "floating-point", "PNG")


def broken_files():
    png = cv2.imencode(".png", noise(0, (64, 64)))[1].tobytes()
    huge = bytearray(png)
    huge[16:24] = struct.pack(">II", 200_000, 200_000)
    huge[29:33] = struct.pack(">I", zlib.crc32(huge[12:29]))
    palette = io.BytesIO()
    Image.fromarray(noise(0, (64, 64))).quantize(16).save(palette, "PNG")
    return {
        "zero_bytes.png": b"",
        "text.png": b"this is no image\n",
        "signature.png": png[:8],
        "truncated.png": png[: len(png) // 2],
        "without_end.png": png[:-4],
        "truncated.jpg": cv2.imencode(".jpg", noise(0, (64, 64)))[1].tobytes()[:-200],
        "truncated.bmp": cv2.imencode(".bmp", noise(0, (64, 64)))[1].tobytes()[:-200],
        "huge.png": bytes(huge),
        "palette.png": palette.getvalue()[: len(palette.getvalue()) // 2],
    }


@pytest.mark.parametrize("name", broken_files())
def test_an_unreadable_file_is_reported_in_one_sentence(tmp_path, capfd, name):
    path = tmp_path / name
    path.write_bytes(broken_files()[name])
    with pytest.raises(InputError) as error:
        read_image(path)
    assert is_sentence(error, path, "empty" if name == "zero_bytes.png" else "not a readable image")
    if path.suffix == ".png":
        with pytest.raises(InputError) as error:
            read_label(path, IDS)
        assert is_sentence(error, path)
    assert "OpenCV" not in capfd.readouterr().err


def test_a_missing_file_is_reported(tmp_path):
    for path in (tmp_path / "missing.png", tmp_path):
        with pytest.raises(InputError) as error:
            read_image(path)
        assert is_sentence(error, path)


def test_different_sizes_are_reported(tmp_path):
    sample = Sample(write(tmp_path / "a.png", noise(0, (4, 6))), write(tmp_path / "b.png", np.zeros((4, 5), np.uint8)))
    with pytest.raises(InputError) as error:
        read_sample(sample, IDS)
    assert is_sentence(error, "a.png is 6x4", "b.png is 5x4", "export")
