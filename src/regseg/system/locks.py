"""Inter-process locks on paths. The locks of a process that dies are released."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import BaseFileLock, FileLock, SoftFileLock, Timeout

_NO_FLOCK = {errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP}
_TIMEOUT = 0.5  # seconds; longer than `is_held` in another process holds the lock


class Held(OSError):
    """Another process holds the lock."""


@contextmanager
def lock(path: Path, *, wait: bool) -> Iterator[None]:
    """Hold an inter-process lock on ``path`` in a ``with`` block.

    On file systems without locks, the existence of ``<path>.soft`` is the lock. If the process that created it is on
    this machine and has died, the lock is taken over.

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
    """Return whether a process holds the lock on ``path``; False if this process may not open the lock file."""
    try:
        if not path.exists() and not _soft(path).exists():
            return False
        _acquire(path, 0).release()
    except Held:
        return True
    except OSError:
        return False
    return False


def _acquire(path: Path, timeout: float) -> BaseFileLock:
    """Acquire the lock within ``timeout`` seconds, or without a limit for -1; raise `Held` otherwise."""
    try:
        try:
            acquired: BaseFileLock = FileLock(path, fallback_to_soft=False)
            acquired.acquire(timeout=timeout)
        except (OSError, NotImplementedError) as error:  # filelock raises NotImplementedError for ENOSYS
            if isinstance(error, OSError) and error.errno not in _NO_FLOCK:
                raise
            acquired = SoftFileLock(_soft(path))
            acquired.acquire(timeout=timeout)
    except Timeout as error:
        raise Held(errno.EWOULDBLOCK, "another process holds the lock", str(path)) from error
    return acquired


def _soft(path: Path) -> Path:
    return path.with_name(f"{path.name}.soft")
