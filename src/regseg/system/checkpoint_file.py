"""Checkpoint files: verified and read without running code, written atomically. This module imports PyTorch."""

from __future__ import annotations

import hashlib
import io
import json
import pickle
import re
import stat
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from regseg.errors import InputError
from regseg.system.atomic import write_bytes
from regseg.system.weights_files import GRAPHS, shown_weights

_CHECKSUM = "sha256"  # key in the header of a safetensors file
_DATA = "datamodule_hyper_parameters"  # Lightning's key of the dataset's description


@dataclass(frozen=True)
class OpenedFile:
    """A checkpoint file that was read; it can be given in place of the path, so that the file is not read again."""

    path: Path
    content: Any

    def __str__(self) -> str:
        return shown_weights(self.path)


def open_checkpoint_file(path: str | Path) -> OpenedFile:
    """Read a checkpoint file with `read_checkpoint_file`, for several readers of its content."""
    return OpenedFile(Path(path), read_checkpoint_file(path))


def read_checkpoint_file(path: str | Path | OpenedFile) -> Any:
    """Read a checkpoint file to the CPU without running code from it.

    The checksums of the archive are verified, which `torch.load` does not do.

    Args:
        path: the file.

    Returns:
        Its content: tensors and plain values.

    Raises:
        InputError: the file is missing, unreadable, damaged, or would run code.
    """
    if isinstance(path, OpenedFile):
        return path.content
    path = Path(path)
    return _read_weights_file(path) if path.suffix == ".safetensors" else _read_torch_file(path)


def _read_torch_file(path: Path) -> Any:
    """Return the content of a file of `torch.save`."""
    try:
        kind = path.stat().st_mode
    except OSError:
        raise InputError(f"There is no checkpoint {path}; check the path.") from None
    if not stat.S_ISREG(kind):
        raise InputError(f"{path} is not a file; give the path of a checkpoint.")
    if path.suffix in GRAPHS:
        raise InputError(f"{path} is an exported graph, not a checkpoint; use the checkpoint it was made from.")
    damaged = InputError(
        f"{path} is not a PyTorch checkpoint, or it is damaged; download or copy it again, or choose another."
    )
    try:
        if not _checksums_match(path):
            raise damaged
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # warnings about formats that are rejected anyway
            content = torch.load(path, map_location="cpu", weights_only=True)
        if not all(map(_is_stored, _tensors(content))):
            raise InputError(
                f"{path} contains sparse tensors, or tensors with more elements than the file; save them as "
                "contiguous dense tensors."
            )
        return content
    except InputError:
        raise
    except OSError as error:
        raise _unreadable(path, error) from error
    except Exception as error:  # damaged bytes cause exceptions of almost any type
        code = re.search(r"GLOBAL ([\w.]+)", str(error)) if isinstance(error, pickle.UnpicklingError) else None
        if code:
            raise InputError(
                f"Loading the checkpoint {path} would run code ({code[1]}), so it is rejected; save it again as a "
                "state dict of tensors."
            ) from error
        raise damaged from error


def _tensors(content: Any) -> Iterator[torch.Tensor]:
    """Yield all tensors in the content of a file, in which a container may contain itself."""
    seen: set[int] = set()
    waiting = [content]
    while waiting:
        value = waiting.pop()
        if isinstance(value, torch.Tensor):
            yield value
        elif isinstance(value, (Mapping, list, tuple, set)) and id(value) not in seen:
            seen.add(id(value))
            waiting.extend(value.values() if isinstance(value, Mapping) else value)


def _is_stored(tensor: torch.Tensor) -> bool:
    """Return whether a tensor is dense and all its elements are stored; a small file could name one of terabytes."""
    if tensor.layout != torch.strided or tensor.is_meta:
        return False
    return tensor.numel() * tensor.element_size() <= tensor.untyped_storage().nbytes()


def _unreadable(path: Path, error: OSError) -> InputError:
    return InputError(f"The checkpoint {path} cannot be read ({error.strerror}); check the file and its permissions.")


def dataset_in(path: str | Path | OpenedFile) -> Mapping[str, Any] | None:
    """Return the description of its dataset that a checkpoint records: the arguments of the DataModule; None if none.

    Raises:
        InputError: as for `read_checkpoint_file`.
    """
    content = read_checkpoint_file(path)
    description = content.get(_DATA) if isinstance(content, Mapping) else None
    return description if isinstance(description, Mapping) else None


