"""Small datasets, and what is encoded of them."""

import pytest
from layouts import write_cityscapes, write_folder

from regseg.data import storage
from regseg.data.datasets.folder import Folder


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A dataset in the layout of Cityscapes: 7 train, 3 val and 1 test images."""
    return write_cityscapes(tmp_path_factory.mktemp("data") / "cityscapes", (("train", 7), ("val", 3), ("test", 1)))


@pytest.fixture
def dataset(tmp_path):
    return Folder(write_folder(tmp_path / "mine"))


@pytest.fixture
def labels(dataset):
    """The folder of `dataset`."""
    return dataset.root


@pytest.fixture
def samples(dataset):
    return dataset.samples("train")


@pytest.fixture
def encoded(monkeypatch):
    """The images whose files were created."""
    made = []

    def counting(encode):
        def encode_and_count(sample, spec):
            made.append(sample.image)
            return encode(sample, spec)

        return encode_and_count

    for name in ("_encode_half", "_encode_pair"):
        monkeypatch.setattr(storage, name, counting(getattr(storage, name)))
    return made
