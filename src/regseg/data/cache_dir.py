"""The folder for files derived from a dataset: halved images, decoded arrays, the centroid index."""

from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path

from regseg.errors import InputError


def user_cache() -> Path:
    """Return the user's cache folder: ``$REGSEG_CACHE``, else ``$XDG_CACHE_HOME/regseg``, else ``~/.cache/regseg``."""
    if given := os.environ.get("REGSEG_CACHE"):
        return Path(given)
    return Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "regseg")


def working_folder(root: Path) -> Path:
    """Return the folder for derived files, and create it.

    It is ``<root>/.regseg``, which datasets do not list. If ``root`` is not writable, it is a folder in `user_cache`.

    Args:
        root: the dataset's folder.

    Raises:
        InputError: neither folder is writable.
    """
    root = Path(root).absolute()
    inside = root / ".regseg"
    try:
        inside.mkdir(exist_ok=True)
        with tempfile.TemporaryFile(dir=inside):
            return inside
    except OSError:
        folder = user_cache() / f"{root.name}-{hashlib.sha256(os.fsencode(root)).hexdigest()[:12]}"
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(
                f"Neither {inside} nor {folder} is writable ({error.strerror}); set REGSEG_CACHE to a writable folder."
            ) from error
        return folder


def relative(path: Path, root: Path) -> str:
    """Return ``path`` relative to ``root``, with forward slashes, so that a dataset can be moved."""
    return Path(os.path.relpath(Path(path).absolute(), Path(root).absolute())).as_posix()
