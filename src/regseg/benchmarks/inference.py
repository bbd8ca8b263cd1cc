"""From an image to labels (Sec. 4.7) by every runtime and precision that is installed."""

from __future__ import annotations

import importlib.util
import json
import multiprocessing
import os
import platform
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.table import Table
from torch import nn

from regseg.benchmarks.interleaved import summary, time_in_turn
from regseg.data.augment.transforms import normalize
from regseg.data.datasets.spec import DatasetSpec, distinct_colors
from regseg.inference.conversion import to_onnx, to_openvino
from regseg.inference.deploy import ExportNetwork
from regseg.inference.graph_files import save_onnx, save_openvino
from regseg.inference.metadata import ExportInfo
from regseg.inference.runtimes import open_runtime
from regseg.inference.torch_runtime import TorchRuntime
from regseg.models import load_model, save_weights
from regseg.models.factory import config_of
from regseg.system.cpu import num_threads

BASELINE = "author's way"  # float32, eager, NCHW, logits at full size
Size = tuple[int, int]
_CALIBRATION = 4  # images: what int8 computes on does not change its time


@dataclass(frozen=True)
class Way:
    """How an image becomes labels; a plain value, so that another process can open it.

    Attributes:
        name: in tables.
        path: a checkpoint or an exported file.
        runtime: see `regseg.inference.runtimes`; empty for the author's way.
        precision: likewise; ``f16`` of the author's way is autocast.
        kernels: whether the torch runtime uses Triton's kernels on a GPU.
        graphs: whether it uses CUDA graphs there.
    """

    name: str
    path: str
    runtime: str = ""
    precision: str = "f32"
    kernels: bool = True
    graphs: bool = True

    def open(self, spec: DatasetSpec) -> Callable[[np.ndarray], np.ndarray]:
        """A call (1, H, W, 3) uint8 -> (1, H, W) class indices."""
        if not self.runtime:
            return _author(load_model(self.path), autocast=self.precision == "f16")
        if self.runtime == "torch":
            network = load_model(self.path)
            return TorchRuntime(network, spec, self.precision, kernels=self.kernels, graphs=self.graphs)
        precision = self.precision if self.precision in ("f32", "bf16") else "auto"
        return open_runtime(self.path, self.runtime, precision)


def benchmark_inference(
    network: nn.Module, sizes: Sequence[Size], warm_up: int, iterations: int, *, int8: bool = True, memory: bool = True
) -> dict[str, Any]:
    """Time a network by all that is installed, in one interleaved run for each size.

    Args:
        network: of `regseg.models.create_model`.
        sizes: (height, width) of the images, in pixels.
        warm_up: rounds that do not count.
        iterations: rounds that count.
        int8: whether to quantise too, which takes a minute.
        memory: whether to measure the peak memory of each way, in a process of its own.

    Returns:
        ``machine`` and ``results``, a list of one mapping for each size and way.
    """
    torch.set_num_threads(num_threads())
    torch.backends.cudnn.benchmark = True
    spec = _spec(config_of(network)["num_classes"])
    results = []
    with tempfile.TemporaryDirectory() as folder:
        ways = list(_ways(network, spec, Path(folder), int8))
        calls = {way.name: way.open(spec) for way in ways}
        for size in sizes:
            image = _image(size)
            bound = {name: lambda call=call, image=image: call(image) for name, call in calls.items()}
            times = time_in_turn(bound, warm_up, iterations)
            for way in ways:
                found = {"size": list(size), "way": way.name, **summary(times[way.name], times[BASELINE])}
                results.append(found | ({"peak_memory_mb": _peak_memory(way, spec, size)} if memory else {}))
    return {"machine": machine(), "network": config_of(network), "iterations": iterations, "results": results}


def machine() -> str:
    """The processor or GPU, its threads and PyTorch's version, in words."""
    if torch.cuda.is_available():
        return f"{torch.cuda.get_device_name()}, PyTorch {torch.__version__}"
    name = platform.processor() or platform.machine()
    if os.path.exists("/proc/cpuinfo"):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        name = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), name)
    return f"{name}, {num_threads()} threads, PyTorch {torch.__version__}"


def inference_table(found: Mapping[str, Any]) -> Table:
    """One row for each size and way."""
    table = Table(caption=f"{found['machine']}; {found['iterations']} interleaved iterations, one image at a time")
    for heading in ("size", "way", "median, ms", "quartiles", "images/s", "times as fast", "peak memory, MB"):
        table.add_column(heading, justify="left" if heading == "way" else "right")
    for row in found["results"]:
        table.add_row(
            f"{row['size'][0]}x{row['size'][1]}",
            row["way"],
            _ms(row["median_ms"]),
            f"{_ms(row['quartile_1_ms'])}-{_ms(row['quartile_3_ms'])}",
            f"{row['images_per_second']:.1f}",
            f"{row['times_as_fast']:.1f}",
            f"{row['peak_memory_mb']:.0f}" if "peak_memory_mb" in row else "–",
        )
    return table


