"""Inter-process locks on paths. A process that dies releases its locks."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import BaseFileLock, FileLock, SoftFileLock, Timeout

_NO_FLOCK = {errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP}
_PATIENCE = 0.5  # seconds; longer than `is_held` of another process takes


class Held(OSError):
    """Another process holds the lock."""


@contextmanager
def lock(path: Path, *, wait: bool) -> Iterator[None]:
    """Hold the lock file ``path``, which is created with its folder and may stay afterwards.

    Where the file system has no locks, the existence of ``<path>.soft`` is the lock: one that a dead process of this
    machine left is taken over, and one of another machine is respected.

    Args:
        path: the lock file.
        wait: wait while another process holds the lock, instead of raising `Held`.

    Raises:
        Held: another process holds the lock, and ``wait`` is False.
        OSError: the lock file cannot be created or opened.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    held = _acquire(path, -1 if wait else _PATIENCE)
    try:
        yield
    finally:
        held.release()


def is_held(path: Path) -> bool:
    """Whether a process holds the lock file ``path``; False where this process may not open it."""
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
    """Acquire the lock within ``timeout`` seconds; -1 waits without limit."""
    try:
        try:
            acquired = FileLock(path, fallback_to_soft=False)
            acquired.acquire(timeout=timeout)
        except (OSError, NotImplementedError) as error:  # filelock raises the latter for ENOSYS
            if isinstance(error, OSError) and error.errno not in _NO_FLOCK:
                raise
            acquired = SoftFileLock(_soft(path))
            acquired.acquire(timeout=timeout)
    except Timeout as error:
        raise Held(errno.EWOULDBLOCK, "another process holds the lock", str(path)) from error
    return acquired


def _soft(path: Path) -> Path:
    return path.with_name(f"{path.name}.soft")
