"""Reading of regular files. Every failure is an InputError that names the file."""

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
    """Call ``access`` and, after an error that may be transient (as on network file systems), call it once more.

    Raises:
        OSError: both calls failed, or the error is permanent, such as a missing file.
    """
    try:
        return access()
    except OSError as error:
        if error.errno in _FINAL:
            raise
    time.sleep(RETRY_AFTER)
    return access()


def file_status(path: Path) -> os.stat_result:
    """Return the status of the file at ``path`` without opening it; links are followed.

    Raises:
        InputError: the file is missing or inaccessible, or it is a named pipe, a socket or a device, which could block
            forever.
    """
    try:
        status = retried(lambda: os.stat(path))
    except OSError as error:
        raise _unreadable(path, error) from error
    for is_kind, kind in _SPECIAL:
        if is_kind(status.st_mode):
            raise InputError(f"{path} is {kind}, not a file; give another, or leave it out.")
    return status


def is_file(path: Path) -> bool:
    """Return whether ``path`` is a regular file.

    Raises:
        InputError: its status cannot be read, or it is a named pipe, a socket or a device.
    """
    try:
        return stat.S_ISREG(file_status(path).st_mode)
    except InputError as error:
        if isinstance(error.__cause__, OSError) and error.__cause__.errno in _MISSING:
            return False
        raise


def read_bytes(path: Path) -> bytes:
    """Return the content of a file; a read that fails is tried once more.

    Raises:
        InputError: the file is missing, empty, larger than `LARGEST_FILE`, or unreadable.
    """
    size = file_status(path).st_size
    if size > LARGEST_FILE:
        raise InputError(f"{path} has {size / 2**30:.1f} GiB, more than the supported 4 GiB; leave it out.")
    try:
        data = retried(lambda: Path(path).read_bytes())
    except OSError as error:
        raise _unreadable(path, error) from error
    if not data:
        raise InputError(f"{path} is an empty file; replace it or leave it out.")
    return data


def _unreadable(path: Path, error: OSError) -> InputError:
    return InputError(f"{path} cannot be read ({error.strerror or error}); check the file and its permissions.")
