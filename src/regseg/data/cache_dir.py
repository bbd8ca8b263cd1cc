"""The folder for files derived from a dataset: halved images, decoded arrays, the centroid index."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import tempfile
from pathlib import Path

from regseg.data.datasets.layout import Sample
from regseg.data.datasets.spec import DatasetSpec
from regseg.errors import InputError

_FULL = (errno.ENOSPC, errno.EDQUOT)
_LONGEST_NAME = 255  # bytes, of most file systems


def user_cache() -> Path:
    """Return the user's cache folder: ``$REGSEG_CACHE``, else ``$XDG_CACHE_HOME/regseg``, else ``~/.cache/regseg``."""
    if given := os.environ.get("REGSEG_CACHE"):
        return Path(given)
    return Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "regseg")


def working_folder(root: Path, *, large: bool = False) -> Path:
    """Return the folder for derived files, and create it.

    It is ``<root>/.regseg``, which datasets do not list. If ``root`` is not writable, it is a folder in `user_cache`.
    For ``large`` files, a full disk does not count as unwritable: those in ``<root>/.regseg`` may be complete.

    Args:
        root: the dataset's folder.
        large: whether the files may take many gigabytes, which nobody expects in `user_cache`.

    Raises:
        InputError: neither folder is writable.
        OSError: the disk is full, the files are ``large``, and there is no such folder yet.
    """
    root = Path(root).absolute()
    inside = root / ".regseg"
    try:
        inside.mkdir(exist_ok=True)
        with tempfile.TemporaryFile(dir=inside):
            return inside
    except OSError as unwritable:
        if large and unwritable.errno in _FULL:
            if inside.is_dir():
                return inside
            raise
        folder = user_cache() / f"{root.name}-{_hash(os.fsencode(root), 12)}"
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(
                f"Neither {inside} nor {folder} is writable ({error.strerror}); set REGSEG_CACHE to a writable folder."
            ) from error
        return folder


def relative(path: Path, root: Path) -> str:
    """Return ``path`` relative to ``root``, with forward slashes, so that a dataset can be moved.

    On Windows, a path on another drive than ``root`` is returned as it is.
    """
    path = Path(path).absolute()
    try:
        return Path(os.path.relpath(path, Path(root).absolute())).as_posix()
    except ValueError:
        return path.as_posix()


def encoding_folder(cache: Path, spec: DatasetSpec) -> Path:
    """Return the folder in ``cache`` for pairs whose labels are encoded as ``spec`` describes.

    Jobs with other classes have other folders, so that none of them reads the labels of another.
    """
    encoding = json.dumps([sorted(spec.ids.items()), spec.color_ids])
    return cache / f"labels-{_hash(encoding.encode(), 8)}"


def name_others(folder: Path) -> None:
    """Print which folders are next to ``folder``, because nobody else knows whether they are still used."""
    if others := sorted(path.name for path in folder.parent.iterdir() if path.is_dir() and path != folder):
        print(
            f"{folder.parent} also has {', '.join(others)}, which this run does not use; delete what no other run uses."
        )


def stored_file(sample: Sample, kind: str, root: Path) -> str:
    """Return the path of a sample's file, relative to the folder of its storage.

    It is the path of the image, or a hash if the name is too long. In the cache, a hash of the label's path follows,
    because an image may occur in several pairs, with different labels.

    Args:
        sample: the image and label files.
        kind: half or cache.
        root: the dataset's folder.
    """
    suffix = ".png" if kind == "half" else f".{_hash(os.fsencode(relative(sample.label, root)), 8)}.npy"
    inside = relative(sample.image, root).replace("../", "__/")
    if re.match("[A-Za-z]:/|/", inside):  # on another drive of Windows
        inside = f"__/{inside.replace(':', '', 1).lstrip('/')}"
    parent, slash, name = inside.rpartition("/")
    if len(os.fsencode(name + suffix)) > _LONGEST_NAME:
        name = _hash(os.fsencode(name), 64)
    return f"{parent}{slash}{name}{suffix}"


def _hash(content: bytes, digits: int) -> str:
    return hashlib.sha256(content).hexdigest()[:digits]
