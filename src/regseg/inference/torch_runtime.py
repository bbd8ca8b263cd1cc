"""Networks run with PyTorch."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import nn

from regseg.data.augment.transforms import MEAN, STD, normalize
from regseg.data.datasets.spec import DatasetSpec
from regseg.errors import InputError, typed
from regseg.inference import onednn
from regseg.inference.cuda_graphs import GraphsBySize
from regseg.inference.export_info import short_side_of
from regseg.inference.folding import fold_batch_norm
from regseg.inference.triton_network import Upsample, with_kernels
from regseg.inference.upsample import labels_of, prepare
from regseg.models.description import config_of
from regseg.models.factory import load_model
from regseg.system.checkpoint_file import OpenedFile, dataset_in, open_checkpoint_file, read_checkpoint_file
from regseg.system.cpu import bfloat16_is_faster

DTYPES = {"f32": torch.float32, "f16": torch.float16, "bf16": torch.bfloat16}


class TorchRuntime:
    """A network of this project in eval mode, with BatchNorm folded, in channels-last memory.

    On a CPU, convolutions are fused with what follows them (`regseg.inference.onednn`). On a GPU, Triton kernels run
    the grouped convolutions and the last upsampling, if they agree there with PyTorch's operations. Consecutive images
    of the same size run as a CUDA graph.

    Args:
        network: a model with `low_resolution_logits`; it is copied.
        spec: the dataset's classes.
        short_side: short side of the images in evaluations of the training; see `regseg.inference.runtimes.Runtime`.
        precision: ``auto``, ``f32``, ``bf16`` or, on a GPU, ``f16``.
        device: ``auto`` uses a GPU if there is one.
        kernels: whether to use Triton's kernels on a GPU.
        graphs: whether to use CUDA graphs on a GPU.

    Raises:
        InputError: the device does not exist, or cannot compute in the precision.
    """

    name = "torch"
    size: tuple[int, int] | None = None
    resizes_logits = True

    def __init__(
        self,
        network: nn.Module,
        spec: DatasetSpec,
        precision: str = "auto",
        device: str = "auto",
        *,
        short_side: int | None = None,
        kernels: bool = True,
        graphs: bool = True,
    ) -> None:
        self.spec, self.short_side, self.device = spec, short_side, _device(device)
        self.precision = _precision(precision, self.device)
        self._dtype = DTYPES[self.precision]
        folded = fold_batch_norm(network)
        self.network = folded.to(self.device, self._dtype, memory_format=torch.channels_last).eval()  # type: ignore[call-overload]  # PyTorch's stubs lack memory_format
        on_gpu = self.device.type == "cuda"
        if self.device.type == "cpu" and onednn.is_available(self._dtype):
            self.network = onednn.fuse(self.network)
        self._upsample: Upsample = labels_of
        if on_gpu and kernels and self._dtype != torch.float32:
            self.network, self._upsample = with_kernels(self.network)
        self._normalize = _Normalize().to(self.device) if on_gpu else normalize
        self._graphs = GraphsBySize(self._labels, self.device) if on_gpu and graphs else None

    @classmethod
    def from_checkpoint(cls, path: str | Path, precision: str = "auto", device: str = "auto") -> TorchRuntime:
        """Open a training checkpoint.

        Raises:
            InputError: it is missing, damaged, or does not record its network and classes.
        """
        file = open_checkpoint_file(path)
        short_side = short_side_of(dataset_in(file) or {})
        return cls(*network_and_spec(file), precision, device, short_side=short_side)

    def load(self) -> None:
        """See `regseg.inference.runtimes.Runtime`."""
        if self.device.type == "cpu":
            prepare()

    @torch.inference_mode()
    def __call__(self, images: np.ndarray, size: tuple[int, int] | None = None) -> np.ndarray:
        height, width = size or images.shape[1:3]
        if self._graphs is not None:
            return self._graphs(images, (height, width))
        return self._labels(torch.from_numpy(images).to(self.device), (height, width)).cpu().numpy()

    @torch.inference_mode()
    def low_resolution_logits(self, images: np.ndarray) -> np.ndarray:
        """See `regseg.inference.runtimes.Runtime`."""
        return self.logits_of(torch.from_numpy(images)).cpu().numpy()

    def logits_of(self, images: torch.Tensor) -> torch.Tensor:
        """Map (B, H, W, 3) uint8 to the float32 logits (B, C, H/4, W/4) before the last upsampling."""
        with torch.autocast(self.device.type, enabled=False):
            return self._logits(images.to(self.device)).float()

    def _labels(self, images: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
        logits, own = self._logits(images), (images.shape[1], images.shape[2])
        if size != own:  # twice, as in the author's release
            logits = nn.functional.interpolate(logits.float(), own, mode="bilinear", align_corners=False)
        return self._upsample(logits, size)

    def _logits(self, images: torch.Tensor) -> torch.Tensor:
        return self.network.low_resolution_logits(self._normalize(images).to(self._dtype))


class _Normalize(nn.Module):
    """`normalize` with its own constants, because a CUDA graph needs them for its lifetime."""

    scale: torch.Tensor
    shift: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        mean, std = (torch.tensor(values, dtype=torch.float64)[:, None, None] for values in (MEAN, STD))
        self.register_buffer("scale", (1 / std).float())
        self.register_buffer("shift", (-mean / std).float())

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return torch.addcmul(self.shift, images.permute(0, 3, 1, 2).float(), self.scale)


def network_and_spec(file: OpenedFile) -> tuple[nn.Module, DatasetSpec]:
    """Return the network and the classes that a checkpoint records.

    Raises:
        InputError: it is damaged or does not record both, or they differ in the number of classes.
    """
    network, spec = load_model(file), _spec_in(file)
    number = config_of(network)["num_classes"]
    if number != spec.num_classes:
        raise InputError(
            f"{file} records {spec.num_classes} classes, but its network has {number}; save it again with the classes "
            "that it was trained on."
        )
    return network, spec


def _spec_in(file: OpenedFile) -> DatasetSpec:
    content = read_checkpoint_file(file)
    parameters = content.get("hyper_parameters") if isinstance(content, Mapping) else None
    values = parameters.get("spec") if isinstance(parameters, Mapping) else None
    if not isinstance(values, Mapping):
        raise InputError(
            f"{file} does not record its classes; give a training checkpoint, or save them with "
            "regseg.save_weights(model, path, spec=datamodule.spec)."
        )
    return DatasetSpec.from_dict(values, file)


def _precision(name: str, device: torch.device) -> str:
    if device.type == "cuda":
        return "f16" if name == "auto" else name  # Sec. 4.7 measures half precision, and every GPU has it
    if name == "f16":
        raise InputError("precision=f16 needs a GPU; choose bf16 or f32.")
    return ("bf16" if bfloat16_is_faster() else "f32") if name == "auto" else name


def _device(name: str) -> torch.device:
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.zeros(1, device=device).cpu()  # `meta` allocates tensors, but has no values to copy
        return device
    except (RuntimeError, AssertionError, TypeError) as error:
        reason = str(error).strip().splitlines()[0].partition(". ")[0].rstrip(".")  # advice to developers follows
        # "Expected one of" is followed by a list of all devices that PyTorch was ever built for.
        if isinstance(error, TypeError) or reason.startswith("Expected one of"):
            reason = "PyTorch has no such device"
        raise InputError(
            f"device={typed(name)} cannot be used ({reason}); choose cpu, auto, or a GPU such as cuda:0."
        ) from error
