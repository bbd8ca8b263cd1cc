"""Temporary folders, and those that killed processes left."""

import errno
import multiprocessing
import os
import shutil
import signal
from contextlib import suppress

import pytest

from regseg.system.locks import is_held
from regseg.system.temporary import temporary_folder


def _hold(parent, name, ready):
    with temporary_folder(parent, name) as folder:
        (folder / "half-written").touch()
        ready.set()
        signal.pause()


@pytest.fixture
def holder(tmp_path):
    """Start another process in a temporary folder for ``net[1].onnx``; it is killed at the end."""
    context = multiprocessing.get_context("fork")
    ready = context.Event()
    process = context.Process(target=_hold, args=(tmp_path, "net[1].onnx", ready))
    process.start()
    assert ready.wait(20)
    yield process
    process.kill()
    process.join()


def test_the_folder_of_a_killed_process_is_removed(tmp_path, holder):
    (of_holder,) = tmp_path.iterdir()
    with temporary_folder(tmp_path, "net[1].onnx") as folder:  # while the other process is running
        assert of_holder.is_dir() and list(folder.iterdir()) == [] and folder.parent.parent == tmp_path
    holder.kill()
    holder.join()
    with temporary_folder(tmp_path, "other.onnx"):
        assert of_holder.is_dir()
    with temporary_folder(tmp_path, "net[1].onnx"):
        assert not of_holder.exists()
    assert list(tmp_path.iterdir()) == []


def test_folders_of_others_remain(tmp_path):
    (tmp_path / ".report.mine").mkdir()
    (tmp_path / ".report.txt").touch()
    with pytest.raises(ValueError), temporary_folder(tmp_path, "report"):
        raise ValueError
    assert sorted(os.listdir(tmp_path)) == [".report.mine", ".report.txt"]


def test_a_removal_that_was_interrupted_is_continued(tmp_path, monkeypatch):
    """At any file; and a folder whose process was killed before it was locked is removed."""

    def interrupted(remove, steps):
        def step(*arguments, **options):
            if not next(steps, None):
                raise KeyboardInterrupt
            remove(*arguments, **options)

        return step

    for number in range(8):
        with (
            suppress(KeyboardInterrupt),
            monkeypatch.context() as patch,
            temporary_folder(tmp_path, "report") as folder,
        ):
            for name in "abc":
                (folder / name).touch()
            steps = iter([True] * number)
            for name in ("unlink", "rmdir"):
                patch.setattr(os, name, interrupted(getattr(os, name), steps))
        (tmp_path / ".report.ab_d3f9h").mkdir()
        with temporary_folder(tmp_path, "report") as folder:
            assert list(tmp_path.iterdir()) == [folder.parent]


def test_a_folder_that_is_removed_before_it_is_locked_is_replaced(tmp_path, monkeypatch):
    answers = iter([False, True])
    monkeypatch.setattr("regseg.system.temporary.is_held", lambda _: next(answers))
    with temporary_folder(tmp_path, "report") as folder:
        assert folder.is_dir() and len(list(tmp_path.iterdir())) == 2
    assert list(tmp_path.iterdir()) == []


def test_an_error_names_the_folder_that_the_user_knows(tmp_path, monkeypatch):
    def full(path, **_):
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr("regseg.system.temporary.lock", full)
    with pytest.raises(OSError, match="No space") as error, temporary_folder(tmp_path, "net.onnx"):
        pass
    assert error.value.filename == str(tmp_path) and list(tmp_path.iterdir()) == []


def test_on_windows_the_open_lock_file_is_removed_after_its_release(tmp_path, monkeypatch):
    remove, held = shutil.rmtree, []
    (tmp_path / ".report.killed" / "files").mkdir(parents=True)
    (tmp_path / ".report.killed" / ".lock").touch()

    def of_windows(folder, **options):
        if folder.name != "files":
            held.append(is_held(folder / ".lock"))
            folder = folder / "files" if held[-1] else folder
        remove(folder, **options)

    monkeypatch.setattr(shutil, "rmtree", of_windows)
    with temporary_folder(tmp_path, "report"):
        assert held == [True, False] and not (tmp_path / ".report.killed").exists()
