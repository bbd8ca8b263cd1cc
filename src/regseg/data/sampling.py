"""Which images an epoch draws, in which order: a function of seed and epoch alone (Sec. 4.3)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from torch.utils.data import DistributedSampler

if TYPE_CHECKING:
    from regseg.data.class_uniform import CentroidIndex


class Draw(NamedTuple):
    """One training crop to be made.

    Attributes:
        epoch: the epoch it belongs to, counted from 0.
        index: the image's place in the dataset.
        centroid: (row, column) in the full-size image that the crop should show; None for a crop anywhere.
        earlier: how often the epoch drew this image before.
    """

    epoch: int
    index: int
    centroid: tuple[int, int] | None = None
    earlier: int = 0

    @property
    def key(self) -> tuple[int, ...]:
        """What, with the seed, tells this draw's random stream: each draw has one of its own."""
        return (self.epoch, self.index, self.earlier) if self.earlier else (self.epoch, self.index)


def stream(*key: int) -> np.random.Generator:
    """The random stream that belongs to ``key``, such as (seed, epoch, index): independent of all others."""
    # The length too, for numpy takes trailing zeros as none: (seed, epoch) and (seed, epoch, 0) would be one stream.
    return np.random.default_rng(np.random.SeedSequence((len(key), *key)))


# Both samplers share the images out among ranks themselves. Lightning puts a sampler of its own around any that is no
# DistributedSampler, and so would share them out a second time.


class EpochSampler(DistributedSampler):
    """As many draws an epoch as there are images, a function of (seed, epoch): every image once, or class-uniform.

    It yields a `Draw`, so that a worker that outlives an epoch still knows for which one it draws its augmentation.
    Lightning calls `set_epoch`. Ranks take turns, the first ``size - size % world_size`` draws being shared out evenly.

    Args:
        size: number of images.
        seed: the run's seed.
        epoch: the epoch of the first iteration, counted from 0.
        rank: this process's place among ``world_size`` processes.
        centroids: for class-uniform sampling; None draws every image once.
        class_uniform: the share of an epoch that is drawn around centroids.
    """

    def __init__(
        self,
        size: int,
        seed: int,
        epoch: int = 0,
        rank: int = 0,
        world_size: int = 1,
        centroids: CentroidIndex | None = None,
        class_uniform: float = 0.0,
    ) -> None:
        self.size, self.seed, self.epoch, self.rank, self.world_size = size, seed, epoch, rank, world_size
        self.centroids, self.class_uniform = centroids, class_uniform

    def __iter__(self) -> Iterator[Draw]:
        epoch = self.epoch  # as it is when the iteration starts
        rng = stream(self.seed, epoch)
        if self.centroids is None:
            draws = [Draw(epoch, int(index)) for index in rng.permutation(self.size)]
        else:
            draws = self.centroids.draw_epoch(self.size, self.class_uniform, epoch, rng)
        return iter(draws[self.rank : len(self) * self.world_size : self.world_size])

    def __len__(self) -> int:
        return self.size // self.world_size


class EachOnceSampler(DistributedSampler):
    """Every image once over all ranks, in order.

    Every rank gets equally many indices, at least one, because a rank that skipped the evaluation would leave the
    others waiting for its counts. Indices from ``size`` up fill the ranks; for those `EvaluationSet` gives no label.
    """

    def __init__(self, size: int, rank: int = 0, world_size: int = 1) -> None:
        self.size, self.rank, self.world_size = size, rank, world_size

    def __iter__(self) -> Iterator[int]:
        return iter(range(self.rank, len(self) * self.world_size, self.world_size))

    def __len__(self) -> int:
        return -(-self.size // self.world_size)
