"""Damaged, crafted and unreadable files of the half and cache storage."""

import errno
import io
import mmap
import os

import cv2
import numpy as np
import pytest
from layouts import is_sentence, write_folder

from regseg.data import storage
from regseg.data.augment.transforms import TrainTransform
from regseg.data.datasets.folder import Folder
from regseg.data.io import read_label
from regseg.data.storage import make, open_storage
from regseg.data.torch_datasets import EvaluationSet, TrainSet
from regseg.errors import InputError
from regseg.system import reading


@pytest.mark.parametrize("kind", ["half", "cache"])
def test_verifying_recreates_damaged_files(dataset, samples, encoded, capsys, kind):
    files = make(kind, samples, dataset.spec, dataset.root)
    good = files[1].read_bytes()
    files[1].write_bytes(good[:200] + bytes([good[200] ^ 1]) + good[201:])
    files[2].write_bytes(good[:100])  # cut off: noticed without verifying
    encoded.clear()
    make(kind, samples, dataset.spec, dataset.root)
    assert set(encoded) == {samples[2].image}
    encoded.clear()
    make(kind, samples, dataset.spec, dataset.root, verify=True)
    assert set(encoded) == {samples[1].image} and files[1].read_bytes() == good
    assert f"{files[1]} is damaged" in capsys.readouterr().out


def npy(shape, dtype="|u1", order=False):
    """Return a header as np.save writes it."""
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": dtype, "fortran_order": order, "shape": shape})
    return file.getvalue()


@pytest.mark.parametrize(
    "header",
    [
        npy((10**6, 10**6, 4)),
        npy((24, 32, 3)),
        npy((24, 33, 4)),
        npy((24, 32)),
        npy((24, 32, 4), "<f8"),
        npy((24, 32, 4), "|O"),
        npy((24, 32, 4), order=True),
        npy((-24, -32, 4)),
        npy((0, 32, 4)),
        b"\x93NUMPY\x01\x00\xff\xff" + b"{" * 118,
        b"\x93NUMPY\x01\x00\x76\x00" + b"__import__('os').abort()".ljust(118),
        bytes(128),
        b"",
    ],
)
def test_a_cache_file_with_a_wrong_header_is_created_again_or_refused(dataset, samples, encoded, header):
    """Even if its trailer identifies the right source."""
    cached = open_storage("cache", samples, dataset.spec, dataset.root)
    good = cached.files[1].read_bytes()
    cached.files[1].write_bytes(header + good[128:])
    with pytest.raises(InputError) as error:
        cached.read(1)
    assert is_sentence(error, cached.files[1], "damaged", "what=cache")
    encoded.clear()
    open_storage("cache", samples, dataset.spec, dataset.root)
    assert set(encoded) == {samples[1].image} and cached.files[1].read_bytes() == good


def test_a_cache_file_that_is_missing_or_of_another_length_is_refused(dataset, samples):
    cached = open_storage("cache", samples, dataset.spec, dataset.root)
    good = cached.files[0].read_bytes()
    for content in (good + b"a", good[:-1], good[:200]):
        cached.files[0].write_bytes(content)
        with pytest.raises(InputError) as error:
            cached.read(0)
        assert is_sentence(error, cached.files[0])
    cached.files[0].unlink()
    with pytest.raises(InputError) as error:
        cached.read(0)
    assert is_sentence(error, cached.files[0], "cannot be read")


@pytest.mark.parametrize("value", [2, 254])
def test_a_class_that_does_not_exist_is_refused_in_a_crop(dataset, samples, value):
    """A loss would index beyond the two logits, on a GPU without a useful error."""
    cached = open_storage("cache", samples, dataset.spec, dataset.root)
    content = bytearray(cached.files[0].read_bytes())
    content[128 + 24 * 32 * 4] = value
    cached.files[0].write_bytes(content)
    training = TrainSet(samples, cached, TrainTransform((24, 32), (24, 24), flip=0), 0)
    for pairs in (training, EvaluationSet(samples, cached, None)):
        with pytest.raises(InputError) as error:
            pairs[0]
        assert is_sentence(error, samples[0].label, f"class {value} of 2", ".regseg/cache")
        assert pairs[1]["label"].shape == (24, 32)


