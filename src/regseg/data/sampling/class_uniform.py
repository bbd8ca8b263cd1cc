"""Class-uniform sampling (Sec. 4.2).

A share of an epoch's crops is placed around class centroids, the same number for each class.
"""

from __future__ import annotations

from collections import Counter

import numpy as np

from regseg.data.sampling.centroids import CentroidIndex
from regseg.data.sampling.epochs import CropRequest, EpochSampler


class ClassUniformSampler(EpochSampler):
    """An epoch of ``size`` crops in random order, floor(share * size / classes) of them around centroids of each class.

    The other crops are at any position in distinct images. The centroids of a class are drawn without replacement,
    and reshuffled and drawn again if there are too few. The share of a class without centroids goes to the other crops.

    Args:
        centroids: the centroids of the dataset's labels.
        share: share of an epoch's crops that contain a centroid, from 0 to 1.
        size: number of images.
        seed: the run's seed.
        epoch: the epoch of the first iteration, counted from 0.
        rank: rank of this process.
        world_size: number of processes.
    """

    def __init__(
        self,
        centroids: CentroidIndex,
        share: float,
        size: int,
        seed: int,
        epoch: int = 0,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        super().__init__(size, seed, epoch, rank, world_size)
        self.centroids, self.share = centroids, share

    def requests(self, epoch: int, rng: np.random.Generator) -> list[CropRequest]:
        """Return the ``size`` requests of an epoch over all ranks; see `EpochSampler.requests`."""
        table, size = self.centroids.table, self.size
        each, present = crops_per_class(self.share, size, self.centroids.num_classes), np.unique(table[:, 0])
        images: list[tuple[int, tuple[int, int] | None]] = []
        for index in rng.permutation(size)[: size - each * len(present)]:
            images.append((int(index), None))
        for number in present:
            rows = table[table[:, 0] == number]
            rounds = [rng.permutation(len(rows)) for _ in range(-(-each // len(rows)))]
            for _, image, row, column in rows[np.concatenate(rounds)[:each]] if each else []:
                images.append((int(image), (int(row), int(column))))
        times: Counter[int] = Counter()
        requests = []
        for place in rng.permutation(size):
            index, centroid = images[place]
            requests.append(CropRequest(epoch, index, centroid, times[index]))
            times[index] += 1
        return requests


def crops_per_class(share: float, size: int, num_classes: int) -> int:
    """Return how many crops of an epoch of ``size`` images are centred on a centroid of each class."""
    return int(share * size / num_classes)
