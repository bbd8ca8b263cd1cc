"""Reading the bytes of a regular file. Every failure is one sentence that names the file."""

from __future__ import annotations

import errno
import os
import stat
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from regseg.errors import InputError

T = TypeVar("T")
LARGEST_FILE = 2**32  # bytes
RETRY_AFTER = 0.5  # seconds
_MISSING = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG)
_FINAL = (*_MISSING, errno.EISDIR, errno.EACCES, errno.EPERM)
_SPECIAL = (
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


def retried(access: Callable[[], T]) -> T:
    """``access()``, tried once more after an error that may pass, as network file systems have them.

    Raises:
        OSError: both attempts failed, or the error was of the kind that stays.
    """
    try:
        return access()
    except OSError as error:
        if error.errno in _FINAL:
            raise
    time.sleep(RETRY_AFTER)
    return access()


def file_status(path: Path) -> os.stat_result:
    """The status of the file at ``path``, links followed. The file is not opened.

    Raises:
        InputError: there is none, or it is a named pipe, a socket or a device, which could block for ever.
    """
    try:
        status = retried(lambda: os.stat(path))
    except OSError as error:
        raise _unreadable(path, error) from error
    for is_kind, kind in _SPECIAL:
        if is_kind(status.st_mode):
            raise InputError(f"{path} is {kind}, not a file; take it out of the dataset.")
    return status


def is_file(path: Path) -> bool:
    """Whether a file is at ``path``; raises InputError where it cannot be known, or as `file_status` does."""
    try:
        return stat.S_ISREG(file_status(path).st_mode)
    except InputError as error:
        if isinstance(error.__cause__, OSError) and error.__cause__.errno in _MISSING:
            return False
        raise


def read_bytes(path: Path) -> bytes:
    """The content of a file; a read that fails is tried once more.

    Raises:
        InputError: the file is missing, empty, larger than `LARGEST_FILE`, or cannot be read.
    """
    size = file_status(path).st_size
    if size > LARGEST_FILE:
        raise InputError(f"{path} has {size / 2**30:.1f} GiB, more than any image; take it out of the dataset.")
    try:
        data = retried(lambda: Path(path).read_bytes())
    except OSError as error:
        raise _unreadable(path, error) from error
    if not data:
        raise InputError(f"{path} is an empty file; replace it or take it out of the dataset.")
    return data


def _unreadable(path: Path, error: OSError) -> InputError:
    return InputError(f"{path} cannot be read ({error.strerror or error}); check the file and its permissions.")
