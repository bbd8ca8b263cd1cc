"""Inter-process locks on paths. The locks of a process that dies are released."""

from __future__ import annotations

import errno
import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import BaseFileLock, FileLock, SoftFileLock, Timeout

from regseg.errors import shortened

_NO_FLOCK = {errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP}
_READ_ONLY = {errno.EACCES, errno.EPERM, errno.EROFS}
_TIMEOUT = 0.5  # seconds; longer than `is_held` in another process holds the lock
_CHECK = 1.0  # seconds between checks for a killed holder, while waiting
_NOTICE = 30.0  # seconds of waiting before a message is printed


class Held(OSError):
    """Another process holds the lock.

    Attributes:
        remedy: The end of a message, which begins with a comma, if the lock is a file that a process of another machine
            may have left; otherwise empty.
    """

    remedy = ""


@contextmanager
def lock(path: Path, *, wait: bool) -> Iterator[None]:
    """Hold an inter-process lock on ``path`` in a ``with`` block.

    With ``wait``, a message is printed after 30 s of waiting.

    On file systems without locks, the existence of ``<path>.soft`` is the lock. If the process that created it is on
    this machine and has died, the lock is taken over. Whether a process of another machine or container has died cannot
    be known; a message names it.

    Args:
        path: the lock file. It is created with its folder, and may remain afterwards.
        wait: wait while another process holds the lock, instead of raising `Held`.

    Raises:
        Held: another process holds the lock, and ``wait`` is False.
        OSError: the lock file cannot be created or opened.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    held = _acquire(path, -1 if wait else _TIMEOUT)
    try:
        yield
    finally:
        held.release()


def is_held(path: Path) -> bool:
    """Return whether a process holds the lock on ``path``; False if this process may not read the lock file."""
    try:
        if not path.exists() and not _soft(path).exists():
            return False
        _acquire(path, 0).release()
    except Held:
        return True
    except OSError as error:  # `_acquire` opens the file for writing
        return error.errno in _READ_ONLY and _is_held_read_only(path)
    return False


def _is_held_read_only(path: Path) -> bool:
    """Return whether a process holds the lock on ``path``, a file that this process may only read."""
    try:
        import fcntl

        with open(path, "rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except (ImportError, OSError) as error:
        return isinstance(error, BlockingIOError)
    return False


def _acquire(path: Path, timeout: float) -> BaseFileLock:
    """Acquire the lock within ``timeout`` seconds, or without a limit for -1; raise `Held` otherwise."""
    try:
        try:
            acquired: BaseFileLock = FileLock(path, fallback_to_soft=False)
            _wait(acquired, path, timeout)
        except (OSError, NotImplementedError) as error:  # filelock raises NotImplementedError for ENOSYS
            if isinstance(error, OSError) and error.errno not in _NO_FLOCK:
                raise
            acquired = SoftFileLock(_soft(path))
            _wait(acquired, path, timeout)
    except Timeout as error:
        held = Held(errno.EWOULDBLOCK, "another process holds the lock", str(path))
        held.remedy = _remedy(_soft(path))
        raise held from error
    return acquired


def _wait(lock: BaseFileLock, path: Path, timeout: float) -> None:
    """Acquire a lock; without a limit, print for which process it waits if that takes long."""
    began, noticed = time.monotonic(), False
    while True:
        left = timeout - (time.monotonic() - began)
        try:
            lock.acquire(timeout=min(_CHECK, _NOTICE) if timeout < 0 else max(0.0, min(_CHECK, left)))
            return
        except Timeout:
            if _remove_stale(_soft(path)):
                continue
            if 0 <= timeout <= time.monotonic() - began:
                raise
        if timeout < 0 and not noticed and time.monotonic() - began >= _NOTICE:
            noticed = True
            remedy = _remedy(_soft(path)).replace(", or ", "; ", 1)
            print(f"Waiting for another process, which holds {path}{remedy}.", flush=True)


def _remove_stale(soft: Path) -> bool:
    """Remove the lock file ``soft`` of a killed process of this machine; return whether it was removed.

    filelock does so by exchanging two files, which FUSE, NFS and 9p file systems refuse. Here, a second lock file
    ensures that only one process at a time removes it; otherwise one could remove the new lock of another.
    """
    turn = soft.with_name(f"{soft.name}.turn")
    if os.name == "nt" or not _is_stale(soft, None):  # on Windows, filelock needs no exchange
        return False
    with suppress(OSError), SoftFileLock(turn, timeout=0):  # Timeout is an OSError
        if _is_stale(soft, _holder(turn)[1]):
            soft.unlink()
            return True
    return False


def _is_stale(soft: Path, host: str | None) -> bool:
    """Return whether the process that created ``soft`` has ended; False if it ran on another machine than ``host``."""
    process, its_host = _holder(soft)
    if process is None or (host is not None and host != its_host):
        return False
    try:
        os.kill(process, 0)
    except OSError as error:
        return error.errno == errno.ESRCH
    return False


def _holder(soft: Path) -> tuple[int | None, str]:
    """Return (process, machine) of the lock file ``soft``; (None, "") if it names none."""
    try:
        lines = soft.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return None, ""
    return (int(lines[0]), lines[1]) if len(lines) > 1 and re.fullmatch("[0-9]{1,9}", lines[0]) else (None, "")


def _remedy(soft: Path) -> str:
    """Return what to do if the process that created the file ``soft`` is gone; empty without that file."""
    if not soft.exists():
        return ""
    process, host = _holder(soft)
    holder = "its process" if process is None else f"process {process} on {shortened(host)}"
    return f", or delete {soft} if {holder} is gone"


def _soft(path: Path) -> Path:
    return path.with_name(f"{path.name}.soft")
