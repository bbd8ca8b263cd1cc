"""Atomic file writes. This module depends on nothing else in the package."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

_LONGEST_NAME = 255  # bytes


def write_whole(
    path: Path, write: Callable[[IO[bytes]], Any], *, keep: Path | None = None, durable: bool = True
) -> None:
    """Write a file atomically: after a kill or with a full disk, ``path`` is either the old file or the new one.

    The content is written to a hidden file in the same folder, flushed to the disk, and renamed. Then the folder is
    flushed. Missing folders are created.

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
    temporary = path.with_name(hidden_name(path.name, f"{os.getpid()}{threading.get_native_id()}"))
    try:
        with open(temporary, "wb") as file:
            write(file)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        if keep is not None and path.exists():
            os.replace(path, keep)
        os.replace(temporary, path)
    except OSError as error:
        error.filename = error.filename or str(path)  # ENOSPC comes without a file name
        raise
    finally:
        temporary.unlink(missing_ok=True)  # after a failed write; after a kill, `remove_leftovers` removes it
    if durable:
        _flush_folder(path.parent)


def hidden_name(name: str, ending: str) -> str:
    """Return ``.<name>.<ending>``, with a name that is shortened to what file systems allow."""
    longest = _LONGEST_NAME - len(ending) - 2
    while len(os.fsencode(name)) > longest:
        name = name[:-1]
    return f".{name}.{ending}"


def write_text(path: Path, text: str) -> None:
    """Write text atomically, as UTF-8; undecodable bytes of file names (surrogate escapes) are written unchanged.

    Raises:
        OSError: as for `write_whole`.
    """
    write_whole(path, lambda file: file.write(text.encode("utf-8", "surrogateescape")))


def remove_leftovers(folder: Path, name: str = "*") -> None:
    """Remove the temporary files that a killed `write_whole` left in ``folder``. No process may be writing there.

    Args:
        folder: the folder.
        name: name of the file that was being written, or a pattern of `glob`.
    """
    for path in folder.glob(f".{name}.[0-9]*"):
        if path.suffix[1:].isdigit() and path.is_file():
            path.unlink(missing_ok=True)


def _flush_folder(folder: Path) -> None:
    with contextlib.suppress(OSError):  # Windows cannot open folders, some network file systems cannot flush them
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
