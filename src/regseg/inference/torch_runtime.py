"""Networks run by PyTorch."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import nn

from regseg.data.augment.transforms import normalize
from regseg.data.datasets.spec import DatasetSpec
from regseg.errors import InputError
from regseg.inference.deploy import fold_batch_norm
from regseg.inference.upsample import labels_of
from regseg.models.weights import load_model
from regseg.system.checkpoint_file import read_checkpoint_file
from regseg.system.cpu import computes_in_bfloat16

_DTYPES = {"f32": torch.float32, "bf16": torch.bfloat16}


class TorchRuntime:
    """A network of this project in eval mode, BatchNorm folded, in channels-last memory.

    Args:
        network: with `low_resolution_logits`; it is copied.
        spec: the dataset's classes.
        precision: ``auto``, ``f32`` or ``bf16``.
        device: ``auto`` takes a GPU if there is one.

    Raises:
        InputError: the device does not exist.
    """

    name = "torch"
    size: tuple[int, int] | None = None

    def __init__(self, network: nn.Module, spec: DatasetSpec, precision: str = "auto", device: str = "auto") -> None:
        self.spec, self.device = spec, _device(device)
        if precision == "auto":
            precision = "bf16" if self.device.type == "cuda" or computes_in_bfloat16() else "f32"
        self.precision, self._dtype = precision, _DTYPES[precision]
        folded = fold_batch_norm(network)
        self.network = folded.to(self.device, self._dtype, memory_format=torch.channels_last).eval()  # type: ignore[call-overload]  # PyTorch's stubs lack memory_format

    @classmethod
    def from_checkpoint(cls, path: str | Path, precision: str = "auto", device: str = "auto") -> TorchRuntime:
        """Open a checkpoint of a training.

        Raises:
            InputError: it is missing, damaged, or does not record its network and classes.
        """
        return cls(load_model(path), spec_in(path), precision, device)

    @torch.inference_mode()
    def __call__(self, images: np.ndarray, size: tuple[int, int] | None = None) -> np.ndarray:
        return labels_of(self.logits_of(torch.from_numpy(images)), size or images.shape[1:3]).cpu().numpy()

    @torch.inference_mode()
    def low_resolution_logits(self, images: np.ndarray) -> np.ndarray:
        """See `regseg.inference.runtimes.Runtime`."""
        return self.logits_of(torch.from_numpy(images)).cpu().numpy()

    def logits_of(self, images: torch.Tensor) -> torch.Tensor:
        """Map (B, H, W, 3) uint8 to the float32 logits (B, C, H/4, W/4) before the last upsampling."""
        with torch.autocast(self.device.type, enabled=False):
            batch = normalize(images.to(self.device)).to(self._dtype)
            return self.network.low_resolution_logits(batch).float()


def spec_in(path: str | Path) -> DatasetSpec:
    """The classes that a checkpoint of a training records.

    Raises:
        InputError: it is unreadable or records none.
    """
    content = read_checkpoint_file(path)
    parameters = content.get("hyper_parameters") if isinstance(content, Mapping) else None
    values = parameters.get("spec") if isinstance(parameters, Mapping) else None
    if not isinstance(values, Mapping):
        raise InputError(f"{path} does not record its classes; give a checkpoint of a training of this project.")
    return DatasetSpec.from_dict(values)


def _device(name: str) -> torch.device:
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        torch.empty(0, device=name)
        return torch.device(name)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).strip().splitlines()[0].rstrip(".")
        raise InputError(f"device={name} cannot be used ({reason}); choose cpu or leave it out.") from error