def classes_in(path: str | Path | OpenedFile) -> list[str] | None:
    """Return the class names that a checkpoint of a training run records, in order; None if it records none.

    Raises:
        InputError: as for `read_checkpoint_file`.
    """
    return recorded_classes(read_checkpoint_file(path))


def recorded_classes(content: Any) -> list[str] | None:
    """Return the class names in the content of a checkpoint, in order; None if it records none."""
    for key in ("hyper_parameters", "spec", "classes"):
        content = content.get(key) if isinstance(content, Mapping) else None
    return [str(name) for name in content] if isinstance(content, (list, tuple)) else None


def write_checkpoint_file(path: str | Path, content: Any, *, keep: Path | None = None) -> None:
    """Write a checkpoint atomically.

    Args:
        path: the file.
        content: tensors and plain values.
        keep: where to move an existing file; None replaces it.

    Raises:
        OSError: the disk is full or the folder is not writable. An existing file is not changed.
    """
    buffer = io.BytesIO()  # serialized in memory, so that a full disk raises OSError and not an error of the archive
    torch.save(content, buffer)
    write_bytes(Path(path), buffer.getbuffer(), keep=keep)


def write_weights_file(path: Path, tensors: Mapping[str, torch.Tensor], metadata: Mapping[str, str]) -> None:
    """Write tensors as safetensors atomically, with a checksum, which this format does not have.

    Args:
        path: the file.
        tensors: the tensors by name.
        metadata: texts stored in the header.
    """
    from safetensors.torch import save

    contiguous = {name: tensor.contiguous() for name, tensor in tensors.items()}
    digest = _digest(save(contiguous))
    write_bytes(path, save(contiguous, {**metadata, _CHECKSUM: digest}))


def _read_weights_file(path: Path) -> dict[str, Any]:
    """Return an exported .safetensors file in the form of a checkpoint; network, classes and data are in its record."""
    if not path.is_file():
        raise InputError(f"There is no checkpoint {path}; check the path.")
    try:
        tensors, metadata = read_tensors(path)
        record = json.loads(metadata.get("regseg", "{}"))
    except OSError as error:
        raise _unreadable(path, error) from error
    except Exception as error:  # safetensors raises its own, ValueError and KeyError
        raise InputError(f"{path} is damaged; download or copy it again, or choose another.") from error
    if not isinstance(record, dict):
        raise InputError(f"The record in {path} is damaged; export it again.")
    described = {key: record[key] for key in ("network", "spec") if record.get(key)}
    return {"state_dict": tensors, "hyper_parameters": described, _DATA: record.get("data")}


def read_tensors(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """Return the tensors of a safetensors file by name and the texts in its header; check its checksum if it has one.

    Raises:
        ValueError: the checksum is wrong. Other damage raises errors of other types.
    """
    from safetensors.torch import load

    content = path.read_bytes()  # safetensors itself opens only names that are UTF-8
    tensors = dict(sorted(load(content).items()))  # `load` returns them in random order
    metadata = json.loads(_parts(content)[0]).get("__metadata__", {})
    if metadata.get(_CHECKSUM, digest := _digest(content)) != digest:
        raise ValueError("its checksum is wrong")
    return tensors, metadata


def _digest(content: bytes) -> str:
    """Return the SHA-256 of the tensors in a safetensors file."""
    return hashlib.sha256(_parts(content)[1]).hexdigest()


def _parts(content: bytes) -> tuple[bytes, bytes]:
    """Return header and tensors of a safetensors file."""
    end = 8 + int.from_bytes(content[:8], "little")
    return content[8:end], content[end:]


def _checksums_match(path: Path) -> bool:
    """Return whether every record of the archive matches its CRC-32; True for PyTorch's old format, which has none.

    PyTorch compresses no record, so their sizes add up to less than the file. Otherwise a small file could fill memory.
    """
    if not zipfile.is_zipfile(path):
        with open(path, "rb") as file:
            return file.read(2) != b"PK"  # a truncated archive starts with PK
    with zipfile.ZipFile(path) as archive:
        return sum(one.file_size for one in archive.infolist()) <= path.stat().st_size and archive.testzip() is None