def test_a_half_that_does_not_fit_its_label_is_refused(dataset, samples):
    halves = open_storage("half", samples, dataset.spec, dataset.root)
    trailer = halves.halves[0].read_bytes()[-20:]
    halves.halves[0].write_bytes(cv2.imencode(".png", np.zeros((24, 32, 3), np.uint8))[1].tobytes() + trailer)
    with pytest.raises(InputError) as error:
        open_storage("half", samples, dataset.spec, dataset.root).read(0)
    assert is_sentence(error, halves.halves[0], samples[0].image, "32x24", "delete")


@pytest.mark.parametrize("kind", ["half", "cache"])
def test_a_pipe_in_place_of_a_stored_file_is_replaced(dataset, samples, kind):
    files = make(kind, samples, dataset.spec, dataset.root)
    files[0].unlink()
    os.mkfifo(files[0])
    assert open_storage(kind, samples, dataset.spec, dataset.root).read(0)[1].shape == (24, 32)


def test_an_unreadable_file_is_named(dataset, samples):
    samples[1].image.write_bytes(b"nothing")
    with pytest.raises(InputError, match=samples[1].image.name):
        make("cache", samples, dataset.spec, dataset.root)


@pytest.mark.parametrize("failures", [1, 2])
def test_a_failed_read_of_a_cache_file_is_tried_once_more(dataset, samples, monkeypatch, failures):
    cached = open_storage("cache", samples, dataset.spec, dataset.root)
    map_pair, calls = storage._map_pair, []

    def flaky(path):
        calls.append(path)
        if len(calls) <= failures:
            raise OSError(errno.ESTALE, os.strerror(errno.ESTALE), str(path))
        return map_pair(path)

    monkeypatch.setattr(storage, "_map_pair", flaky)
    monkeypatch.setattr(reading, "RETRY_AFTER", 0)
    if failures == 1:
        assert cached.read(0)[1].shape == (24, 32)
    else:
        with pytest.raises(InputError) as error:
            cached.read(0)
        assert is_sentence(error, cached.files[0], os.strerror(errno.ESTALE))
    assert len(calls) == 2


@pytest.mark.parametrize("kind", ["half", "cache"])
def test_names_of_the_greatest_length(tmp_path, kind):
    root = write_folder(tmp_path / "mine")
    for folder, suffix in (("images", ".png"), ("labels", ".png")):
        for number in range(2):  # they differ only at the end
            (root / folder / f"train/{number}.png").rename(root / folder / f"train/{'a' * 250}{number}{suffix}")
    dataset = Folder(root)
    samples = dataset.samples("train")
    files = make(kind, samples, dataset.spec, root)
    assert len(set(files)) == len(samples) == 4 and all(path.is_file() for path in files)
    assert (
        open_storage(kind, samples, dataset.spec, root).read(0)[1].shape
        == read_label(samples[0].label, dataset.spec).shape
    )


@pytest.mark.parametrize("number", [errno.ENODEV, errno.EINVAL])
def test_a_file_system_without_memory_mapping_is_read(dataset, samples, monkeypatch, number):
    """Such as some FUSE and 9p mounts."""

    def refuse(*_, **__):
        raise OSError(number, os.strerror(number))

    mapped = [array.copy() for array in open_storage("cache", samples, dataset.spec, dataset.root).read(1)]
    monkeypatch.setattr(mmap, "mmap", refuse)
    read = open_storage("cache", samples, dataset.spec, dataset.root).read(1)
    assert all(np.array_equal(*pair) for pair in zip(mapped, read, strict=True))
