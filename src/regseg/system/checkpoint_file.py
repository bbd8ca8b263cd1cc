"""Checkpoint files: read as data alone, checked before use, and written whole or not at all. Needs PyTorch."""

from __future__ import annotations

import io
import json
import pickle
import re
import stat
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from regseg.errors import InputError
from regseg.system.atomic import write_whole


def read_checkpoint_file(path: str | Path) -> Any:
    """The content of a checkpoint file on the CPU: tensors and plain values. No code of the file runs.

    The checksums of the archive are verified, which `torch.load` does not do.

    Raises:
        InputError: the file is missing, unreadable, damaged, or would run code.
    """
    path = Path(path)
    if path.suffix == ".safetensors":
        return _read_weights_file(path)
    try:
        kind = path.stat().st_mode
    except OSError:
        raise InputError(f"There is no checkpoint {path}; check the path.") from None
    if not stat.S_ISREG(kind):
        raise InputError(f"{path} is not a file; give the path of a checkpoint.")
    damaged = InputError(
        f"{path} is not a PyTorch checkpoint, or it is damaged; download or copy it again, or choose another."
    )
    try:
        if not _checksums_match(path):
            raise damaged
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about formats that are then refused
            return torch.load(path, map_location="cpu", weights_only=True)
    except InputError:
        raise
    except OSError as error:
        raise InputError(
            f"The checkpoint {path} cannot be read ({error.strerror}); check the file and its permissions."
        ) from error
    except Exception as error:  # damaged bytes surface as almost any type
        code = re.search(r"GLOBAL ([\w.]+)", str(error)) if isinstance(error, pickle.UnpicklingError) else None
        if code:
            raise InputError(
                f"The checkpoint {path} would run code to load ({code[1]}) and is refused; save it again as a state "
                "dict of tensors."
            ) from error
        raise damaged from error


def write_checkpoint_file(path: str | Path, content: Any, *, keep: Path | None = None) -> None:
    """Write a checkpoint whole or not at all, see `write_whole`."""
    buffer = io.BytesIO()  # serialised in memory, so that a full disk is an OSError and not an error of the archive
    torch.save(content, buffer)
    write_whole(Path(path), lambda file: file.write(buffer.getbuffer()), keep=keep)


def write_weights_file(path: Path, tensors: Mapping[str, torch.Tensor], metadata: Mapping[str, str]) -> None:
    """Write tensors as safetensors, whole or not at all.

    Args:
        path: the file.
        tensors: by name.
        metadata: texts stored in the header.
    """
    from safetensors.torch import save

    content = save({name: tensor.contiguous() for name, tensor in tensors.items()}, dict(metadata))
    write_whole(path, lambda file: file.write(content))


def _read_weights_file(path: Path) -> dict[str, Any]:
    """An exported .safetensors file in the form of a checkpoint: its record gives network, classes and data."""
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        raise InputError(f"There is no checkpoint {path}; check the path.")
    try:
        with safe_open(path, "pt") as file:
            record = json.loads((file.metadata() or {}).get("regseg", "{}"))
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, ValueError, OSError) as error:
        raise InputError(f"{path} is damaged; download or copy it again, or choose another.") from error
    if not isinstance(record, dict):
        raise InputError(f"The record in {path} is damaged; export it again.")
    described = {key: record[key] for key in ("network", "spec") if record.get(key)}
    return {"state_dict": tensors, "hyper_parameters": described, "datamodule_hyper_parameters": record.get("data")}


def _checksums_match(path: Path) -> bool:
    """Whether every record of the archive has its CRC-32; true of PyTorch's old format, which has none."""
    if not zipfile.is_zipfile(path):
        return path.read_bytes()[:2] != b"PK"  # an archive whose end is missing
    with zipfile.ZipFile(path) as archive:
        return archive.testzip() is None