def _ms(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.2f}"


def write_results(found: Any, folder: Path, name: str) -> Path:
    """Write results as JSON; return the file."""
    from regseg.system.atomic import write_text

    path = folder / f"{name}.json"
    write_text(path, json.dumps(found, indent=2) + "\n")
    return path


def draw(found: Mapping[str, Any], path: Path) -> None:
    """Draw images/s of every way, one panel for each size."""
    from regseg.reporting.plots import OTHERS, OURS, figure

    sizes = list(dict.fromkeys(tuple(row["size"]) for row in found["results"]))
    with figure(path, 4.4 * len(sizes) + 1.2, 3.4) as drawn:
        for axes, size in zip(drawn.subplots(1, len(sizes), squeeze=False)[0], sizes, strict=True):
            rows = [row for row in found["results"] if tuple(row["size"]) == size][::-1]
            colors = [OTHERS if row["way"] == BASELINE else OURS for row in rows]
            bars = axes.barh([row["way"] for row in rows], [row["images_per_second"] for row in rows], color=colors)
            axes.bar_label(bars, [f"{row['images_per_second']:.1f}" for row in rows], padding=3)
            axes.set(title=f"{size[0]}x{size[1]}", xlabel="images/s")
            axes.margins(x=0.15)
        drawn.suptitle(found["machine"], fontsize=8)


def _ways(network: nn.Module, spec: DatasetSpec, folder: Path, int8: bool) -> Iterator[Way]:
    """Export the network in all forms that are installed."""
    checkpoint = str(folder / "network.ckpt")
    save_weights(network.eval(), checkpoint)
    yield Way(BASELINE, checkpoint)
    if torch.cuda.is_available():
        yield from _gpu_ways(checkpoint)
        return  # the other runtimes run on the CPU
    for precision in ("f32", "bf16"):
        yield Way(f"torch {precision}", checkpoint, "torch", precision)
    if _installed("onnx", "onnxruntime"):
        save_onnx(folder / "network.onnx", to_onnx(ExportNetwork(network)), ExportInfo(spec))
        yield Way("onnxruntime f32", str(folder / "network.onnx"), "onnxruntime")
    if not _installed("openvino"):
        return
    save_openvino(folder / "network.xml", to_openvino(ExportNetwork(network)), ExportInfo(spec))
    for precision in ("f32", "bf16"):
        yield Way(f"openvino {precision}", str(folder / "network.xml"), "openvino", precision)
    if int8 and _installed("nncf"):
        from regseg.inference.quantization import quantize_openvino

        batches = [_image((256, 512), seed) for seed in range(_CALIBRATION)]
        quantized = quantize_openvino(to_openvino(ExportNetwork(network)), batches)
        save_openvino(folder / "int8.xml", quantized, ExportInfo(spec, "int8"))
        yield Way("openvino int8", str(folder / "int8.xml"), "openvino", "int8")


def _gpu_ways(checkpoint: str) -> Iterator[Way]:
    """What each step from the author's way to the torch runtime gains."""
    yield Way("author's way, autocast f16", checkpoint, "", "f16")
    yield Way("torch f32", checkpoint, "torch", "f32")
    for precision in ("f16", "bf16"):
        for kernels, graphs in ((False, False), (True, False), (False, True), (True, True)):
            more = ", Triton" * kernels + ", graphs" * graphs
            yield Way(f"torch {precision}{more}", checkpoint, "torch", precision, kernels, graphs)


def _author(network: nn.Module, *, autocast: bool) -> Callable[[np.ndarray], np.ndarray]:
    """As the author's release computes: eager, channels first, full-size logits, their maximum."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    network = network.eval().to(device)

    @torch.inference_mode()
    def call(images: np.ndarray) -> np.ndarray:
        batch = normalize(torch.from_numpy(images).to(device)).contiguous()
        with torch.autocast(device, torch.float16, enabled=autocast):
            return network(batch).argmax(1).cpu().numpy()

    return call


def _peak_memory(way: Way, spec: DatasetSpec, size: Size) -> float:
    """Megabytes that a process needs at most which opens ``way`` and labels one image."""
    context = multiprocessing.get_context("spawn")
    with context.Pool(1) as pool:
        return pool.apply(_memory_of, (way, spec, size))


def _memory_of(way: Way, spec: DatasetSpec, size: Size) -> float:
    import resource

    way.open(spec)(_image(size))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _image(size: Size, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (1, *size, 3), np.uint8)


def _spec(num_classes: int) -> DatasetSpec:
    return DatasetSpec("benchmark", tuple(f"class {i}" for i in range(num_classes)), distinct_colors(num_classes))


def _installed(*packages: str) -> bool:
    return all(importlib.util.find_spec(package) is not None for package in packages)
