"""CUDA graphs: the kernels of a whole network are launched by one call, so that a fast GPU does not wait for Python."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

Compute = Callable[[Tensor], Tensor]
MOST_GRAPHS = 4  # each keeps the memory of a forward pass


class CudaGraph:
    """A function of images that was captured for one shape.

    Args:
        compute: maps images (B, H, W, 3) uint8 on the device to a tensor there. It must not wait for the device.
        shape: shape of the images.
        device: the GPU.
    """

    def __init__(self, compute: Compute, shape: tuple[int, ...], device: torch.device) -> None:
        self._pinned = torch.empty(shape, dtype=torch.uint8, pin_memory=True)
        with torch.cuda.device(device):
            self._images = torch.zeros(shape, dtype=torch.uint8, device=device)
            stream = torch.cuda.Stream()
            stream.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(stream):
                for _ in range(3):  # kernels are chosen and compiled, memory is allocated
                    compute(self._images)
            torch.cuda.current_stream().wait_stream(stream)
            self._graph = torch.cuda.CUDAGraph()
            # thread_local: other threads may read and write images meanwhile
            with torch.cuda.graph(self._graph, capture_error_mode="thread_local"):
                self._labels = compute(self._images)

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """Run the graph; the host waits once, for the labels."""
        self.start(images)
        return self._labels.cpu().numpy()

    def start(self, images: np.ndarray) -> None:
        """Start the graph without waiting."""
        with torch.cuda.device(self._images.device):
            self._pinned.numpy()[...] = images  # the copy of the last image has ended: its labels were read
            self._images.copy_(self._pinned, non_blocking=True)
            self._graph.replay()


class GraphsBySize:
    """Runs a function, as a graph from the second consecutive image of the same shape.

    A single image of a shape is run without a graph, because a capture takes several runs.

    Args:
        compute: maps images (B, H, W, 3) uint8 on the device and the size of the labels to labels (B, *size) uint8.
        device: device of the images.
        capture: captures a function of images as a graph, for a shape and a device.
    """

    def __init__(
        self,
        compute: Callable[[Tensor, tuple[int, int]], Tensor],
        device: torch.device,
        capture: Callable[[Compute, tuple[int, ...], torch.device], Callable[[np.ndarray], np.ndarray]] = CudaGraph,
    ) -> None:
        self._compute, self._device, self._capture = compute, device, capture
        self._graphs: dict[Any, Callable[[np.ndarray], np.ndarray]] = {}  # the one used last comes last
        self._last: Any = None
        self._usable = True
        self._lock = threading.Lock()  # a graph has one input buffer

    @torch.inference_mode()
    def __call__(self, images: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        """Map images (B, H, W, 3) uint8 to labels (B, *size) uint8."""
        key = (images.shape, size)
        with self._lock:
            repeated, self._last = key == self._last, key
            if key not in self._graphs and repeated and self._usable:
                self._add(key)
            if key in self._graphs:
                graph = self._graphs[key] = self._graphs.pop(key)
                return graph(images)
        batch = torch.from_numpy(images)
        if self._device.type == "cuda":
            batch = batch.pin_memory()
        return self._compute(batch.to(self._device, non_blocking=True), size).cpu().numpy()

    def _add(self, key: Any) -> None:
        shape, size = key
        if len(self._graphs) == MOST_GRAPHS:
            del self._graphs[next(iter(self._graphs))]
        try:
            self._graphs[key] = self._capture(lambda images: self._compute(images, size), shape, self._device)
        except RuntimeError as error:  # such as too little memory for what a graph keeps
            self._usable = False
            reason = str(error).strip().partition("\n")[0]
            print(f"Running without CUDA graphs ({reason}).")
