"""Converted networks in the user's cache folder.

A conversion takes longer than everything else in a short command. Each converted network is a folder with an exported
OpenVINO model and its checksum. Its name covers whatever affects the model: the weights, the versions of PyTorch and
OpenVINO, and the modules that define and convert networks.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import shutil
from pathlib import Path
from typing import Any

from regseg.data.cache_dir import user_cache
from regseg.errors import InputError
from regseg.inference.export_info import ExportInfo
from regseg.inference.out_folder import digest
from regseg.system.provenance import version_of
from regseg.system.temporary import temporary_folder

KEPT = 4  # models; one has 13 MB, or 80 MB for DDRNet-23
_MODEL, _CHECKSUM = "model.xml", "sha256"
_PACKAGE = Path(__file__).parents[1]
_CODE = ("models", "inference", "data/augment")  # packages that define, fold, normalize and convert


def cache_folder() -> Path:
    """Return the folder of the converted networks, in `regseg.data.cache_dir.user_cache`."""
    return user_cache() / "openvino"


def key_of(weights: Path) -> str | None:
    """Return the name under which the conversion of a file is kept; None if the installed versions are not known."""
    versions = _versions()
    if versions is None:
        return None
    return hashlib.sha256(f"{digest(weights)} {versions}".encode()).hexdigest()[:32]


def read(key: str) -> tuple[Any, ExportInfo] | None:
    """Return a kept `openvino.Model` and its record; None, after removing it, if it is damaged, or if there is none."""
    from regseg.inference.openvino_runtime import read_model

    folder = cache_folder() / key
    try:
        if (folder / _CHECKSUM).read_text(encoding="ascii") == digest(folder / _MODEL):
            found = read_model(folder / _MODEL)
            with contextlib.suppress(OSError):
                os.utime(folder)  # the time of the last use decides which are kept
            return found
    except FileNotFoundError:
        return None
    except (OSError, ValueError, InputError):
        pass  # the same as another checksum
    shutil.rmtree(folder, ignore_errors=True)
    return None


def keep(key: str, model: Any, info: ExportInfo) -> None:
    """Write a model whole or not at all, and remove all but the `KEPT` last used.

    A full or read-only disk is not an error.
    """
    from regseg.inference.export_files import save_openvino

    folder = cache_folder()
    with contextlib.suppress(OSError, InputError):
        folder.mkdir(parents=True, exist_ok=True)
        with temporary_folder(folder, "draft") as draft:
            save_openvino(draft / _MODEL, model, info)
            (draft / _CHECKSUM).write_text(digest(draft / _MODEL), encoding="ascii")
            os.replace(draft, folder / key)  # fails if another process was quicker
        kept = [path for path in folder.iterdir() if not path.name.startswith(".")]  # without drafts of other processes
        for other in sorted(kept, key=os.path.getmtime, reverse=True)[KEPT:]:
            shutil.rmtree(other, ignore_errors=True)


@functools.cache
def _versions() -> str | None:
    """Return the versions of torch and openvino and the hash of our code; None if a package has no metadata."""
    versions = [version for name in ("torch", "openvino") if (version := version_of(name))]
    if len(versions) < 2:
        return None
    files = sorted(path for part in _CODE for path in (_PACKAGE / part).glob("*.py"))
    code = hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()
    return " ".join([*versions, code])
