"""Atomic file writes."""

import errno
import os

import pytest

from regseg.system.atomic import remove_leftovers, write_text, write_whole


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


def test_a_name_of_the_greatest_length(tmp_path):
    path = tmp_path / ("é" * 125 + ".txt")  # 254 bytes; the temporary file's name must not be longer
    write_text(path, "text")
    assert os.listdir(tmp_path) == [path.name]
