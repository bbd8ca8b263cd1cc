"""From low-resolution logits to class indices without full-size logits.

Bilinear interpolation (align_corners=False) and the argmax over classes are fused. They work on one output row at a
time, so that the data stay in the processor's cache. The result is that of ``torch.nn.functional.interpolate`` and
``argmax``, except for pixels at which two logits are equal up to float rounding.
"""

from __future__ import annotations

import functools
import importlib.util
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np

from regseg.system.cpu import num_threads

if TYPE_CHECKING:
    from torch import Tensor

_PIXELS_PER_THREAD = 1 << 16  # below, starting a thread costs more than it saves
_VALUES_AT_ONCE = 1 << 20  # logits in memory at once in the PyTorch version: 4 MB


def has_numba() -> bool:
    """Return whether numba, the optional accelerator, is installed."""
    return importlib.util.find_spec("numba") is not None


def prepare() -> None:
    """Start to load the kernel in a thread, if numba is installed; otherwise the first image waits for it."""
    if has_numba():
        _pool().submit(labels_from_logits, np.zeros((1, 1, 1, 1), np.float32), (1, 1))


def labels_from_logits(logits: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Interpolate logits to ``size`` and take the class of the largest; several times slower without numba.

    Args:
        logits: (B, C, h, w) float32, C at most 254.
        size: (H, W) in pixels.

    Returns:
        (B, H, W) uint8 class indices; ties go to the first class.
    """
    if not has_numba():
        return interpolated(logits, size).argmax(1).astype(np.uint8)
    from regseg.inference.upsample_numba import label_rows

    labels = np.empty((len(logits), *size), np.uint8)
    logits, positions = np.ascontiguousarray(logits, np.float32), _positions(logits.shape[2:], size)
    threads = min(num_threads(), max(1, labels.size // _PIXELS_PER_THREAD))
    edges = [round(size[0] * number / threads) for number in range(threads + 1)]
    bands = [(one, out, *edges[i : i + 2]) for one, out in zip(logits, labels, strict=True) for i in range(threads)]
    if len(bands) == 1:
        label_rows(*bands[0], *positions)
    else:
        list(_pool().map(lambda band: label_rows(*band, *positions), bands))
    return labels


def interpolated(logits: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Interpolate logits (B, C, h, w) float32 to (B, C, *size) as ``torch.nn.functional.interpolate`` does."""
    top, bottom, down = source_positions(logits.shape[2], size[0])
    left, right, across = source_positions(logits.shape[3], size[1])
    rows = logits[:, :, top] + down[:, None] * (logits[:, :, bottom] - logits[:, :, top])
    return rows[..., left] + across * (rows[..., right] - rows[..., left])


def labels_of(logits: Tensor, size: tuple[int, int]) -> Tensor:
    """Compute `labels_from_logits` for tensors, with numba if it is installed and they are on the CPU, else PyTorch.

    Args:
        logits: (B, C, h, w) of any floating type.
        size: (H, W) in pixels.

    Returns:
        (B, H, W) uint8 class indices on the device of ``logits``.
    """
    import torch

    logits = logits.detach().float()
    if logits.device.type != "cpu":
        upsampled = torch.nn.functional.interpolate(logits, size, mode="bilinear", align_corners=False)
        return upsampled.argmax(1).to(torch.uint8)
    if has_numba():
        return torch.from_numpy(labels_from_logits(logits.numpy(), size))
    return _labels_by_torch(logits, size)


def _labels_by_torch(logits: Tensor, size: tuple[int, int]) -> Tensor:
    """Compute a few rows at a time, with classes innermost: other reductions are several times slower."""
    import torch

    maps = logits.permute(0, 2, 3, 1).contiguous()  # (B, h, w, C)
    top, bottom, down = map(torch.from_numpy, source_positions(logits.shape[2], size[0]))
    left, right, across = map(torch.from_numpy, source_positions(logits.shape[3], size[1]))
    labels = torch.empty((len(logits), *size), dtype=torch.uint8)
    step = max(1, _VALUES_AT_ONCE // (size[1] * maps.shape[3]))
    for one, out in zip(maps, labels, strict=True):
        for start in range(0, size[0], step):
            part = slice(start, start + step)
            rows = torch.lerp(one[top[part]], one[bottom[part]], down[part, None, None])  # (step, w, C)
            pixels = torch.lerp(rows[:, left], rows[:, right], across[:, None])  # (step, W, C)
            out[part] = pixels.argmax(-1)
    return labels


def source_positions(length: int, target: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the two inputs (of ``length``) that each output (of ``target``) interpolates, and the second one's weight.

    The weight is computed in float32, in PyTorch's order of operations, so that it is rounded in the same way.
    """
    scale = np.float32(length) / np.float32(target)
    position = np.maximum(scale * (np.arange(target, dtype=np.float32) + np.float32(0.5)) - np.float32(0.5), 0)
    first = np.minimum(position.astype(np.int64), length - 1)
    second = np.minimum(first + 1, length - 1)
    return first, second, (position - first.astype(np.float32)).astype(np.float32)


@functools.lru_cache(maxsize=64)
def _positions(source: tuple[int, int], size: tuple[int, int]) -> tuple[np.ndarray, ...]:
    """Return the kernel's arguments after the rows."""
    left, _, across = source_positions(source[1], size[1])
    return *source_positions(source[0], size[0]), left.astype(np.uint32), across


@functools.cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(num_threads(), thread_name_prefix="regseg-upsample")
