"""Measures inference from an image to labels (Sec. 4.7) with every installed runtime and precision."""

from __future__ import annotations

import importlib.util
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import cv2
import numpy as np
import torch
from rich.box import SIMPLE_HEAD
from rich.table import Table
from torch import nn

from regseg.benchmarks.interleaved import summary, time_in_turn
from regseg.benchmarks.results import machine
from regseg.data.augment.transforms import normalize
from regseg.data.datasets.spec import DatasetSpec, distinct_colors
from regseg.data.io import read_image
from regseg.inference.conversion import to_onnx, to_openvino
from regseg.inference.export_files import save_onnx, save_openvino
from regseg.inference.export_info import ExportInfo
from regseg.inference.folding import ExportNetwork
from regseg.inference.openvino_runtime import has_bfloat16
from regseg.inference.runtimes import open_runtime
from regseg.inference.torch_runtime import TorchRuntime
from regseg.models import load_model, save_weights
from regseg.models.description import config_of
from regseg.system.cpu import bfloat16_is_faster, num_threads
from regseg.system.processes import in_new_process

BASELINE = "author's implementation"  # float32, eager, NCHW, logits at full size
Size = tuple[int, int]
Call = Callable[[np.ndarray], np.ndarray]  # (1, H, W, 3) uint8 -> (1, H, W) class indices
_CALIBRATION = 4  # number of random calibration images; their content does not affect the time of int8


@dataclass(frozen=True)
class Implementation:
    """An implementation that labels an image. It has only plain values, so that another process can open it.

    Attributes:
        name: the name in tables.
        path: a checkpoint or an exported file.
        runtime: see `regseg.inference.runtimes`; empty for the author's implementation.
        precision: see there; ``f16`` with the author's implementation means autocast.
        kernels: whether the torch runtime uses Triton's kernels on a GPU.
        graphs: whether it uses CUDA graphs there.
    """

    name: str
    path: str
    runtime: str = ""
    precision: str = "f32"
    kernels: bool = True
    graphs: bool = True

    def description(self) -> dict[str, str]:
        """Return what the results record."""
        return {"implementation": self.name, "runtime": self.runtime or "author", "precision": self.precision}

    def open(self, spec: DatasetSpec) -> Call:
        """Return a function that maps (1, H, W, 3) uint8 to (1, H, W) class indices."""
        if not self.runtime:
            return _author(load_model(self.path), autocast=self.precision == "f16")
        if self.runtime == "torch":
            return TorchRuntime(load_model(self.path), spec, self.precision, kernels=self.kernels, graphs=self.graphs)
        precision = self.precision if self.precision in ("f32", "bf16") else "auto"
        return open_runtime(self.path, self.runtime, precision, quiet=True)


def benchmark_inference(
    network: nn.Module,
    title: str,
    sizes: Sequence[Size],
    warm_up: int,
    iterations: int,
    *,
    few: bool = False,
    int8: bool = True,
    memory: bool = True,
) -> list[dict[str, Any]]:
    """Time a network with all installed runtimes, in one interleaved run per size.

    Args:
        network: a model of `regseg.models.create_model`.
        title: its name in the results.
        sizes: (height, width) of the images, in pixels.
        warm_up: uncounted warm-up rounds.
        iterations: counted rounds; a fifth as many are measured from image file to label file.
        few: measure only the baseline and the precision that `regseg.predict` uses, for many networks.
        int8: whether to measure int8 too; the quantization takes a minute.
        memory: whether to measure the peak memory of each implementation, in a separate process.

    Returns:
        One mapping per size and implementation.
    """
    torch.set_num_threads(num_threads())
    torch.backends.cudnn.benchmark = True
    spec = _spec(config_of(network)["num_classes"])
    create = _default_implementations if few else partial(_implementations, int8=int8)
    results = []
    with tempfile.TemporaryDirectory() as folder:
        chosen = list(create(network, spec, Path(folder)))
        calls = {one.name: one.open(spec) for one in chosen}
        for size in sizes:
            figures = _time_all(calls, size, Path(folder), warm_up, iterations)
            for one in chosen:
                row = {"network": title, "size": list(size)} | one.description() | figures[one.name]
                results.append(row | ({"peak_memory_mb": _peak_memory(one, spec, size)} if memory else {}))
    return results


