"""Splits with few or no labelled pixels, and runs with the same data seed."""

import lightning as L
import numpy as np
import pytest
import torch
from hydra.utils import instantiate
from layouts import indices, is_sentence, noise, write, write_folder

from regseg.data.datamodule import SegmentationDataModule
from regseg.errors import InputError
from regseg.models import create_model


def ignore_all(root, split):
    for path in (root / "labels" / split).iterdir():
        write(path, np.full((24, 32), 255, np.uint8))


def set_up(root, stage="fit", **options):
    datamodule = SegmentationDataModule(
        "folder", root, batch_size=2, crop_size=(8, 8), short_side=(20, 20), num_workers=0, **options
    )
    datamodule.setup(stage)
    return datamodule


@pytest.mark.parametrize("storage", ["full", "half", "cache"])
def test_a_training_split_without_a_labelled_pixel_is_refused(tmp_path, storage):
    root = write_folder(tmp_path)
    ignore_all(root, "train")
    with pytest.raises(InputError) as error:
        set_up(root, storage=storage)
    assert is_sentence(error, "nothing to learn", "split train", root, "ids", "ignore", "labelled")
    set_up(root, "validate")


def test_a_training_split_with_wrong_ids_is_refused(tmp_path):
    with pytest.raises(InputError) as error:
        set_up(write_folder(tmp_path, classes="classes: [{name: a, id: 7}]\nignore: [0, 1]"))
    assert is_sentence(error, "nothing to learn", "ids")


def test_an_evaluation_split_without_a_labelled_pixel_is_reported(tmp_path, capsys):
    root = write_folder(tmp_path)
    set_up(root)
    assert "ignored" not in capsys.readouterr().out
    ignore_all(root, "val")
    datamodule = set_up(root)
    out = capsys.readouterr().out
    assert "The evaluation will count no pixel" in out and "split val" in out
    assert len(list(datamodule.val_dataloader())) == 2


def test_one_labelled_pixel_is_enough_and_batches_may_have_none(tmp_path):
    root = write_folder(tmp_path)
    ignore_all(root, "train")
    label = np.full((24, 32), 255, np.uint8)
    label[3, 3] = 1
    write(root / "labels/train/3.png", label)
    batches = list(set_up(root).train_dataloader())
    assert any((batch["label"] == 255).all() for batch in batches)


@pytest.mark.parametrize("storage", ["full", "half", "cache"])
def test_one_class_with_everything_else_ignored(tmp_path, storage):
    root = write_folder(tmp_path, (), classes="classes: [{name: wall, id: 1}]\nignore: [0]")
    for split in ("train", "val"):
        for number in range(2):
            write(root / f"images/{split}/{number}.png", noise(number))
            write(root / f"labels/{split}/{number}.png", indices(number, [0, 1]))
    datamodule = set_up(root, storage=storage, class_uniform=1.0)
    assert datamodule.spec.num_classes == 1
    labels = [
        batch["label"] for loader in (datamodule.train_dataloader(), datamodule.val_dataloader()) for batch in loader
    ]
    assert {value for label in labels for value in label.unique().tolist()} == {0, 255}


def test_runs_with_one_data_seed_have_the_same_data_and_different_weights(compose, tmp_path):
    """`data.seed=0 seed=1,2`, as in the author's runs."""
    root = write_folder(tmp_path)
    sizes = ["data.crop_size=[16,20]", "data.short_side=[14,60]", "data.batch_size=2", "data.num_workers=0"]
    batches, weights = {}, {}
    for name, seeds in (("0, 1", ["data.seed=0", "seed=1"]), ("0, 2", ["data.seed=0", "seed=2"]), ("2", ["seed=2"])):
        cfg = compose("data=folder", f"data.root={root}", "augment=randaug", *sizes, *seeds)
        datamodule = instantiate(cfg.data)
        datamodule.setup("fit")
        loader = datamodule.train_dataloader()
        batches[name] = []
        for epoch in range(2):
            loader.sampler.set_epoch(epoch)
            batches[name] += [(batch["image"].numpy().tobytes(), tuple(batch["name"])) for batch in loader]
        L.seed_everything(cfg.seed, verbose=False)
        weights[name] = next(create_model(num_classes=2).parameters()).detach()
    assert batches["0, 1"] == batches["0, 2"] != batches["2"]
    assert torch.equal(weights["0, 2"], weights["2"]) and not torch.equal(weights["0, 1"], weights["0, 2"])
