"""Which images an epoch draws, in which order: a function of seed and epoch alone (Sec. 4.3)."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from torch.utils.data import Sampler


def stream(*key: int) -> np.random.Generator:
    """The random stream that belongs to ``key``, such as (seed, epoch, index): independent of all others."""
    return np.random.default_rng(np.random.SeedSequence(key))


class EpochSampler(Sampler[tuple[int, int]]):
    """Every image once an epoch, in an order drawn from (seed, epoch).

    It yields ``(epoch, index)``, so that a worker that outlives an epoch still knows for which one it draws its
    augmentation. Lightning calls `set_epoch`. Ranks take turns, the first ``size - size % world_size`` images of the
    order being shared out evenly.

    Args:
        size: number of images.
        seed: the run's seed.
        epoch: the epoch of the first iteration, counted from 0.
        rank: this process's place among ``world_size`` processes.
    """

    def __init__(self, size: int, seed: int, epoch: int = 0, rank: int = 0, world_size: int = 1) -> None:
        self.size, self.seed, self.epoch, self.rank, self.world_size = size, seed, epoch, rank, world_size

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __iter__(self) -> Iterator[tuple[int, int]]:
        epoch = self.epoch  # as it is when the iteration starts
        order = stream(self.seed, epoch).permutation(self.size)
        return ((epoch, int(index)) for index in order[self.rank : len(self) * self.world_size : self.world_size])

    def __len__(self) -> int:
        return self.size // self.world_size
