"""Files that are written whole or not at all. Needs nothing else of the package."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any


def write_whole(
    path: Path, write: Callable[[IO[bytes]], Any], *, keep: Path | None = None, durable: bool = True
) -> None:
    """Write ``path`` so that a kill or a full disk at any moment leaves the former file or the new one.

    The content goes to a hidden file in the same folder, is flushed to the disk and then takes the name; last, the
    folder is flushed. Folders are created as needed.

    Args:
        path: the file.
        write: called with the open binary file.
        keep: the name that the former file gets, if there is one; None replaces it.
        durable: whether to wait until the content is on the disk. Without it, a power cut (not a kill) may leave less;
            for files with a checksum of their own.

    Raises:
        OSError: the disk is full or the folder is not writable; ``path`` is as before.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}{threading.get_native_id()}")
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
        error.filename = error.filename or str(path)  # a full disk does not name the file
        raise
    finally:
        # A full disk may leave the temporary file; only a kill between the lines can.
        temporary.unlink(missing_ok=True)
    if durable:
        _flush_folder(path.parent)


def write_text(path: Path, text: str) -> None:
    """`write_whole` for text, as UTF-8; what cannot be encoded (file names of other encodings) is kept byte by byte."""
    write_whole(path, lambda file: file.write(text.encode("utf-8", "surrogateescape")))


def remove_leftovers(folder: Path, name: str = "*") -> None:
    """Remove the temporary files that a killed `write_whole` left in ``folder``; nobody may be writing there.

    Args:
        folder: the folder.
        name: of the file that was being written, or a pattern of `glob`.
    """
    for path in folder.glob(f".{name}.[0-9]*"):
        if path.suffix[1:].isdigit() and path.is_file():
            path.unlink(missing_ok=True)


def _flush_folder(folder: Path) -> None:
    with contextlib.suppress(OSError):  # Windows cannot open a folder; some network file systems cannot flush one
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
