"""Measures the time and memory of a training step, and estimates the hours of a run."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import lightning as L
import torch
from torch.utils.data import DataLoader, Dataset

from regseg.data.datasets.spec import DatasetSpec
from regseg.errors import counted
from regseg.training.batch_norm import check_batch_size
from regseg.training.task import SegmentationTask
from regseg.training.trainer import make_trainer, quiet

WARM_UP = 5  # uncounted steps, in which kernels are chosen and memory is allocated


class StepTime(NamedTuple):
    """Time and memory of training steps.

    Attributes:
        device: A description of the device and the precision.
        milliseconds: Time of each step, without the loader.
        memory: Peak bytes allocated on a GPU; on a CPU, the bytes that one step keeps for its backward pass.
    """

    device: str
    milliseconds: list[float]
    memory: int


def benchmark_training(
    task: SegmentationTask, batch_size: int, crop_size: tuple[int, int], trainer: Mapping[str, Any], steps: int
) -> StepTime:
    """Time training steps on one random batch, run by Lightning as in training.

    Args:
        task: Network, loss and optimizer.
        batch_size: Images per step.
        crop_size: (height, width) in pixels.
        trainer: Arguments of the Trainer.
        steps: Counted steps.

    Returns:
        Time and memory.
    """
    quiet()
    check_batch_size(task.network, batch_size, crop_size)
    clock = _Clock()
    own: dict[str, Any] = {
        "max_epochs": 1,
        "max_steps": WARM_UP + steps,
        "enable_checkpointing": False,
        "limit_val_batches": 0,
    }
    own |= {"limit_train_batches": 1.0, "devices": 1}
    arguments = {**trainer, **own}
    lightning = make_trainer(arguments, Path("."), [clock], trains=False)
    batches = _OneBatch(task.spec, batch_size, crop_size, WARM_UP + steps)
    lightning.fit(task, DataLoader(batches, batch_size=None))
    on_gpu = lightning.strategy.root_device.type == "cuda"
    device = torch.cuda.get_device_name() if on_gpu else f"{counted(torch.get_num_threads(), 'thread')} of a CPU"
    memory = torch.cuda.max_memory_allocated() if on_gpu else clock.kept
    return StepTime(f"{device}, {lightning.precision}", clock.milliseconds[WARM_UP:], memory)


def describe(found: StepTime, batch_size: int, images: int, epochs: int) -> str:
    """Return two lines: the step, and the hours of ``epochs`` epochs of ``images`` images without the loader."""
    step, iterations = median(found.milliseconds), epochs * (images // batch_size)
    spread = f"{min(found.milliseconds):.0f}-{max(found.milliseconds):.0f}"
    return (
        f"{found.device}: {step:.0f} ms per step ({spread}), {1000 * batch_size / step:.1f} images/s, "
        f"{found.memory / 2**30:.1f} GiB\n"
        f"{counted(epochs, 'epoch')} of {images} images: {counted(iterations, 'step')}, "
        f"{iterations * step / 3.6e6:.1f} h without evaluations"
    )


class _OneBatch(Dataset):
    def __init__(self, spec: DatasetSpec, batch_size: int, crop_size: tuple[int, int], length: int) -> None:
        generator = torch.Generator().manual_seed(0)
        shape, self.length = (batch_size, *crop_size), length
        self.batch = {
            "image": torch.randint(0, 256, (*shape, 3), dtype=torch.uint8, generator=generator),
            "label": torch.randint(0, spec.num_classes, shape, dtype=torch.uint8, generator=generator),
            "name": ["noise"] * batch_size,
        }

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> dict[str, Any]:
        return self.batch


class _Clock(L.Callback):
    """Times each step until the device has finished, and counts the bytes that the first step keeps for backward."""

    def __init__(self) -> None:
        self.milliseconds: list[float] = []
        self.kept = 0

    def on_train_batch_start(self, trainer: L.Trainer, module: L.LightningModule, batch: Any, index: int) -> None:
        if index == 0 and trainer.strategy.root_device.type != "cuda":
            self._parameters = {p.untyped_storage().data_ptr() for p in module.parameters()}
            self._storages: dict[int, int] = {}
            self._hooks = torch.autograd.graph.saved_tensors_hooks(self._count, lambda tensor: tensor)
            self._hooks.__enter__()
        self._synchronize(trainer)
        self._began = time.perf_counter()

    def on_train_batch_end(self, trainer: L.Trainer, *_: Any) -> None:
        self._synchronize(trainer)
        self.milliseconds.append(1000 * (time.perf_counter() - self._began))
        if len(self.milliseconds) == 1 and trainer.strategy.root_device.type != "cuda":
            self._hooks.__exit__(None, None, None)
            self.kept = sum(self._storages.values())

    def _count(self, tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in self._parameters:
            self._storages[storage.data_ptr()] = storage.nbytes()
        return tensor

    def _synchronize(self, trainer: L.Trainer) -> None:
        if trainer.strategy.root_device.type == "cuda":
            torch.cuda.synchronize()
