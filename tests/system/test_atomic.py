"""Atomic file writes."""

import errno
import multiprocessing
import os
import re
import signal

import pytest

from regseg.system import atomic
from regseg.system.atomic import hidden_name, remove_leftovers, write_text, write_whole


def full_disk(file):
    file.write(b"half of ")
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_failed_write_keeps_the_old_file_and_leaves_nothing_else(tmp_path):
    path = tmp_path / "sub" / "file"
    write_whole(path, lambda file: file.write(b"first"))
    for keep in (None, path.with_name("former")):
        with pytest.raises(OSError, match="No space"):
            write_whole(path, full_disk, keep=keep)
        assert path.read_bytes() == b"first" and os.listdir(path.parent) == ["file"]


def test_an_error_names_the_file_and_not_the_temporary_one(tmp_path, monkeypatch):
    """Also if the disk fails so that the temporary file cannot be removed."""

    def fail(path, *_):
        raise OSError(errno.EIO, "Input/output error", str(path))

    for name in ("replace", "unlink"):
        monkeypatch.setattr(os, name, fail)
    with pytest.raises(OSError, match="Input/output") as error:
        write_text(tmp_path / "file", "text")
    assert error.value.filename == str(tmp_path / "file")


def test_the_file_is_flushed_before_it_is_renamed(tmp_path, monkeypatch):
    calls = []
    fsync, replace = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda descriptor: (calls.append("fsync"), fsync(descriptor)))
    monkeypatch.setattr(os, "replace", lambda *paths: (calls.append("rename"), replace(*paths)))
    write_text(tmp_path / "file", "text")
    assert calls == ["fsync", "rename", "fsync"]  # the last one flushes the folder


def test_the_old_file_is_kept_on_request(tmp_path):
    for text in ("first", "second", "third"):
        write_whole(tmp_path / "last", lambda file, text=text: file.write(text.encode()), keep=tmp_path / "previous")
    assert ((tmp_path / "last").read_text(), (tmp_path / "previous").read_text()) == ("third", "second")


def test_text_keeps_file_names_of_other_encodings(tmp_path):
    write_text(tmp_path / "file", "caf\udce9 straße")
    assert (tmp_path / "file").read_bytes() == b"caf\xe9 stra\xc3\x9fe"
    write_text(tmp_path / "file", "\ud800 straße")
    assert (tmp_path / "file").read_bytes() == b"? stra\xc3\x9fe"


def test_leftovers_of_a_kill_are_removed(tmp_path):
    for name in (".last.ckpt.4711", ".lock", "last.ckpt", ".hidden.txt"):
        (tmp_path / name).touch()
    remove_leftovers(tmp_path)
    assert sorted(os.listdir(tmp_path)) == [".hidden.txt", ".lock", "last.ckpt"]


def test_leftovers_of_one_file_are_removed(tmp_path):
    for name in (".a.png.123", ".b.png.45", ".hidden", ".a.png.x1"):
        (tmp_path / name).touch()
    remove_leftovers(tmp_path, "a.png")
    assert sorted(os.listdir(tmp_path)) == [".a.png.x1", ".b.png.45", ".hidden"]


def _write_until_killed(path, ready):
    def write(file):
        file.write(b"half of ")
        file.flush()
        ready.set()
        signal.pause()

    write_whole(path, write)


def test_the_next_write_removes_what_a_killed_process_left(tmp_path):
    """But not the temporary file of a process that is running, nor anything else."""
    path = tmp_path / "worst.png"
    context = multiprocessing.get_context("fork")
    ready = context.Event()
    process = context.Process(target=_write_until_killed, args=(path, ready))
    process.start()
    assert ready.wait(20)
    (temporary,) = tmp_path.iterdir()
    others = [".bashrc.20260101", ".worst.png.x1", ".worst.png.old.1"]
    for name in others:
        (tmp_path / name).touch()
    for _ in range(2):
        atomic._hidden.clear()  # as in a new process
        write_text(path, "text")
        assert sorted(os.listdir(tmp_path)) == sorted(
            [*others, path.name, *([temporary.name] if process.is_alive() else [])]
        )
        process.kill()
        process.join()


