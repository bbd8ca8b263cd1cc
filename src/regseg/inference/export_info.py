"""What an exported file records: classes, colours, ids, sizes, and where it comes from. Needs no PyTorch."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from regseg.data.datasets.spec import DatasetSpec
from regseg.data.decoding import LARGEST_SIDE
from regseg.errors import InputError, shortened

KEY = "regseg"  # key of the record in the file's metadata
LOW_RESOLUTION = "low_resolution_logits"  # the tensor in an exported graph before the last upsampling
_CHECKSUM, _NO_CHECKSUM = "sha256", 64 * "0"  # key in `ExportInfo.provenance`, and its value before it is known
PRECISIONS = ("f32", "f16", "bf16", "int8")


@dataclass(frozen=True)
class ExportInfo:
    """The record in an exported file.

    Attributes:
        spec: the dataset's classes.
        precision: one of `PRECISIONS`.
        output: ``labels`` or ``logits``.
        size: (height, width) of the images if the model accepts only one size, else None.
        network: arguments of `regseg.models.create_model`.
        data: the dataset description of the checkpoint without its folder; empty if it has none.
        normalization: ``mean`` and ``std`` on a scale of 0 to 255, which the graph applies.
        provenance: the checkpoint, versions and time, and the results of checks.
    """

    spec: DatasetSpec
    precision: str = "f32"
    output: str = "labels"
    size: tuple[int, int] | None = None
    network: Mapping[str, Any] = field(default_factory=dict)
    data: Mapping[str, Any] = field(default_factory=dict)
    normalization: Mapping[str, Any] = field(default_factory=dict)
    provenance: Mapping[str, Any] = field(default_factory=dict)

    @property
    def short_side(self) -> int | None:
        """Short side of the images in evaluations of the training, in pixels; None if that was their own."""
        return short_side_of(self.data)

    def to_json(self) -> str:
        """Return the record as one line of JSON; ``short_side`` is for readers without this package."""
        return json.dumps(asdict(self) | {"spec": self.spec.to_dict(), "short_side": self.short_side})

    @classmethod
    def from_json(cls, text: str | None, path: str | Path) -> ExportInfo:
        """Read a record that `to_json` wrote.

        Args:
            text: the record; None if the file has none.
            path: the file, for the error.

        Raises:
            InputError: the file was not exported by this project, or its record is damaged.
        """
        if not text:
            raise InputError(f"{path} was not exported by this project; use python -m regseg.export.")
        try:
            values = json.loads(text)
            spec, size = DatasetSpec.from_dict(values["spec"]), values["size"]
            sound = values["precision"] in PRECISIONS and values["output"] in ("labels", "logits")
            sound = sound and (size is None or _is_size(size))
            records = {key: dict(values[key]) for key in ("network", "data", "normalization", "provenance")}
        except (InputError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise InputError(f"The record in {path} is damaged ({shortened(repr(error))}); export it again.") from error
        if not sound:
            raise InputError(f"The record in {path} is damaged; export it again.")
        return cls(spec, values["precision"], values["output"], tuple(size) if size else None, **records)


def unsealed(info: ExportInfo) -> ExportInfo:
    """Return the record with a place for the checksum that `seal` writes."""
    return replace(info, provenance={**info.provenance, _CHECKSUM: _NO_CHECKSUM})


def seal(path: Path) -> None:
    """Write the checksum of an exported graph into its record, because neither ONNX nor OpenVINO has one.

    Args:
        path: the .onnx or .xml file, with a record of `unsealed`.
    """
    content = path.read_bytes()
    digest = _digest(path, content)
    path.write_bytes(content.replace(_NO_CHECKSUM.encode(), digest.encode(), 1))


def check_seal(path: str | Path, info: ExportInfo) -> None:
    """Check the checksum of an exported graph, if its record has one.

    Raises:
        InputError: the file, or the .bin of an .xml, is damaged.
    """
    digest = info.provenance.get(_CHECKSUM)
    if digest is None:
        return
    content = Path(path).read_bytes().replace(str(digest).encode(), _NO_CHECKSUM.encode(), 1)
    if _digest(Path(path), content) != digest:
        raise InputError(f"{path} is damaged (its checksum is wrong); copy it again, or export it again.")


def _digest(path: Path, content: bytes) -> str:
    weights = path.with_suffix(".bin").read_bytes() if path.suffix == ".xml" else b""
    return hashlib.sha256(content + weights).hexdigest()


def _is_size(size: Any) -> bool:
    return [type(side) for side in size] == [int, int] and all(0 < side <= LARGEST_SIDE for side in size)


def short_side_of(data: Mapping[str, Any]) -> int | None:
    """Return the evaluation size in a dataset description; None if it is the images' own, or is not a size."""
    value = data.get("val_size")
    return value if type(value) is int and 0 < value <= LARGEST_SIDE else None
