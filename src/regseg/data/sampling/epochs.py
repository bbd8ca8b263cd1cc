"""The order of images in an epoch, which depends on the seed and the epoch only (Sec. 4.3)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from torch.utils.data import DistributedSampler


class CropRequest(NamedTuple):
    """A training crop to make.

    Attributes:
        epoch: the epoch, counted from 0.
        index: index of the image in the dataset.
        centroid: (row, column) in the full-size image that the crop must contain; None for a crop at any position.
        earlier: number of earlier requests for the same image in this epoch.
    """

    epoch: int
    index: int  # type: ignore[assignment]  # replaces tuple.index, which is not used
    centroid: tuple[int, int] | None = None
    earlier: int = 0

    @property
    def key(self) -> tuple[int, ...]:
        """The key of this request's random stream, to be appended to the seed."""
        return (self.epoch, self.index, self.earlier) if self.earlier else (self.epoch, self.index)


def stream(*key: int) -> np.random.Generator:
    """Return the random stream of a key such as (seed, epoch, index); streams of different keys are independent."""
    # NumPy ignores trailing zeros: without the length, (seed, epoch) and (seed, epoch, 0) would be the same stream.
    return np.random.default_rng(np.random.SeedSequence((len(key), *key)))


# These samplers divide the images among ranks. They derive from DistributedSampler because Lightning replaces any other
# sampler by a distributed one, which would divide the images a second time.


class EpochSampler(DistributedSampler):
    """Every image once per epoch, in an order that depends on (seed, epoch) only.

    It yields a `CropRequest` with the epoch, because a persistent worker does not know the current epoch. Lightning
    calls `set_epoch`. Ranks take requests in turn; the last ``size % world_size`` requests are dropped.

    Args:
        size: number of images.
        seed: the run's seed.
        epoch: the epoch of the first iteration, counted from 0.
        rank: rank of this process.
        world_size: number of processes.
    """

    def __init__(self, size: int, seed: int, epoch: int = 0, rank: int = 0, world_size: int = 1) -> None:
        self.size, self.seed, self.epoch, self.rank, self.world_size = size, seed, epoch, rank, world_size

    def __iter__(self) -> Iterator[CropRequest]:
        epoch = self.epoch  # set_epoch may change it during the iteration
        requests = self.requests(epoch, stream(self.seed, epoch))
        return iter(requests[self.rank : len(self) * self.world_size : self.world_size])

    def __len__(self) -> int:
        return self.size // self.world_size

    def requests(self, epoch: int, rng: np.random.Generator) -> list[CropRequest]:
        """Return the ``size`` requests of an epoch over all ranks.

        Args:
            epoch: the epoch.
            rng: the random stream of the order.
        """
        return [CropRequest(epoch, int(index)) for index in rng.permutation(self.size)]


class UnpaddedSampler(DistributedSampler):
    """Every image once over all ranks, in order, for evaluation.

    Each rank gets the same number of indices, at least one, because all ranks must take part in the sum of their
    counts. Indices beyond the last image fill the ranks; `EvaluationSet` ignores all pixels of these.

    Args:
        size: number of images.
        rank: rank of this process.
        world_size: number of processes.
    """

    def __init__(self, size: int, rank: int = 0, world_size: int = 1) -> None:
        self.size, self.rank, self.world_size = size, rank, world_size

    def __iter__(self) -> Iterator[int]:
        return iter(range(self.rank, len(self) * self.world_size, self.world_size))

    def __len__(self) -> int:
        return -(-self.size // self.world_size)
