"""Temporary folders next to their targets. Those that killed processes left are removed by the next process."""

from __future__ import annotations

import contextlib
import glob
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from regseg.system.atomic import hidden_name
from regseg.system.locks import is_held, lock

_LOCK, _FILES = ".lock", "files"


@contextmanager
def temporary_folder(parent: Path, name: str) -> Iterator[Path]:
    """Create a hidden, locked folder in ``parent`` for a ``with`` block, and remove it at the end.

    Folders of the same name whose lock is free are removed first: their processes were killed.

    Args:
        parent: an existing folder, in the file system of the target, so that finished files can be renamed.
        name: what the folder is for, such as the name of the target; folders of other names are not touched.

    Yields:
        The empty folder.

    Raises:
        OSError: ``parent`` is not writable, or the disk is full.
    """
    start = hidden_name(name, "")
    for folder in parent.glob(f"{glob.escape(start)}*"):
        _remove_abandoned(folder)
    with ExitStack() as stack:
        try:
            files = _locked_folder(parent, start, stack) / _FILES
            files.mkdir()
        except OSError as error:
            error.filename = str(parent)  # the user does not know the hidden folder
            raise
        yield files


def _locked_folder(parent: Path, start: str, stack: ExitStack) -> Path:
    while True:
        folder = Path(tempfile.mkdtemp(prefix=start, dir=parent))
        stack.callback(_remove, folder)
        path = folder / _LOCK
        with contextlib.suppress(FileNotFoundError):  # another process removed the folder
            stack.enter_context(lock(path, wait=True))
            if is_held(path):  # otherwise another process removed the file just before it was locked
                return folder


def _remove_abandoned(folder: Path) -> None:
    """Remove a folder of `temporary_folder` unless a process holds it."""
    path = folder / _LOCK
    with contextlib.suppress(OSError):  # `Held` is one
        if any(file.exists() for file in (path, path.with_name(f"{_LOCK}.soft"))):
            with lock(path, wait=False):
                _remove(folder)
            _remove(folder)  # again: on Windows, the open lock file could not be removed
        elif re.fullmatch(r"\.[a-z0-9_]{8}", folder.suffix):  # a name of tempfile.mkdtemp
            folder.rmdir()  # if it is empty: its process was killed before it was locked or after it was emptied


def _remove(folder: Path) -> None:
    """Remove the lock file last, so that a folder that was not removed completely is recognized."""
    shutil.rmtree(folder / _FILES, ignore_errors=True)
    shutil.rmtree(folder, ignore_errors=True)
