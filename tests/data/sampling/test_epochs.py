"""The order of the images and their division among ranks, which depend on seed, epoch and rank only."""

import numpy as np
import pytest
from torch.utils.data import DistributedSampler

from regseg.data.sampling.epochs import EpochSampler, UnpaddedSampler, stream


def epoch_of(sampler, epoch):
    sampler.set_epoch(epoch)
    return list(sampler)


def test_streams_are_reproducible_and_differ():
    numbers = {
        key: stream(*key).integers(2**62) for key in [(0, 0, 1), (0, 1, 0), (1, 0, 0), (0, 1), (1, 0), (0, 0, 10)]
    }
    assert len(set(numbers.values())) == len(numbers)
    assert all(stream(*key).integers(2**62) == number for key, number in numbers.items())


def test_an_epoch_has_every_image_once_and_its_number():
    for epoch in (0, 1, 7):
        drawn = epoch_of(EpochSampler(10, seed=0), epoch)
        assert {e for e, *_ in drawn} == {epoch} and sorted(index for _, index, *_ in drawn) == [*range(10)]
        assert all(type(index) is int for _, index, *_ in drawn)


def test_the_order_depends_on_seed_and_epoch_only():
    sampler = EpochSampler(50, seed=3)
    orders = [epoch_of(sampler, epoch) for epoch in (0, 1, 2)]
    np.random.seed(5)
    fresh = EpochSampler(50, seed=3, epoch=2)
    assert list(fresh) == orders[2] == list(fresh)
    assert epoch_of(fresh, 0) == orders[0]
    without_epoch = [[index for _, index, *_ in order] for order in orders]
    other_seed = [index for _, index, *_ in epoch_of(EpochSampler(50, seed=4), 0)]
    assert len({tuple(order) for order in [*without_epoch, other_seed, range(50)]}) == 5


def test_an_iteration_keeps_its_epoch():
    sampler = EpochSampler(5, seed=0)
    iteration = iter(sampler)
    sampler.set_epoch(1)
    assert [epoch for epoch, *_ in iteration] == [0] * 5


@pytest.mark.parametrize(("size", "world_size"), [(8, 2), (9, 2), (10, 4), (3, 3)])
def test_ranks_divide_an_epoch_without_repeats(size, world_size):
    ranks = [EpochSampler(size, 0, 1, rank, world_size) for rank in range(world_size)]
    parts = [[index for _, index, *_ in sampler] for sampler in ranks]
    together = [index for part in parts for index in part]
    assert {len(part) for part in parts} == {len(sampler) for sampler in ranks} == {size // world_size}
    assert len(set(together)) == len(together) == size - size % world_size
    whole = [index for _, index, *_ in EpochSampler(size, 0, 1)]
    assert set(together) == set(whole[: len(together)])  # in all, the same images as one process draws


@pytest.mark.parametrize(("size", "world_size"), [(8, 2), (9, 2), (3, 4), (10, 1)])
def test_ranks_cover_an_evaluation_without_repeats(size, world_size):
    ranks = [UnpaddedSampler(size, rank, world_size) for rank in range(world_size)]
    parts = [list(sampler) for sampler in ranks]
    assert {len(sampler) for sampler in ranks} == {len(part) for part in parts} == {-(-size // world_size)}
    assert sorted(index for part in parts for index in part if index < size) == [*range(size)]
    assert all(part == sorted(part) for part in parts)


def test_lightning_does_not_replace_these_samplers():
    """It wraps other samplers in a distributed one, which would divide the images a second time."""
    assert isinstance(EpochSampler(3, 0), DistributedSampler) and isinstance(UnpaddedSampler(3), DistributedSampler)
