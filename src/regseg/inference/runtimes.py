"""One call for every runtime: images in, class indices out. Imports a runtime's library when it is opened."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from regseg.data.datasets.spec import DatasetSpec
from regseg.errors import InputError, check_choice
from regseg.inference import conversion_cache
from regseg.inference.export_info import ExportInfo
from regseg.inference.exported_runtime import require
from regseg.system.cpu import has_gpu
from regseg.system.weights_files import GRAPHS, resolve_weights, shown_weights

RUNTIMES = ("torch", "onnxruntime", "openvino")
PRECISIONS = ("f32", "f16", "bf16")


class Runtime(Protocol):
    """A network that is ready to run.

    Attributes:
        name: ``torch``, ``onnxruntime`` or ``openvino``.
        precision: the precision of its arithmetic: ``f32``, ``f16``, ``bf16`` or ``int8``.
        spec: the dataset's classes.
        size: (height, width) in pixels if it takes images of one size only, else None.
        short_side: short side of the images in evaluations of the training, in pixels; None if that was their own.
    """

    name: str
    precision: str
    spec: DatasetSpec
    size: tuple[int, int] | None
    short_side: int | None

    @property
    def resizes_logits(self) -> bool:
        """Whether labels of another size than the images' come from resized logits (otherwise from resized labels)."""

    def __call__(self, images: np.ndarray, size: tuple[int, int] | None = None) -> np.ndarray:
        """Label images.

        Args:
            images: (B, H, W, 3) uint8 RGB.
            size: (height, width) of the labels; None for the images' own. As in the author's release, logits are
                interpolated to the images' size and then, if it differs, to ``size``.

        Returns:
            (B, *size) uint8 class indices.
        """

    def load(self) -> None:
        """Do what takes seconds before the first image, such as a conversion; otherwise the first image does it."""

    def low_resolution_logits(self, images: np.ndarray) -> np.ndarray | None:
        """Return the float32 logits (B, C, H/4, W/4) before the last upsampling; None if the runtime has none."""


def open_runtime(
    weights: str | Path,
    runtime: str = "auto",
    precision: str = "auto",
    device: str = "auto",
    *,
    fused: bool | None = None,
    streams: int = 1,
    quiet: bool = False,
) -> Runtime:
    """Open a checkpoint, a run's folder or an exported file.

    With ``runtime="auto"``, a checkpoint runs with PyTorch on a GPU; on a CPU it is converted to OpenVINO if that is
    installed. The conversion takes seconds and is kept for later: see `regseg.inference.conversion_cache`. An exported
    file runs with OpenVINO, or with ONNX Runtime if OpenVINO is missing.

    Args:
        weights: the file or folder; of a run, best.ckpt is taken, else last.ckpt.
        runtime: ``auto`` or one of `RUNTIMES`.
        precision: ``auto`` or one of `PRECISIONS`; ``f16`` with PyTorch on a GPU only.
        device: ``auto``, ``cpu`` or, with the torch runtime, a device such as ``cuda:0``.
        fused: False runs the whole graph of an exported file, including the upsampling.
        streams: number of threads that will call it at the same time.
        quiet: do not print which runtime and precision ``auto`` chose.

    Raises:
        InputError: the file is missing, damaged or from another project, or a package is missing.
    """
    for name, value, choices in (("runtime", runtime, RUNTIMES), ("precision", precision, PRECISIONS)):
        check_choice(name, value, ("auto", *choices))
    path = resolve_weights(weights)
    chosen = runtime_for(path, runtime, device)
    if path.suffix in GRAPHS and chosen == "torch":
        raise InputError(f"{path} is a graph, which runtime=torch cannot run; remove runtime or use a checkpoint.")
    if chosen != "torch" and device not in ("auto", "cpu"):
        raise InputError(f"runtime={chosen} runs on the CPU; leave device={device} out or use runtime=torch.")
    if precision == "f16" and chosen != "torch":
        raise InputError(f"runtime={chosen} does not support precision=f16; choose bf16 or f32, or leave it out.")
    opened = _open(path, chosen, precision, device, fused, streams)
    if "auto" in (runtime, precision) and not quiet:
        print(f"Running {Path(shown_weights(path)).name} with {opened.name} in {opened.precision}.")
    return opened


def runtime_for(path: Path, runtime: str, device: str) -> str:
    """Return ``runtime``; for ``auto``, the fastest installed runtime for a file."""
    if runtime != "auto":
        return runtime
    if path.suffix in GRAPHS:
        return "onnxruntime" if path.suffix == ".onnx" and not _installed("openvino") else "openvino"
    if device not in ("auto", "cpu") or not _installed("openvino"):
        return "torch"
    return "torch" if device == "auto" and has_gpu() else "openvino"


def _open(path: Path, runtime: str, precision: str, device: str, fused: bool | None, streams: int) -> Runtime:
    if runtime == "torch":
        from regseg.inference.torch_runtime import TorchRuntime

        return TorchRuntime.from_checkpoint(path, precision, device)
    if runtime == "onnxruntime":
        if path.suffix != ".onnx":
            shown = shown_weights(path)
            remedy = f"export it first: python -m regseg.export weights={shown} format=onnx"
            if path.suffix in GRAPHS:  # which cannot be exported again
                remedy = "export its checkpoint with format=onnx, or leave runtime out"
            raise InputError(f"runtime=onnxruntime cannot run {shown}; {remedy}.")
        from regseg.inference.onnx_runtime import OnnxRuntime

        return OnnxRuntime(path, precision, fused)
    from regseg.inference.openvino_runtime import OpenVinoRuntime

    if path.suffix in GRAPHS:
        return OpenVinoRuntime.from_file(path, precision, fused, streams)
    require("openvino", "openvino", "runtime=openvino")
    key = conversion_cache.key_of(path) if path.is_file() else None
    kept = None if key is None else conversion_cache.read(key)
    if kept is None:
        return _converted(path, key, precision, streams)
    return OpenVinoRuntime(*kept, precision, streams=streams)


def _converted(path: Path, key: str | None, precision: str, streams: int) -> Runtime:
    """Return a checkpoint with OpenVINO, read and checked now and converted when it is needed."""
    from regseg.inference.openvino_runtime import OpenVinoRuntime
    from regseg.inference.torch_runtime import network_and_spec
    from regseg.system.checkpoint_file import dataset_in, open_checkpoint_file

    file = open_checkpoint_file(path)
    network, spec = network_and_spec(file)
    info = ExportInfo(spec, data=dataset_in(file) or {})
    unchanged = conversion_cache.key_of(path) == key  # a training may have replaced the file before it was read

    def convert() -> Any:
        from regseg.inference.conversion import to_openvino
        from regseg.inference.folding import ExportNetwork

        name = Path(shown_weights(path)).name
        print(f"Converting {name} to OpenVINO, which takes a few seconds the first time.", flush=True)
        model = to_openvino(ExportNetwork(network))
        if unchanged and key is not None:
            conversion_cache.keep(key, model, info)
        return model

    return OpenVinoRuntime(convert, info, precision, streams=streams)


def _installed(package: str) -> bool:
    return importlib.util.find_spec(package) is not None


def info_of(path: str | Path) -> ExportInfo:
    """Return the record in an exported graph, read with OpenVINO or else with ONNX Runtime.

    Raises:
        InputError: the file is missing, damaged or from another project, or a package is missing.
    """
    if runtime_for(Path(path), "auto", "cpu") == "openvino":
        from regseg.inference.openvino_runtime import read_model

        return read_model(path)[1]
    from regseg.inference.onnx_runtime import OnnxRuntime

    return OnnxRuntime(path, fused=False).info
