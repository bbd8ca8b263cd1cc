"""The half and cache storage: equal to the files, and created once."""

import multiprocessing
import os
import pickle
import shutil
from dataclasses import replace
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from layouts import is_sentence
from PIL import Image

from regseg.data import storage
from regseg.data.augment.transforms import TrainTransform
from regseg.data.datamodule import SegmentationDataModule
from regseg.data.datasets.folder import Folder
from regseg.data.datasets.layout import Sample
from regseg.data.io import read_label, read_sample
from regseg.data.sampling.epochs import stream
from regseg.data.storage import FullStorage, make, open_storage
from regseg.data.torch_datasets import EvaluationSet
from regseg.errors import InputError


def grow(sample, height, width):
    """Resize the files of a pair."""
    for path, flags in ((sample.image, cv2.IMREAD_COLOR), (sample.label, cv2.IMREAD_UNCHANGED)):
        cv2.imwrite(
            str(path), cv2.resize(cv2.imread(str(path), flags), (width, height), interpolation=cv2.INTER_NEAREST)
        )


def test_the_cache_equals_the_files(dataset, samples):
    grow(samples[1], 31, 47)
    cached = pickle.loads(pickle.dumps(open_storage("cache", samples, dataset.spec, dataset.root)))
    for index, sample in enumerate(samples):
        pair, (image, label) = cached.read(index), read_sample(sample, dataset.spec)
        assert all(isinstance(array, np.memmap) and not array.flags.writeable for array in pair)
        assert np.array_equal(pair[0][..., :3], image) and np.array_equal(pair[1], label)
        assert pair[0].shape == (*label.shape, 4)


@pytest.mark.parametrize("short_side", [(10, 60), (30, 30)])
def test_crops_and_whole_images_from_the_cache_equal_those_from_the_files(dataset, samples, short_side):
    cached = open_storage("cache", samples, dataset.spec, dataset.root)
    transform = TrainTransform((20, 24), short_side)
    for index, sample in enumerate(samples):
        pair, files = cached.read(index), read_sample(sample, dataset.spec)
        for number in range(20):
            crops = [transform(*arrays, stream(number)) for arrays in (pair, files)]
            assert all(np.array_equal(*arrays) for arrays in zip(*crops, strict=True))
    for size in (None, 17, 50):
        sets = [EvaluationSet(samples, storage, size) for storage in (cached, FullStorage(samples, dataset.spec))]
        for one, other in zip(*([each[index] for index in range(len(samples))] for each in sets), strict=True):
            assert np.array_equal(one["image"], other["image"]) and np.array_equal(one["label"], other["label"])


