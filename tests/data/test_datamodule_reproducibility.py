"""Batches depend on seed, epoch and index only, not on workers, ranks or interruptions."""

import pickle

import numpy as np
import pytest
import torch
from batches import epochs, fit, make, plain, ranks

from regseg.data.sampling.epochs import CropRequest


@pytest.fixture(scope="module")
def three_epochs(root):
    return epochs(make(root), range(3))


def test_epochs_and_seeds_differ(root, three_epochs):
    assert len({image for epoch in three_epochs for image, _, _ in epoch}) == 9
    assert epochs(make(root, seed=1), [0])[0] != three_epochs[0]
    crops = [make(root, seed=seed).train_set[CropRequest(0, 0)]["image"] for seed in (0, 1)]
    assert not np.array_equal(*crops)  # the augmentation too, not only the order


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_any_number_of_workers_draws_the_same(root, three_epochs, workers):
    datamodule = make(root, num_workers=workers)
    assert epochs(datamodule, range(3)) == three_epochs
    assert epochs(datamodule, [2, 0]) == [three_epochs[2], three_epochs[0]]  # a fresh loader, in any order


@pytest.mark.parametrize("workers", [0, 2])
def test_an_interrupted_epoch_does_not_affect_the_next(root, three_epochs, workers):
    """Batches that workers have already prepared must not appear in the next epoch."""
    assert epochs(make(root, num_workers=workers), range(3), stop_after=1) == [epoch[:1] for epoch in three_epochs]


def test_global_generators_have_no_effect_and_are_not_advanced(root, three_epochs):
    torch.manual_seed(1)
    np.random.seed(1)
    state, numpy_state = torch.get_rng_state(), pickle.dumps(np.random.get_state())
    assert epochs(make(root, num_workers=1), [1]) == three_epochs[1:2]
    assert torch.equal(torch.get_rng_state(), state) and pickle.dumps(np.random.get_state()) == numpy_state


def test_datasets_can_be_sent_to_spawned_workers(root, three_epochs):
    train_set = pickle.loads(pickle.dumps(make(root).train_set))
    first, second = three_epochs[0][0][2], three_epochs[1][0][2]
    for epoch, names in enumerate((first, second)):
        images = [train_set[CropRequest(epoch, _index(train_set, name))]["image"] for name in names]
        assert np.stack(images).tobytes() == three_epochs[epoch][0][0]


def _index(dataset, name):
    return [str(sample.image) for sample in dataset.samples].index(name)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("workers", [0, 2])
def test_lightning_and_resuming_draw_the_same(root, three_epochs, tmp_path, workers):
    _, seen = fit(root, 3, tmp_path, workers)
    assert seen == dict(enumerate(three_epochs))
    trainer, _ = fit(root, 1, tmp_path, workers)
    trainer.save_checkpoint(tmp_path / "one.ckpt")
    _, seen = fit(root, 3, tmp_path, workers, tmp_path / "one.ckpt")
    assert seen == {1: three_epochs[1], 2: three_epochs[2]}


def names(loader):
    return [name for batch in loader for name in batch["name"]]


def test_ranks_divide_the_images_without_repeats(root):
    shares = [(names(module.train_dataloader()), module.batches_per_epoch) for module in ranks(root, 3)]
    assert [(len(share), batches) for share, batches in shares] == [(2, 1)] * 3
    assert len({name for share, _ in shares for name in share}) == 6
    batches = [batch for module in ranks(root, 2, "validate") for batch in module.val_dataloader()]
    labelled = [batch["name"][0] for batch in batches if (batch["label"] != 255).any()]
    assert len(batches) == 4 and len(labelled) == len(set(labelled)) == 3  # the fourth only fills a rank


def test_a_crop_does_not_depend_on_the_rank(root):
    crops = {}
    for module in [make(root, batch_size=1), *ranks(root, 2, batch_size=1)]:
        for image, label, name in map(plain, module.train_dataloader()):
            assert crops.setdefault(name, (image, label)) == (image, label)
    assert len(crops) == 7
