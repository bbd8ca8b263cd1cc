"""The record of how each output file was made, so that no stale file is kept and no unrelated file is replaced."""

from __future__ import annotations

import hashlib
import json
import os
import uuid
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

from regseg.errors import InputError
from regseg.system.atomic import remove_leftovers, write_text
from regseg.system.locks import is_held, lock
from regseg.system.records import read_text

RECORD = "predictions.json"
ARCHIVE = "cityscapes.zip"  # of all results for Cityscapes' test server
_WRITER = ".writer_"  # start of the names of the files that running commands lock


@dataclass(frozen=True)
class Origin:
    """What decides the content of an output file.

    Attributes:
        source: absolute path of the image or video.
        settings: the weights' digest and the options that matter to the file; plain values.
        computed_by: runtime and precision, such as "openvino in bf16"; "" if they are not known. It is not compared,
            because ``auto`` may choose differently on the machines that share a folder.
    """

    source: str
    settings: Mapping[str, Any]
    computed_by: str = field(default="", compare=False)


class _Record(NamedTuple):
    """The content of `RECORD`, by paths relative to the folder."""

    origins: dict[str, Origin]
    incomplete: set[str]


def locked(out: Path) -> AbstractContextManager[None]:
    """Return the lock under which commands change the record and the archive of ``out``."""
    return lock(out / ".lock", wait=True)


@contextmanager
def writing(out: Path, outputs: Iterable[Path]) -> Iterator[None]:
    """Note in ``out`` that this command is running, and remove temporary files of killed commands.

    The notes are locked files, because a lock ends with its process. While another command is running, temporary files
    may be its own, and those of outputs remain.

    Args:
        out: the output folder, which exists.
        outputs: the files that the command makes.
    """
    with ExitStack() as stack:
        with locked(out):
            for name in (RECORD, ARCHIVE):
                remove_leftovers(out, name)
            writers = {path.with_name(path.name.removesuffix(".soft")) for path in out.glob(f"{_WRITER}*")}
            if not any(map(is_held, writers)):
                for folder in {path.parent for path in outputs}:
                    remove_leftovers(folder)
                for writer in writers:
                    writer.unlink(missing_ok=True)
            writer = out / f"{_WRITER}{uuid.uuid4().hex}"
            stack.callback(writer.unlink, missing_ok=True)
            stack.enter_context(lock(writer, wait=True))
        yield


def enter(out: Path, outputs: Mapping[Path, Origin], *, overwrite: bool) -> None:
    """Record how the output files will be made. Several shards may do so at once.

    Args:
        out: the output folder, which is created.
        outputs: the files that the command makes.
        overwrite: remove those that exist, so that every file in the record was made as the record says.

    Raises:
        InputError: a file was made in another way or is not in the record, and ``overwrite`` is False.
    """
    with locked(out):
        record = _read(out)
        for path, origin in outputs.items():
            former = record.origins.get(_name(path, out))
            if overwrite:
                path.unlink(missing_ok=True)
            elif former != origin and path.is_file() and path.stat().st_size:
                reason = f"is not recorded in {out / RECORD}" if former is None else _difference(former, origin)
                raise InputError(f"{path} {reason}; choose another out, or overwrite=true to replace it.")
        named = {_name(path, out): origin for path, origin in outputs.items()}
        # Equal ones stay, because they record what computed the files.
        added = {name: origin for name, origin in named.items() if record.origins.get(name) != origin}
        if added:
            _write(out, _Record(record.origins | added, record.incomplete))


def missing(out: Path, outputs: Mapping[Path, Origin]) -> set[Path]:
    """Return the output files that are missing, incomplete, older than their source, or made in another way."""
    record = _read(out)
    return {
        path
        for path, origin in outputs.items()
        if (name := _name(path, out)) in record.incomplete
        or record.origins.get(name) != origin
        or not _is_newer(path, origin.source)
    }


def recorded_files(folder: Path) -> set[Path]:
    """Return the output files that a folder records; empty if it is not an output folder."""
    return {folder / name for name in _read(folder).origins} if (folder / RECORD).is_file() else set()