@pytest.mark.parametrize("size", [(30, 40), (31, 47)])
def test_half_images_are_halved_and_labels_are_not(dataset, samples, size):
    grow(samples[0], *size)
    image, label = open_storage("half", samples, dataset.spec, dataset.root).read(0)
    full, full_label = read_sample(samples[0], dataset.spec)
    height, width = image.shape[:2]
    assert height == -(-size[0] // 2) and abs(width - size[1] / 2) < 1
    expected = np.asarray(Image.fromarray(full).resize((width, height), Image.Resampling.BILINEAR))
    assert np.abs(image.astype(int) - expected).max() <= 1 and np.array_equal(label, full_label)


@pytest.mark.parametrize("kind", ["half", "cache"])
def test_files_are_created_once_and_again_when_a_source_changes(dataset, samples, encoded, kind):
    open_storage(kind, samples, dataset.spec, dataset.root)
    assert len(encoded) == 2 * len(samples)  # once to measure
    open_storage(kind, samples, dataset.spec, dataset.root)
    assert len(encoded) == 2 * len(samples)
    cv2.imwrite(str(samples[0].image), 255 - cv2.imread(str(samples[0].image)))
    os.utime(samples[0].image, ns=(1, 1))
    changed = open_storage(kind, samples, dataset.spec, dataset.root)
    assert set(encoded[2 * len(samples) :]) == {samples[0].image}
    if kind == "cache":
        assert np.array_equal(changed.read(0)[0][..., :3], read_sample(samples[0], dataset.spec)[0])


def test_jobs_with_other_classes_read_their_own_files(dataset, samples, encoded, capsys):
    """An edited classes.yaml, or other options of a class, must not change what a running job reads."""
    spec = dataset.spec
    other = replace(spec, classes=spec.classes[::-1], ids={0: 1, 1: 0, 255: 255})
    pairs = [(spec, open_storage("cache", samples, spec, dataset.root))]
    assert "also has" not in capsys.readouterr().out
    pairs.append((other, open_storage("cache", samples, other, dataset.root)))
    former = pairs[0][1].files[0].relative_to(dataset.root / ".regseg/cache").parts[0]
    assert f"cache also has {former}, which this run does not use; delete" in capsys.readouterr().out
    for encoding, cached in pairs:
        for index, sample in enumerate(samples):
            assert np.array_equal(cached.read(index)[1], read_label(sample.label, encoding))
    encoded.clear()
    for encoding, _ in pairs:  # alternating jobs create nothing again
        open_storage("cache", samples, replace(encoding, name="renamed"), dataset.root)
    assert not encoded


def test_an_image_with_two_labels(dataset, samples):
    pairs = [Sample(samples[0].image, sample.label) for sample in samples]
    cached = open_storage("cache", pairs, dataset.spec, dataset.root)
    for index, sample in enumerate(samples):
        assert np.array_equal(cached.read(index)[1], read_label(sample.label, dataset.spec))


def test_a_cache_of_another_layout_is_created_again(dataset, samples, encoded, monkeypatch):
    open_storage("cache", samples, dataset.spec, dataset.root)
    encoded.clear()
    monkeypatch.setattr(storage, "_LAYOUT", storage._LAYOUT + 1)
    open_storage("cache", samples, dataset.spec, dataset.root)
    assert set(encoded) == {sample.image for sample in samples}


@pytest.mark.parametrize("kind", ["half", "cache"])
def test_files_created_before_an_interruption_are_kept(dataset, samples, encoded, monkeypatch, kind):
    write = storage.write_whole
    monkeypatch.setattr(storage.os, "cpu_count", lambda: 1)

    def die(path, content, **more):
        if path.name.startswith(samples[2].image.name):
            raise KeyboardInterrupt
        write(path, content, **more)

    monkeypatch.setattr(storage, "write_whole", die)
    with pytest.raises(KeyboardInterrupt):
        make(kind, samples, dataset.spec, dataset.root)
    monkeypatch.setattr(storage, "write_whole", write)
    encoded.clear()
    make(kind, samples, dataset.spec, dataset.root)
    assert samples[2].image in encoded and samples[0].image not in encoded and samples[1].image not in encoded
    encoded.clear()
    make(kind, samples, dataset.spec, dataset.root)
    assert not encoded


def test_a_full_disk_is_reported_before_anything_is_written(dataset, samples, monkeypatch):
    monkeypatch.setattr(storage.shutil, "disk_usage", lambda path: SimpleNamespace(free=1000))
    with pytest.raises(InputError) as error:
        make("cache", samples, dataset.spec, dataset.root)
    assert is_sentence(error, ".regseg", "MB but the disk has 0.001 MB free", "data.storage=full")
    assert not list((dataset.root / ".regseg" / "cache").rglob("*.npy"))


@pytest.mark.parametrize("first", [True, False])
def test_the_size_is_estimated_from_images_of_all_sizes(dataset, samples, monkeypatch, first):
    grow(samples[0 if first else -1], 240, 320)  # 100 times the others
    size = 5 * (240 * 320 + 3 * 24 * 32)
    for free in (2 * size, size // 2):
        monkeypatch.setattr(storage.shutil, "disk_usage", lambda path, free=free: SimpleNamespace(free=free))
        if free > size:
            make("cache", samples, dataset.spec, dataset.root)
            shutil.rmtree(dataset.root / ".regseg")
        else:
            with pytest.raises(InputError):
                make("cache", samples, dataset.spec, dataset.root)


def test_replaced_files_count_as_free_space(dataset, samples, encoded, monkeypatch):
    make("cache", samples, dataset.spec, dataset.root)
    [os.utime(sample.image, ns=(1, 1)) for sample in samples]
    encoded.clear()
    monkeypatch.setattr(storage.shutil, "disk_usage", lambda path: SimpleNamespace(free=1000))
    make("cache", samples, dataset.spec, dataset.root)
    assert set(encoded) == {sample.image for sample in samples}


def _make(root):
    dataset = Folder(root)
    make("cache", dataset.samples("train"), dataset.spec, root)


def test_two_processes_at_once(dataset, samples):
    context = multiprocessing.get_context("fork")
    both = [context.Process(target=_make, args=(dataset.root,)) for _ in range(2)]
    [process.start() for process in both]
    [process.join() for process in both]
    assert [process.exitcode for process in both] == [0, 0]
    cached = open_storage("cache", samples, dataset.spec, dataset.root)
    assert np.array_equal(cached.read(0)[0][..., :3], read_sample(samples[0], dataset.spec)[0])
    assert not [path for path in (dataset.root / ".regseg").rglob(".*") if path.is_file()]  # no temporary file


def batches(root, **options):
    datamodule = SegmentationDataModule(
        "folder", root, batch_size=2, crop_size=(16, 20), short_side=(14, 60), num_workers=0, **options
    )
    datamodule.setup("fit")
    training, evaluation = list(datamodule.train_dataloader()), list(datamodule.val_dataloader())
    return [(batch["image"].numpy(), batch["label"].numpy()) for batch in (*training, *evaluation)]


def test_batches_of_each_storage(dataset):
    full, cached, half = (batches(dataset.root, storage=kind) for kind in ("full", "cache", "half"))
    for expected, same, alike in zip(full, cached, half, strict=True):
        assert all(np.array_equal(a, b) for a, b in zip(expected, same, strict=True))
        assert np.array_equal(expected[1], alike[1]) and expected[0].shape == alike[0].shape
        assert not np.array_equal(expected[0], alike[0])
        assert abs(expected[0].mean() - alike[0].mean()) < 5