@pytest.mark.parametrize("being_removed", [False, True])
def test_a_temporary_file_that_is_removed_before_it_is_locked_is_replaced(tmp_path, monkeypatch, being_removed):
    lock, removed = atomic._lock, []

    def late(descriptor):
        if not removed:
            removed.extend(tmp_path.iterdir())
            removed[0].unlink()
            if being_removed:  # the other process still holds its lock
                raise BlockingIOError
        lock(descriptor)

    monkeypatch.setattr(atomic, "_lock", late)
    write_text(tmp_path / "file", "text")
    assert removed and os.listdir(tmp_path) == ["file"] and (tmp_path / "file").read_text() == "text"


def test_temporary_files_of_other_machines_are_left(tmp_path, monkeypatch):
    """Their locks may not be visible here."""
    machine = atomic._machine()
    assert re.fullmatch("[0-9]{10}", machine)
    other = f"{(int(machine) + 1) % 10**10:010d}"
    for place in (machine, other):
        (tmp_path / hidden_name("file", f"{place}123")).touch()
    write_text(tmp_path / "file", "text")
    assert sorted(os.listdir(tmp_path)) == [hidden_name("file", f"{other}123"), "file"]


def test_a_file_system_that_renames_no_open_files(tmp_path, monkeypatch):
    replace, open_file, opened = atomic.replace_file, atomic._open_locked, []

    def open_locked(path):
        opened.append(open_file(path))
        return opened[-1]

    def replace_file(source, target):
        if not opened[-1].closed:
            raise OSError(errno.ETXTBSY, "Text file busy")
        replace(source, target)

    monkeypatch.setattr(atomic, "_open_locked", open_locked)
    monkeypatch.setattr(atomic, "replace_file", replace_file)
    write_text(tmp_path / "file", "text")
    assert os.listdir(tmp_path) == ["file"] and (tmp_path / "file").read_text() == "text"


def test_a_file_system_without_locks(tmp_path, monkeypatch):
    hidden = hidden_name("file", f"{atomic._machine()}123")
    (tmp_path / hidden).touch()  # may be in use

    def no_locks(descriptor):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(atomic, "_lock", no_locks)
    write_text(tmp_path / "file", "text")
    assert sorted(os.listdir(tmp_path)) == [hidden, "file"]


def test_the_longest_names_of_a_file_system(tmp_path):
    """255 bytes, where the hidden file cannot have a longer name: 83 Chinese characters are such a name."""
    for name in ("n" * 255, "长" * 83 + ".jpg"):
        write_text(tmp_path / name, "text")
        assert (tmp_path / name).read_text() == "text"
        with pytest.raises(OSError, match="No space"):
            write_whole(tmp_path / name, full_disk)
    assert len(os.listdir(tmp_path)) == 2
    hidden = hidden_name("长" * 83 + ".jpg", "4711")
    assert len(hidden.encode()) <= 255 and hidden.startswith(".") and hidden.endswith(".4711")
    assert hidden_name("last.ckpt", "4711") == ".last.ckpt.4711"


def test_on_windows_a_file_that_another_process_reads_is_replaced_afterwards(tmp_path, monkeypatch):
    replace, refusals = os.replace, [PermissionError(errno.EACCES, "Access is denied")] * 3

    def busy(*paths):
        if refusals:
            raise refusals.pop()
        replace(*paths)

    monkeypatch.setattr(os, "replace", busy)
    with pytest.raises(PermissionError):  # elsewhere, it is final
        write_text(tmp_path / "file", "first")
    monkeypatch.setattr(atomic, "_WINDOWS", True)
    write_text(tmp_path / "file", "second")
    assert (tmp_path / "file").read_text() == "second" and os.listdir(tmp_path) == ["file"]
    refusals[:] = [PermissionError(errno.EACCES, "Access is denied")] * 999
    monkeypatch.setattr(atomic, "_BUSY", 0.1)
    with pytest.raises(PermissionError):
        write_text(tmp_path / "file", "third")


def test_the_file_is_locked_until_it_is_renamed(tmp_path, monkeypatch):
    fcntl = pytest.importorskip("fcntl")
    replaced = atomic.replace_file

    def replace_file(source, target):
        with open(source, "rb") as file, pytest.raises(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        assert source.read_bytes() == b"new"  # flushed
        replaced(source, target)

    monkeypatch.setattr(atomic, "replace_file", replace_file)
    atomic.write_whole(tmp_path / "file", lambda file: file.write(b"new"), durable=False)
    assert (tmp_path / "file").read_bytes() == b"new"