def _time_all(
    calls: Mapping[str, Call], size: Size, folder: Path, warm_up: int, iterations: int
) -> dict[str, dict[str, float]]:
    """Return the figures of every implementation at one size; a photograph is written into ``folder``."""
    image, photo = _image(size), _write_photo(folder, size)
    times = time_in_turn({name: partial(call, image) for name, call in calls.items()}, warm_up, iterations)
    files = {name: partial(_file_to_file, call, photo) for name, call in calls.items()}
    whole = time_in_turn(files, 1, max(1, iterations // 5))
    return {name: {**summary(times[name], times[BASELINE]), "file_to_file_ms": median(whole[name])} for name in calls}


def inference_tables(rows: Sequence[Mapping[str, Any]]) -> Iterator[Table]:
    """Yield one table of at most 80 characters per size, one row per implementation."""
    for size in dict.fromkeys(tuple(row["size"]) for row in rows):
        table = Table(title=f"One image of {size[0]}x{size[1]}", box=SIMPLE_HEAD, padding=0)
        table.add_column("implementation")
        for heading in ("median\nms", "quartiles\nms", "images/s", "speedup", "file to\nfile, ms", "memory\nMB"):
            table.add_column(heading, justify="right")
        for row in rows:
            if tuple(row["size"]) == size:
                table.add_row(*_cells(row))
        yield table


def _cells(row: Mapping[str, Any]) -> tuple[str, ...]:
    return (
        row["implementation"].replace(BASELINE, "author's"),
        _ms(row["median_ms"]),
        f"{_ms(row['quartile_1_ms'])}-{_ms(row['quartile_3_ms'])}",
        f"{row['images_per_s']:.1f}",
        f"{row['speedup']:.1f}",
        f"{row['file_to_file_ms']:.0f}",
        f"{row['peak_memory_mb']:.0f}" if "peak_memory_mb" in row else "–",
    )


def _ms(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.2f}"


def draw(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Draw the images/s of every implementation, or of every network and implementation, one panel per size."""
    from regseg.reporting.plots import OTHERS, OURS, figure

    sizes = list(dict.fromkeys(tuple(row["size"]) for row in rows))
    several = len({row["network"] for row in rows}) > 1
    height = 1.2 + 0.32 * len(rows) / len(sizes)
    with figure(path, (7.4 if several else 4.4) * len(sizes) + 1.2, height) as drawn:
        for axes, size in zip(drawn.subplots(1, len(sizes), squeeze=False)[0], sizes, strict=True):
            shown = [row for row in rows if tuple(row["size"]) == size][::-1]
            names = [f"{row['network']}, " * several + row["implementation"] for row in shown]
            colors = [OTHERS if row["implementation"] == BASELINE else OURS for row in shown]
            bars = axes.barh(names, [row["images_per_s"] for row in shown], color=colors)
            axes.bar_label(bars, [f"{row['images_per_s']:.1f}" for row in shown], padding=3)
            axes.set(title=f"{size[0]}x{size[1]}", xlabel="images/s")
            axes.margins(x=0.15)
        drawn.suptitle(machine(), fontsize=8)


def _default_implementations(network: nn.Module, spec: DatasetSpec, folder: Path) -> Iterator[Implementation]:
    """Yield the baseline, and PyTorch and (on a CPU) OpenVINO in the precision that `regseg.predict` uses."""
    precision = "f16" if torch.cuda.is_available() else "bf16" if bfloat16_is_faster() else "f32"
    checkpoint = str(folder / "network.ckpt")
    save_weights(network.eval(), checkpoint)
    yield Implementation(BASELINE, checkpoint)
    yield Implementation(f"torch {precision}", checkpoint, "torch", precision)
    if _installed("openvino") and not torch.cuda.is_available():
        save_openvino(folder / "network.xml", to_openvino(ExportNetwork(network)), ExportInfo(spec))
        yield Implementation(f"openvino {precision}", str(folder / "network.xml"), "openvino", precision)


def _implementations(network: nn.Module, spec: DatasetSpec, folder: Path, int8: bool) -> Iterator[Implementation]:
    """Export the network for all installed runtimes, and yield every implementation that runs it."""
    checkpoint = str(folder / "network.ckpt")
    save_weights(network.eval(), checkpoint)
    yield Implementation(BASELINE, checkpoint)
    if torch.cuda.is_available():
        yield from _gpu_implementations(checkpoint)
        return  # the other runtimes run on the CPU
    for precision in ("f32", "bf16"):
        yield Implementation(f"torch {precision}", checkpoint, "torch", precision)
    int8 = int8 and _installed("nncf")
    for format, packages in (("onnx", ("onnx", "onnxruntime")), ("openvino", ("openvino",))):
        if _installed(*packages):
            yield from _exported(network, spec, folder, format, int8)


def _exported(network: nn.Module, spec: DatasetSpec, folder: Path, format: str, int8: bool) -> Iterator[Implementation]:
    """Export the network as ``onnx`` or ``openvino``, and yield the precisions in which the format's runtime runs."""
    convert, save, suffix, runtime, precisions = {
        "onnx": (to_onnx, save_onnx, ".onnx", "onnxruntime", ("f32",)),
        "openvino": (to_openvino, save_openvino, ".xml", "openvino", ("f32", "bf16")),
    }[format]
    path = folder / f"network{suffix}"
    save(path, convert(ExportNetwork(network)), ExportInfo(spec))
    for precision in precisions if runtime == "onnxruntime" or has_bfloat16() else ("f32",):
        yield Implementation(f"{runtime} {precision}", str(path), runtime, precision)
    if int8:
        from regseg.inference.quantization import quantize

        path = folder / f"int8{suffix}"
        batches = [_image((256, 512), seed) for seed in range(_CALIBRATION)]
        save(path, quantize(convert(ExportNetwork(network)), batches, format), ExportInfo(spec, "int8"))
        yield Implementation(f"{runtime} int8", str(path), runtime, "int8")


def _gpu_implementations(checkpoint: str) -> Iterator[Implementation]:
    """Yield the steps from the author's implementation to the torch runtime, to show the gain of each."""
    yield Implementation(f"{BASELINE}, autocast f16", checkpoint, "", "f16")
    yield Implementation("torch f32", checkpoint, "torch", "f32")
    for precision in ("f16", "bf16"):
        for kernels, graphs in ((False, False), (True, False), (False, True), (True, True)):
            more = ", Triton" * kernels + ", graphs" * graphs
            yield Implementation(f"torch {precision}{more}", checkpoint, "torch", precision, kernels, graphs)


def _author(network: nn.Module, *, autocast: bool) -> Call:
    """Return the author's implementation: eager, channels first, argmax of full-size logits."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    network = network.eval().to(device)

    @torch.inference_mode()
    def call(images: np.ndarray) -> np.ndarray:
        batch = normalize(torch.from_numpy(images).to(device)).contiguous()
        with torch.autocast(device, torch.float16, enabled=autocast):
            return network(batch).argmax(1).cpu().numpy()

    return call


def _write_photo(folder: Path, size: Size) -> Path:
    """Write a PNG that compresses about as well as a photograph."""
    path = folder / f"{size[0]}x{size[1]}.png"
    smooth = cv2.resize(_image((12, 24))[0], size[::-1], interpolation=cv2.INTER_CUBIC)
    cv2.imwrite(str(path), cv2.add(smooth, _image(size)[0] // 16))
    return path


def _file_to_file(call: Call, path: Path) -> None:
    labels = call(read_image(path)[None])[0]
    cv2.imwrite(str(path.with_name("labels.png")), labels.astype(np.uint8))


def _peak_memory(one: Implementation, spec: DatasetSpec, size: Size) -> float:
    """Return the peak memory in MB that opening ``one`` and labelling one image add to a separate process."""
    return in_new_process(_memory_of, one, spec, size)


def _memory_of(one: Implementation, spec: DatasetSpec, size: Size) -> float:
    image = _image(size)
    on_gpu = one.runtime in ("", "torch") and torch.cuda.is_available()
    before = 0.0 if on_gpu else _resident("VmRSS")
    call = one.open(spec)
    for _ in range(2):  # a CUDA graph is captured for the second image
        call(image)
    return torch.cuda.max_memory_allocated() / 2**20 if on_gpu else _resident("VmHWM") - before


def _resident(name: str) -> float:
    """Return the memory of this process in MB; the peak of `resource.getrusage` is inherited from the parent."""
    status = Path("/proc/self/status")
    if status.exists():
        return next(int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith(name)) / 1024
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 1024)


def _image(size: Size, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (1, *size, 3), np.uint8)


def _spec(num_classes: int) -> DatasetSpec:
    return DatasetSpec("benchmark", tuple(f"class {i}" for i in range(num_classes)), distinct_colors(num_classes))


def _installed(*packages: str) -> bool:
    return all(importlib.util.find_spec(package) is not None for package in packages)
