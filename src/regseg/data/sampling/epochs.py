"""Which images an epoch draws, in which order: a function of seed and epoch alone (Sec. 4.3)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from torch.utils.data import DistributedSampler


class CropRequest(NamedTuple):
    """One training crop to make.

    Attributes:
        epoch: its epoch, counted from 0.
        index: the image's index in the dataset.
        centroid: (row, column) in the full-size image that the crop must contain; None for a crop anywhere.
        earlier: how many earlier requests of the epoch have the same image.
    """

    epoch: int
    index: int
    centroid: tuple[int, int] | None = None
    earlier: int = 0

    @property
    def key(self) -> tuple[int, ...]:
        """The key of this request's own random stream, after the seed."""
        return (self.epoch, self.index, self.earlier) if self.earlier else (self.epoch, self.index)


def stream(*key: int) -> np.random.Generator:
    """The random stream of ``key``, such as (seed, epoch, index), independent of those of all other keys."""
    # NumPy ignores trailing zeros: without the length, (seed, epoch) and (seed, epoch, 0) would be one stream.
    return np.random.default_rng(np.random.SeedSequence((len(key), *key)))


# Both kinds of sampler divide the images among ranks themselves. They derive from DistributedSampler because Lightning
# wraps any other sampler in a distributed one, which would divide the images a second time.


class EpochSampler(DistributedSampler):
    """Every image once per epoch, in an order that depends on (seed, epoch) alone.

    Yields a `CropRequest`, which carries its epoch, because a persistent worker does not know the current one.
    Lightning calls `set_epoch`. Ranks take requests in turn; the last ``size % world_size`` requests are dropped.

    Args:
        size: number of images.
        seed: the run's seed.
        epoch: the epoch of the first iteration, counted from 0.
        rank: of this process, among ``world_size`` processes.
        world_size: number of processes.
    """

    def __init__(self, size: int, seed: int, epoch: int = 0, rank: int = 0, world_size: int = 1) -> None:
        self.size, self.seed, self.epoch, self.rank, self.world_size = size, seed, epoch, rank, world_size

    def __iter__(self) -> Iterator[CropRequest]:
        epoch = self.epoch  # the value when the iteration starts
        requests = self.requests(epoch, stream(self.seed, epoch))
        return iter(requests[self.rank : len(self) * self.world_size : self.world_size])

    def __len__(self) -> int:
        return self.size // self.world_size

    def requests(self, epoch: int, rng: np.random.Generator) -> list[CropRequest]:
        """The ``size`` requests of one epoch, over all ranks."""
        return [CropRequest(epoch, int(index)) for index in rng.permutation(self.size)]


class UnpaddedSampler(DistributedSampler):
    """Every image once over all ranks, in order, for evaluation.

    Each rank gets the same number of indices, at least one: the ranks' counts are summed together, so none may skip the
    evaluation. Indices from ``size`` up fill the ranks; `EvaluationSet` returns no label for them.

    Args:
        size: number of images.
        rank: of this process, among ``world_size`` processes.
        world_size: number of processes.
    """

    def __init__(self, size: int, rank: int = 0, world_size: int = 1) -> None:
        self.size, self.rank, self.world_size = size, rank, world_size

    def __iter__(self) -> Iterator[int]:
        return iter(range(self.rank, len(self) * self.world_size, self.world_size))

    def __len__(self) -> int:
        return -(-self.size // self.world_size)
