"""One call for every runtime: images in, class indices out. Imports a runtime's library when it is opened."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import numpy as np

from regseg.data.datasets.spec import DatasetSpec
from regseg.errors import InputError

RUNTIMES = ("torch", "onnxruntime", "openvino")
PRECISIONS = ("f32", "bf16")


class Runtime(Protocol):
    """A network that is ready to run.

    Attributes:
        name: ``torch``, ``onnxruntime`` or ``openvino``.
        precision: what it computes in: ``f32``, ``f16``, ``bf16`` or ``int8``.
        spec: the dataset's classes.
        size: (height, width) in pixels if it takes images of one size only, else None.
    """

    name: str
    precision: str
    spec: DatasetSpec
    size: tuple[int, int] | None

    def __call__(self, images: np.ndarray, size: tuple[int, int] | None = None) -> np.ndarray:
        """Label images.

        Args:
            images: (B, H, W, 3) uint8 RGB.
            size: (height, width) of the labels; None for the images' own. Logits are interpolated to it bilinearly.

        Returns:
            (B, *size) uint8 class indices.
        """


def open_runtime(weights: str | Path, runtime: str = "auto", precision: str = "auto", device: str = "auto") -> Runtime:
    """Open a checkpoint, a run's folder or an exported file.

    Args:
        weights: the file or folder; of a run, best.ckpt is taken, else last.ckpt.
        runtime: ``auto`` or one of `RUNTIMES`.
        precision: ``auto`` or one of `PRECISIONS`.
        device: ``auto``, ``cpu`` or, with the torch runtime, a device such as ``cuda:0``.

    Raises:
        InputError: the file is missing, damaged or of another project, or a package is missing.
    """
    for name, value, choices in (("runtime", runtime, RUNTIMES), ("precision", precision, PRECISIONS)):
        if value not in ("auto", *choices):
            raise InputError(f"{name}={value} does not exist; choose one of auto, {', '.join(choices)}.")
    path = resolve_weights(weights)
    from regseg.inference.torch_runtime import TorchRuntime

    return TorchRuntime.from_checkpoint(path, precision, device)


def resolve_weights(weights: str | Path) -> Path:
    """The file that ``weights`` names: itself, or in a run's folder best.ckpt, else last.ckpt, which is printed.

    Raises:
        InputError: there is no such file, or the folder holds no checkpoint.
    """
    path = Path(weights).expanduser()
    if not path.is_dir():
        return path
    for name in ("best.ckpt", "last.ckpt"):
        for folder in (path / "checkpoints", path):
            if (folder / name).is_file():
                print(f"Using {folder / name}.")
                return folder / name
    raise InputError(f"{path} holds no best.ckpt or last.ckpt; give a run's folder or a checkpoint.")
