"""Files that are no files, reads that fail once, and content that claims what it does not hold."""

import errno
import io
import os
import random
import socket
import struct
import zlib

import cv2
import numpy as np
import pytest
from layouts import is_sentence, noise, write, write_folder
from PIL import Image

from regseg.data.datamodule import SegmentationDataModule
from regseg.data.datasets.folder import Folder
from regseg.data.datasets.spec import DatasetSpec
from regseg.data.io import read_image, read_label
from regseg.errors import InputError
from regseg.system import reading

SPEC = DatasetSpec("s", ("a", "b"), ((0, 0, 0), (1, 1, 1)), ids={**dict.fromkeys(range(255), 1), 255: 255})


def saved(image, kind, **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


# --- what is no file --------------------------------------------------------------------------------------------------


def make_special(kind, path):
    if kind == "named pipe":
        os.mkfifo(path)
    elif kind == "link to a pipe":
        os.mkfifo(path.with_name(".pipe"))
        path.symlink_to(path.with_name(".pipe"))
    elif kind == "device":
        path.symlink_to("/dev/zero")
    else:
        server = socket.socket(socket.AF_UNIX)
        folder = os.getcwd()
        os.chdir(path.parent)  # the path of a socket may only have some 100 bytes
        server.bind(path.name)
        os.chdir(folder)


@pytest.mark.parametrize("kind", ["named pipe", "link to a pipe", "device", "socket"])
@pytest.mark.parametrize("place", ["images/train/1.png", "labels/train/1.png"])
def test_what_is_no_file_is_refused_at_once(tmp_path, kind, place):
    root = write_folder(tmp_path)
    (root / place).unlink()
    make_special(kind, root / place)
    dataset, problems = Folder(root), []
    with pytest.raises(InputError) as error:
        dataset.samples("train")
    assert is_sentence(error, root / place, kind.rpartition(" ")[2], "remove it")
    assert len(dataset.samples("train", problems)) == 3 and [problem.kind for problem in problems] == ["not a file"]
    for read in (read_image, lambda path: read_label(path, SPEC)):
        with pytest.raises(InputError) as error:
            read(root / place)
        assert is_sentence(error, root / place)


def test_a_pipe_in_place_of_the_classes_is_refused(tmp_path):
    root = write_folder(tmp_path)
    (root / "classes.yaml").unlink()
    os.mkfifo(root / "classes.yaml")
    with pytest.raises(InputError) as error:
        _ = Folder(root).spec
    assert is_sentence(error, root / "classes.yaml", "named pipe")


# --- reads that fail --------------------------------------------------------------------------------------------------


@pytest.fixture
def failing(monkeypatch):
    """``failing(number, count)``: the next ``count`` reads fail with that errno; gives the list of all reads."""
    monkeypatch.setattr(reading, "RETRY_AFTER", 0)
    reads, read = [], reading.Path.read_bytes

    def start(number, count):
        def flaky(path):
            reads.append(path)
            if len(reads) <= count:
                raise OSError(number, os.strerror(number), str(path))
            return read(path)

        monkeypatch.setattr(reading.Path, "read_bytes", flaky)
        return reads

    return start


@pytest.mark.parametrize("number", [errno.EIO, errno.ESTALE, errno.ETIMEDOUT])
def test_a_read_that_fails_once_is_tried_again(tmp_path, failing, number):
    path, pixels = write(tmp_path / "a.png", noise(0)), noise(0)
    reads = failing(number, 1)
    assert np.array_equal(read_image(path), pixels) and len(reads) == 2


def test_a_read_that_fails_twice_is_one_sentence(tmp_path, failing):
    path = write(tmp_path / "a.png", noise(0))
    reads = failing(errno.EIO, 9)
    with pytest.raises(InputError) as error:
        read_image(path)
    assert is_sentence(error, path, os.strerror(errno.EIO)) and len(reads) == 2


@pytest.mark.parametrize("number", [errno.EACCES, errno.ENOENT])
def test_what_will_not_pass_is_not_tried_again(tmp_path, failing, number):
    path = write(tmp_path / "a.png", noise(0))
    reads = failing(number, 9)
    with pytest.raises(InputError):
        read_image(path)
    assert len(reads) == 1


def test_a_missing_file_is_told_of_without_delay(tmp_path, monkeypatch):
    monkeypatch.setattr(reading.time, "sleep", lambda seconds: pytest.fail("waits"))
    with pytest.raises(InputError) as error:
        read_image(tmp_path / "a.png")
    assert is_sentence(error, tmp_path / "a.png")


def test_a_listing_that_fails_once_is_tried_again(tmp_path, monkeypatch):
    monkeypatch.setattr(reading, "RETRY_AFTER", 0)
    root, scan, calls = write_folder(tmp_path), os.scandir, []

    def flaky(path):
        calls.append(path)
        if len(calls) == 1:
            raise OSError(errno.ESTALE, "stale", str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", flaky)
    assert len(Folder(root).samples("train")) == 4 and len(calls) > 1


# --- what claims more than it holds -----------------------------------------------------------------------------------


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
    """OpenCV would take up to 2 GB for it, and many seconds."""
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


def test_the_emptiest_images_are_read(tmp_path):
    """Of one colour, as far as formats compress."""
    for mode, kind in (("1", "PNG"), ("L", "PNG"), ("P", "PNG"), ("RGB", "JPEG")):
        path = tmp_path / f"a.{kind.lower()}"
        options = {"optimize": True, "progressive": True} if kind == "JPEG" else {"compress_level": 9}
        path.write_bytes(saved(Image.new(mode, (3000, 2000)), kind, **options))
        assert read_image(path).shape == (2000, 3000, 3)


def test_what_a_decoder_raises_is_one_sentence(tmp_path, monkeypatch):
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
    """Bytes changed, cut off and taken out at random, PNG checksums corrected: an array or one sentence, never else."""
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


# --- a few pixels, strange names --------------------------------------------------------------------------------------

AUGMENT = {"randaug": {}, "jitter": {"brightness": 0.3, "contrast": 0.4, "saturation": 0.5}}


@pytest.mark.parametrize("size", [(1, 1), (3, 500), (500, 3), (2, 1)])
@pytest.mark.parametrize("kind", ["full", "half", "cache"])
def test_images_of_a_few_pixels(tmp_path, size, kind):
    root = write_folder(tmp_path, ())
    for split in ("train", "val"):
        for number in range(2):
            write(root / f"images/{split}/{number}.png", noise(number, size))
            write(root / f"labels/{split}/{number}.png", np.full(size, number, np.uint8))
    datamodule = SegmentationDataModule(
        "folder", root, batch_size=2, crop_size=(16, 24), short_side=(1, 40), val_size=5, num_workers=0,
        augment=AUGMENT, class_uniform=1.0, storage=kind,
    )  # fmt: skip
    datamodule.setup("fit")
    for epoch in range(8):
        loader = datamodule.train_dataloader()
        loader.sampler.set_epoch(epoch)
        for batch in loader:
            assert batch["image"].shape == (2, 16, 24, 3) and set(batch["label"].unique().tolist()) <= {0, 1, 255}
    batches = list(datamodule.val_dataloader())
    assert [min(batch["image"].shape[1:3]) for batch in batches] == [5, 5]
    assert [tuple(batch["label"].shape) for batch in batches] == [(1, *size)] * 2


@pytest.mark.parametrize("name", [b"caf\xe9", "Straße №1".encode()])
@pytest.mark.parametrize("kind", ["full", "half", "cache"])
def test_names_of_any_bytes(tmp_path, name, kind):
    folder = tmp_path / os.fsdecode(name)
    try:
        root = write_folder(folder, (("train", 2), ("val", 1)))
    except OSError:
        pytest.skip("this file system refuses such names")
    for part in ("images", "labels"):
        (root / part / "train/0.png").rename(root / part / "train" / (os.fsdecode(name) + ".png"))
    datamodule = SegmentationDataModule(
        "folder", root, batch_size=2, crop_size=(8, 8), short_side=(20, 20), num_workers=1, class_uniform=1.0,
        storage=kind,
    )  # fmt: skip
    datamodule.setup("fit")
    (batch,) = datamodule.train_dataloader()
    assert sum(os.fsencode(path).endswith(name + b".png") for path in batch["name"]) in (0, 1, 2)
    assert all(os.path.isfile(path) for path in batch["name"])
