"""The record of what an output folder's files were predicted from, so that stale files are recognized."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from regseg.errors import InputError
from regseg.system.atomic import write_text
from regseg.system.locks import lock

RECORD = "predictions.json"


def enter(out: Path, record: dict[str, Any], outputs: Iterable[Path], *, overwrite: bool) -> int:
    """Begin or continue predictions in ``out``.

    Args:
        out: the output folder, which is created.
        record: what decides the content of outputs: weights, source and options.
        outputs: the files that are about to be written.
        overwrite: replace outputs that were predicted from something else.

    Returns:
        A time of modification in nanoseconds: an output that is older was predicted from something else.

    Raises:
        InputError: there are outputs that were predicted from something else, and ``overwrite`` is False.
    """
    path = out / RECORD
    with lock(out / ".lock", wait=True):  # of several shards, the first writes the record
        former = _read(path)
        differing = [key for key in record if former.get(key) != record[key]]
        if differing:
            stale = next((one for one in outputs if one.is_file()), None)
            if stale is not None and not overwrite:
                reason = f"with another {differing[0]}" if former else f"without a record in {path}"
                raise InputError(
                    f"{stale} was predicted {reason}; choose another out, or overwrite=true to replace it."
                )
            write_text(path, json.dumps(record, indent=2) + "\n")
        return path.stat().st_mtime_ns


def is_current(path: Path, since: int) -> bool:
    """Whether ``path`` is a file with content that was written since `enter` gave that time."""
    try:
        status = path.stat()
    except OSError:
        return False
    return status.st_size > 0 and status.st_mtime_ns >= since


def digest(path: Path) -> str:
    """SHA-256 of a file of weights, and of the .bin that belongs to an OpenVINO .xml."""
    found = hashlib.sha256()
    for part in (path, *([path.with_suffix(".bin")] if path.suffix == ".xml" else [])):
        if part.is_file():
            with open(part, "rb") as file:
                found.update(hashlib.file_digest(file, "sha256").digest())
    return found.hexdigest()


def _read(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