def of_other_settings(out: Path, outputs: Mapping[Path, Origin]) -> str:
    """Return a sentence on files in ``out`` that show the same sources as ``outputs`` with other settings, or "".

    An overlay's opacity does not count, because it does not change labels.
    """
    now = {origin.source: _of_labels(origin) for origin in outputs.values()}
    found: dict[str, list[Origin]] = {}
    for name, origin in _read(out).origins.items():
        differs = origin.source in now and _of_labels(origin) != now[origin.source]
        if differs and out / name not in outputs and (out / name).is_file():
            found.setdefault(name.partition("/")[0], []).append(origin)
    if not found:
        return ""
    former = next(iter(found.values()))[0]
    difference = _difference(*(Origin(former.source, labels) for labels in (_of_labels(former), now[former.source])))
    folders = ", ".join(f"{out / folder} ({len(origins)})" for folder, origins in found.items())
    return (
        f"Files made with earlier settings remain in {folders}; the first {difference}. To replace them, add "
        f"'save=[{','.join(found)}]' overwrite=true."
    )


def mark(out: Path, paths: Iterable[Path], *, incomplete: bool) -> None:
    """Record whether files are incomplete because a part of their source could not be decoded."""
    with locked(out):
        record = _read(out)
        names = {_name(path, out) for path in paths}
        _write(out, _Record(record.origins, record.incomplete | names if incomplete else record.incomplete - names))


def record_computed_by(out: Path, paths: Iterable[Path], computed_by: str) -> None:
    """Record what computes files; see `Origin.computed_by`."""
    with locked(out):
        record = _read(out)
        names = {_name(path, out) for path in paths} & record.origins.keys()
        changed = {name: replace(record.origins[name], computed_by=computed_by) for name in names}
        _write(out, record._replace(origins=record.origins | changed))


def note_on_runtimes(out: Path, outputs: Iterable[Path]) -> str:
    """Return a sentence on ``outputs`` if not all were computed by the same runtime in the same precision, or ""."""
    origins = _read(out).origins
    names = (_name(path, out) for path in outputs if path.is_file())
    counts = Counter(origins[name].computed_by for name in names if name in origins and origins[name].computed_by)
    if len(counts) < 2:
        return ""
    shown = ", ".join(f"{computed_by} ({count})" for computed_by, count in counts.most_common())
    return (
        f"The files in {out} were computed with {shown}, so their labels can differ slightly; to replace them, set "
        "runtime, precision and device, and add overwrite=true."
    )


def digest(path: Path) -> str:
    """Return the SHA-256 of a weights file; for an OpenVINO .xml, of it and its .bin."""
    found = hashlib.sha256()
    for part in (path, *([path.with_suffix(".bin")] if path.suffix == ".xml" else [])):
        if part.is_file():
            with open(part, "rb") as file:
                found.update(hashlib.file_digest(file, "sha256").digest())
    return found.hexdigest()


def _name(path: Path, out: Path) -> str:
    return path.relative_to(out).as_posix()


def _is_newer(path: Path, source: str) -> bool:
    """Return whether ``path`` is a non-empty file, not older than ``source``; a missing source counts as older."""
    try:
        status = path.stat()
    except OSError:
        return False
    try:
        since = os.stat(source).st_mtime_ns
    except OSError:
        since = 0
    return status.st_size > 0 and status.st_mtime_ns >= since


def _of_labels(origin: Origin) -> dict[str, Any]:
    """Return the settings that determine the labels."""
    return {name: value for name, value in origin.settings.items() if name != "opacity"}


def _difference(former: Origin, origin: Origin) -> str:
    """Return the first difference in how a file was made from how it would be made now, as the end of a sentence."""
    if former.source != origin.source:
        return f"was predicted from {former.source}"
    names = [*origin.settings, *former.settings]
    name = next(name for name in names if former.settings.get(name) != origin.settings.get(name))
    if name == "weights":
        return "was predicted with other weights"
    value = former.settings.get(name)
    computed_by = f" ({former.computed_by})" if value == "auto" and former.computed_by else ""
    return f"was predicted with {name}={value}{computed_by}"


def _read(out: Path) -> _Record:
    """Return the record; empty if there is none or it is damaged."""
    try:
        content = json.loads(read_text(out / RECORD))
        origins = {
            name: Origin(str(source), dict(made["settings"]), str(made.get("computed_by", "")))
            for made in content["made"]
            for name, source in made["outputs"].items()
        }
        return _Record(origins, {str(name) for name in content["incomplete"]})
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return _Record({}, set())


def _write(out: Path, record: _Record) -> None:
    """Write the record, one list of files for each combination of settings, runtime and precision."""
    made: list[dict[str, Any]] = []
    for name, origin in record.origins.items():
        key = {"settings": origin.settings, "computed_by": origin.computed_by}
        group = next((one for one in made if key.items() <= one.items()), None)
        if group is None:
            made.append(group := {**key, "outputs": {}})
        group["outputs"][name] = origin.source
    content = {"made": made, "incomplete": sorted(record.incomplete)}
    write_text(out / RECORD, json.dumps(content, indent=1) + "\n")
