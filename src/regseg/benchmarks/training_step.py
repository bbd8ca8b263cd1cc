"""How long a training step takes on this machine, how much memory it needs, and so how long a run would take."""

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
from regseg.training.batch_norm import check_batch_size
from regseg.training.task import SegmentationTask
from regseg.training.trainer import make_trainer, quiet

WARM_UP = 5  # steps that do not count: kernels are chosen, memory is taken


class StepTime(NamedTuple):
    """What training steps took.

    Attributes:
        device: what they ran on, in words.
        milliseconds: of each step, without the loader.
        memory: bytes at most: allocated on a GPU; on a CPU, kept by one step for its backward pass.
    """

    device: str
    milliseconds: list[float]
    memory: int


def benchmark_training(
    task: SegmentationTask, batch_size: int, crop_size: tuple[int, int], trainer: Mapping[str, Any], steps: int
) -> StepTime:
    """Time ``steps`` training steps on one random batch, under Lightning as a training runs them.

    Args:
        task: network, loss and optimizer.
        batch_size: images.
        crop_size: (height, width) in pixels.
        trainer: arguments of the Trainer.
        steps: how many count.
    """
    quiet()
    check_batch_size(task.network, batch_size, crop_size)
    clock = _Clock()
    own = {"max_epochs": 1, "max_steps": WARM_UP + steps, "enable_checkpointing": False, "limit_val_batches": 0}
    own |= {"limit_train_batches": 1.0, "devices": 1}
    arguments = {**trainer, **own}
    lightning = make_trainer(arguments, Path("."), [clock])
    batches = _OneBatch(task.spec, batch_size, crop_size, WARM_UP + steps)
    lightning.fit(task, DataLoader(batches, batch_size=None))
    on_gpu = lightning.strategy.root_device.type == "cuda"
    device = torch.cuda.get_device_name() if on_gpu else f"{torch.get_num_threads()} threads of a CPU"
    memory = torch.cuda.max_memory_allocated() if on_gpu else clock.kept
    return StepTime(f"{device}, {lightning.precision}", clock.milliseconds[WARM_UP:], memory)


def describe(found: StepTime, batch_size: int, images: int, epochs: int) -> str:
    """Two lines: the step, and what ``epochs`` epochs of ``images`` images would take without the loader."""
    step, iterations = median(found.milliseconds), epochs * (images // batch_size)
    spread = f"{min(found.milliseconds):.0f}-{max(found.milliseconds):.0f}"
    return (
        f"{found.device}: {step:.0f} ms a step ({spread}), {1000 * batch_size / step:.1f} images/s, "
        f"{found.memory / 2**30:.1f} GiB\n"
        f"{epochs} epochs of {images} images in {iterations} steps: {iterations * step / 3.6e6:.1f} h, evaluation apart"
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
    """Times each step, the device's work included; counts what the first keeps for its backward pass."""

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
