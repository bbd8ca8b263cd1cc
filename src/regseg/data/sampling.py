"""Which images an epoch draws, in which order: a function of seed and epoch alone (Sec. 4.3)."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from torch.utils.data import DistributedSampler


def stream(*key: int) -> np.random.Generator:
    """The random stream that belongs to ``key``, such as (seed, epoch, index): independent of all others."""
    # The length too, for numpy takes trailing zeros as none: (seed, epoch) and (seed, epoch, 0) would be one stream.
    return np.random.default_rng(np.random.SeedSequence((len(key), *key)))


# Both samplers share the images out among ranks themselves. Lightning puts a sampler of its own around any that is no
# DistributedSampler, and so would share them out a second time.


class EpochSampler(DistributedSampler):
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

    def __iter__(self) -> Iterator[tuple[int, int]]:
        epoch = self.epoch  # as it is when the iteration starts
        order = stream(self.seed, epoch).permutation(self.size)
        return ((epoch, int(index)) for index in order[self.rank : len(self) * self.world_size : self.world_size])

    def __len__(self) -> int:
        return self.size // self.world_size


class EachOnceSampler(DistributedSampler):
    """Every image once over all ranks, in order; where ranks do not come out even, none is repeated to fill up."""

    def __init__(self, size: int, rank: int = 0, world_size: int = 1) -> None:
        self.size, self.rank, self.world_size = size, rank, world_size

    def __iter__(self) -> Iterator[int]:
        return iter(range(self.rank, self.size, self.world_size))

    def __len__(self) -> int:
        return len(range(self.rank, self.size, self.world_size))
