"""Atomic file writes. This module depends on nothing else in the package."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import re
import socket
import sys
import threading
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

if sys.platform != "win32":
    import fcntl

_WINDOWS = os.name == "nt"
_BUSY = 3.0  # seconds to try again on Windows, where a file that another process has open cannot be replaced
_LONGEST = 220  # bytes of a name; most file systems allow 255, and the machine, process and thread follow
_hidden: dict[Path, list[str]] = {}  # folder -> names of temporary files in it before this process wrote there


def write_whole(
    path: Path, write: Callable[[IO[bytes]], Any], *, keep: Path | None = None, durable: bool = True
) -> None:
    """Write a file atomically: after a kill or with a full disk, ``path`` is either the old file or the new one.

    The content is written to a hidden file in the same folder, flushed to the disk, and renamed. Then the folder is
    flushed. Missing folders are created. The hidden file is locked, so that the next process that writes ``path`` sees
    which ones killed processes have left, and removes them.

    Args:
        path: the file.
        write: called with the open binary file.
        keep: where to move an existing file; None replaces it.
        durable: wait until the content is on the disk. Without it, a power failure (but not a kill) may truncate the
            file; use this for files that contain a checksum.

    Raises:
        OSError: the disk is full or the folder is not writable. An existing file is not changed.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    _remove_abandoned(path)
    temporary = path.with_name(hidden_name(path.name, f"{_machine()}{os.getpid()}{threading.get_native_id()}"))
    try:
        with _open_locked(temporary) as file:
            write(file)
            file.flush()
            if durable:
                os.fsync(file.fileno())
            if _WINDOWS:  # there, an open file cannot be renamed
                file.close()
            if keep is not None and path.exists():
                replace_file(path, keep)
            try:
                replace_file(temporary, path)  # while it is locked, or another process could remove it
            except OSError:  # some file systems of virtual machines cannot rename an open file either
                if file.closed:
                    raise
                file.close()
                replace_file(temporary, path)
    except OSError as error:
        if error.filename in (None, str(temporary)):  # ENOSPC comes without a file name
            error.filename = str(path)
        raise
    finally:
        with contextlib.suppress(OSError):  # must not hide the error of the write
            temporary.unlink(missing_ok=True)
    if durable:
        _flush_folder(path.parent)


def write_bytes(path: Path, data: bytes | memoryview, *, keep: Path | None = None, durable: bool = True) -> None:
    """Write bytes atomically; arguments and errors as for `write_whole`."""
    write_whole(path, lambda file: file.write(data), keep=keep, durable=durable)


def hidden_name(name: str, ending: str) -> str:
    """Return ``.<name>.<ending>``, with a hash in place of a name that would make it longer than file systems allow."""
    return f".{_short(name)}.{ending}"


def write_text(path: Path, text: str) -> None:
    """Write text atomically, as UTF-8; undecodable bytes of file names (surrogate escapes) are written unchanged.

    Other surrogates, which only damaged or crafted input contains, become question marks.

    Raises:
        OSError: as for `write_whole`.
    """
    try:
        content = text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        content = text.encode("utf-8", "replace")
    write_bytes(path, content)


def remove_leftovers(folder: Path, name: str = "*") -> None:
    """Remove the temporary files that a killed `write_whole` left in ``folder``. No process may be writing there.

    Args:
        folder: the folder.
        name: name of the file that was being written, or a pattern of `glob`.
    """
    for path in folder.glob(f".{_short(name)}.[0-9]*"):
        if path.suffix[1:].isdigit() and path.is_file():
            path.unlink(missing_ok=True)


def _open_locked(path: Path) -> IO[bytes]:
    while True:
        file = open(path, "wb")  # noqa: SIM115  # the caller closes it
        try:
            _lock(file.fileno())
        except BlockingIOError:  # another process is about to remove it
            file.close()
            continue
        except OSError:  # some file systems have no locks
            return file
        if path.exists():  # otherwise another process removed it just before it was locked
            return file
        file.close()


def _remove_abandoned(path: Path) -> None:
    """Remove the temporary files of this machine for ``path`` that no process has locked, if there are locks.

    On some network file systems, other machines do not see the locks.
    """
    if _WINDOWS:  # without `fcntl`; `remove_leftovers` removes them later
        return
    if path.parent not in _hidden:  # a list of all, because listing a folder for each of its files would take long
        _hidden[path.parent] = []
        with contextlib.suppress(PermissionError):  # a folder that may be written but not listed
            _hidden[path.parent] = [name for name in os.listdir(path.parent) if re.fullmatch(r"\..+\.[0-9]+", name)]
    start = hidden_name(path.name, _machine())
    for name in _hidden[path.parent]:
        if name.startswith(start) and name.removeprefix(start).isdigit():
            with contextlib.suppress(OSError):  # in use, or not ours
                _remove_unlocked(path.with_name(name))


def _remove_unlocked(path: Path) -> None:
    descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        _lock(descriptor)
        path.unlink()
    finally:
        os.close(descriptor)


@functools.cache
def _machine() -> str:
    """Return ten digits that tell this machine from others."""
    return f"{zlib.crc32(os.fsencode(socket.gethostname())):010d}"


def _lock(descriptor: int) -> None:
    if sys.platform != "win32":
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _short(name: str) -> str:
    """Return ``name``, or a hash of it if the name of a temporary file would be longer than file systems allow."""
    encoded = os.fsencode(name)
    return name if len(encoded) <= _LONGEST else hashlib.sha256(encoded).hexdigest()


def replace_file(source: Path, target: Path) -> None:
    """Rename a file; on Windows, wait until other processes, such as virus scanners, have closed source and target."""
    until = time.monotonic() + _BUSY
    while True:
        try:
            os.replace(source, target)
            return
        except PermissionError:
            if not _WINDOWS or time.monotonic() > until:
                raise
        time.sleep(0.05)


def _flush_folder(folder: Path) -> None:
    with contextlib.suppress(OSError):  # Windows cannot open folders, some network file systems cannot flush them
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
