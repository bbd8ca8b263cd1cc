"""The folder for derived files."""

import pytest
from layouts import is_sentence, write_folder

from regseg.data.datasets.folder import Folder
from regseg.data.image_cache import make
from regseg.errors import InputError


@pytest.fixture
def dataset(tmp_path):
    return Folder(write_folder(tmp_path / "mine"))


@pytest.fixture
def samples(dataset):
    return dataset.samples("train")


def test_no_place_to_write_to_is_told_of(dataset, samples, tmp_path, monkeypatch):
    for name in ("mine/.regseg", "file"):
        (tmp_path / name).write_text("no folder")
    monkeypatch.setenv("REGSEG_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(InputError) as error:
        make("cache", samples, dataset.spec, dataset.root)
    assert is_sentence(error, ".regseg", "REGSEG_CACHE")
