"""What `weights` may name: a file, a run's folder, or weights that come with the package. Needs no PyTorch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from regseg.errors import InputError, did_you_mean
from regseg.system.folders import expanded

SHIPPED = Path(__file__).parents[1] / "weights"  # <name>.safetensors, each with its model card <name>.md
GRAPHS = (".onnx", ".xml")  # suffixes of exported graphs
PARTS = ("all", "backbone")  # values of weights_part


def list_weights() -> list[str]:
    """Return the names of the weights that come with the package."""
    return sorted(path.stem for path in SHIPPED.glob("*.safetensors"))


def network_of(name: str) -> dict[str, Any]:
    """Return the arguments of `create_model` that shipped weights record, read from the header of the file."""
    with open(SHIPPED / f"{name}.safetensors", "rb") as file:
        header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
    return json.loads(header["__metadata__"]["regseg"])["network"]


def shown_weights(path: str | Path) -> str:
    """Return the name of weights for people: that of `list_weights` for a file of the package, or else the path."""
    path = Path(path)
    return path.stem if path.parent == SHIPPED else str(path)


def resolve_weights(weights: str | Path) -> Path:
    """Return the file that ``weights`` names; in a run's folder best.ckpt or else last.ckpt, whose path is printed.

    A name of `list_weights` means those weights, even if there is a folder of that name; write ``./NAME`` for the
    folder.

    Raises:
        InputError: the folder contains no checkpoint, the file is only a part of a model, the suffix of a graph is in
            capitals, or the name is mistyped or of another type.
    """
    if not isinstance(weights, (str, Path)):
        kind = type(weights).__name__
        raise InputError(f"The weights are of the type {kind}; give a name, or the path of a file or of a run.")
    if str(weights) in list_weights() and not isinstance(weights, Path):
        return SHIPPED / f"{weights}.safetensors"
    path = expanded(weights)
    if path.suffix == ".bin" and path.with_suffix(".xml").is_file():
        raise InputError(f"{path} contains the weights of {path.with_suffix('.xml')}; give that file.")
    if not path.is_dir():
        if path.suffix.lower() in GRAPHS and path.suffix not in GRAPHS:
            raise InputError(f"{path} has its suffix in capitals; rename it to {path.stem}{path.suffix.lower()}.")
        if not path.suffix and not path.exists() and (hint := did_you_mean(str(weights), list_weights())):
            raise InputError(f"There is no checkpoint {path}; {hint}")
        return path
    for name in ("best.ckpt", "last.ckpt"):
        for folder in (path / "checkpoints", path):
            if (folder / name).is_file():
                print(f"Using {folder / name}.")
                return folder / name
    raise InputError(f"{path} contains no best.ckpt or last.ckpt; use a run's folder or a checkpoint.")
