"""The folder for derived files."""

import errno
import os
import tempfile
from pathlib import Path

import pytest
from layouts import is_sentence

from regseg.data import cache_dir
from regseg.data.cache_dir import relative, stored_file, working_folder
from regseg.data.datasets.layout import Sample
from regseg.data.sampling.centroids import load_index
from regseg.data.storage import make
from regseg.errors import InputError


def test_folders_that_are_not_writable_are_reported(dataset, samples, tmp_path, monkeypatch):
    for name in ("mine/.regseg", "file"):
        (tmp_path / name).write_text("no folder")
    monkeypatch.setenv("REGSEG_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(InputError) as error:
        make("cache", samples, dataset.spec, dataset.root)
    assert is_sentence(error, ".regseg", "REGSEG_CACHE")


def test_the_folder_is_inside_a_writable_root(tmp_path):
    assert working_folder(tmp_path) == tmp_path / ".regseg"
    assert (tmp_path / ".regseg").is_dir() and not list((tmp_path / ".regseg").iterdir())


def test_a_root_that_is_not_writable_uses_the_users_cache(tmp_path, monkeypatch):
    (tmp_path / ".regseg").write_text("a file where the folder would be")
    monkeypatch.delenv("REGSEG_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "caches"))
    assert working_folder(tmp_path).parent == tmp_path / "caches" / "regseg"


def test_paths_are_relative_to_the_root(tmp_path):
    assert relative(tmp_path / "a" / "b.png", tmp_path) == "a/b.png"
    assert relative(tmp_path / "c.png", tmp_path / "a") == "../c.png"


def test_images_on_another_drive_of_windows_are_stored_in_the_datasets_folder(monkeypatch):
    """There is no relative path to them."""

    def fail(*_):
        raise ValueError("path is on mount 'D:', start on mount 'C:'")

    monkeypatch.setattr(os.path, "relpath", fail)
    assert relative(Path("/images/a.png"), Path("/data")) == "/images/a.png"
    sample = Sample(Path("/images/a.png"), Path("/labels/a.png"))
    assert stored_file(sample, "half", Path("/data")) == "__/images/a.png.png"
    monkeypatch.setattr(cache_dir, "relative", lambda *_: "D:/images/a.png")
    assert stored_file(sample, "half", Path("/data")) == "__/D/images/a.png.png"


@pytest.mark.parametrize("exists", [True, False])
def test_a_full_disk_does_not_send_large_files_to_another_one(tmp_path, monkeypatch, exists):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device", str(tmp_path / ".regseg"))

    if exists:
        (tmp_path / ".regseg").mkdir()
        monkeypatch.setattr(tempfile, "TemporaryFile", full)
        assert working_folder(tmp_path, large=True) == tmp_path / ".regseg"
    else:
        monkeypatch.setattr(Path, "mkdir", full)
        with pytest.raises(OSError, match="No space"):
            working_folder(tmp_path, large=True)


def test_on_a_full_disk_the_centroid_index_uses_the_users_cache(dataset, samples, tmp_path, monkeypatch):
    """It is small; images at half resolution stay in the dataset's folder."""

    def full(*_, dir, **__):
        raise OSError(errno.ENOSPC, "No space left on device", str(dir))

    monkeypatch.setenv("REGSEG_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(tempfile, "TemporaryFile", full)
    load_index(samples, dataset.spec, dataset.root)
    assert [path.suffix for path in (tmp_path / "cache").rglob("centroids-*.bin")] == [".bin"]
    inside = dataset.root / ".regseg"
    assert all(inside in path.parents for path in make("half", samples, dataset.spec, dataset.root))
