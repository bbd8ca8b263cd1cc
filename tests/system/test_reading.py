"""Reading of files: special files are rejected, and a read that fails once is tried again."""

import errno
import os
import socket

import numpy as np
import pytest
from layouts import is_sentence, noise, write, write_folder

from regseg.data.datasets.folder import Folder
from regseg.data.datasets.spec import DatasetSpec
from regseg.data.io import read_image, read_label
from regseg.errors import InputError
from regseg.system import reading

SPEC = DatasetSpec("s", ("a", "b"), ((0, 0, 0), (1, 1, 1)), ids={**dict.fromkeys(range(255), 1), 255: 255})


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
def test_special_files_are_refused_at_once(tmp_path, kind, place):
    root = write_folder(tmp_path)
    (root / place).unlink()
    make_special(kind, root / place)
    dataset, problems = Folder(root), []
    with pytest.raises(InputError) as error:
        dataset.samples("train")
    assert is_sentence(error, root / place, kind.rpartition(" ")[2], "leave it out")
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


@pytest.fixture
def failing(monkeypatch):
    """Return a function that makes the next ``count`` reads fail with an errno and returns the list of all reads."""
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


def test_a_read_that_fails_twice_is_reported_in_one_sentence(tmp_path, failing):
    path = write(tmp_path / "a.png", noise(0))
    reads = failing(errno.EIO, 9)
    with pytest.raises(InputError) as error:
        read_image(path)
    assert is_sentence(error, path, os.strerror(errno.EIO)) and len(reads) == 2


@pytest.mark.parametrize("number", [errno.EACCES, errno.ENOENT])
def test_a_permanent_error_is_not_tried_again(tmp_path, failing, number):
    path = write(tmp_path / "a.png", noise(0))
    reads = failing(number, 9)
    with pytest.raises(InputError):
        read_image(path)
    assert len(reads) == 1


def test_a_missing_file_is_reported_without_delay(tmp_path, monkeypatch):
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
