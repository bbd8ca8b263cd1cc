import lightning as L
import numpy as np
import pytest
import torch
from lightning.pytorch.plugins import MixedPrecision
from tiny import train_tiny

import regseg
from regseg.data.datamodule import SegmentationDataModule
from regseg.data.datasets.cityscapes import SPEC
from regseg.data.datasets.spec import DatasetSpec, distinct_colors
from regseg.data.legend import legend
from regseg.training.callbacks import Evaluation, Pictures
from regseg.training.checkpoints import LastCheckpoint
from regseg.training.pictures import prediction_grid
from regseg.training.progress import duration
from regseg.training.task import SegmentationTask


def test_evaluates_when_the_author_did():
    due = [epoch for epoch in range(500) if Evaluation(25, 15).is_due(epoch, 500)]
    assert due == [0, *range(24, 485, 25), *range(485, 500)]
    camvid = [epoch for epoch in range(200) if Evaluation(20, 10).is_due(epoch, 200)]
    assert camvid == [0, *range(19, 190, 20), *range(190, 200)]


def test_the_last_epoch_is_always_evaluated():
    assert [epoch for epoch in range(7) if Evaluation(100, 0).is_due(epoch, 7)] == [0, 6]
    assert [epoch for epoch in range(9) if Evaluation(100, 15).is_due(epoch, 9)] == [
        *range(9)
    ]  # fewer than the last 15


def test_checkpoints_hold_the_state_of_the_loss_scaler(streets_root, tmp_path):
    """16-mixed scales the loss; a resumed run must not find the scale anew."""
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**7, growth_interval=2)
    datamodule = SegmentationDataModule(
        "cityscapes", streets_root, batch_size=2, crop_size=[32, 32], short_side=[32, 48], num_workers=0
    )
    trainer = L.Trainer(
        max_epochs=1, accelerator="cpu", plugins=[MixedPrecision("16-mixed", "cpu", scaler)], logger=False,
        default_root_dir=tmp_path, callbacks=[LastCheckpoint()], enable_progress_bar=False, limit_val_batches=0,
        num_sanity_val_steps=0,
    )  # fmt: skip
    trainer.fit(SegmentationTask(regseg.create_model(backbone=[[1]]), SPEC), datamodule)
    content = torch.load(tmp_path / "checkpoints" / "last.ckpt", weights_only=True)
    assert content["MixedPrecision"]["scale"] == scaler.get_scale() != 2.0**7


def test_prediction_grid_shows_image_label_and_prediction():
    image = np.full((32, 64, 3), 200, np.uint8)
    label = np.zeros((32, 64), np.uint8)
    label[:16] = 255
    grid = prediction_grid([(image, label, np.full((32, 64), 13, np.uint8))], SPEC)
    colors = {tuple(color) for color in grid.reshape(-1, 3).tolist()}
    assert {(200, 200, 200), SPEC.colors[0], SPEC.colors[13], (0, 0, 0)} <= colors
    assert grid.dtype == np.uint8 and grid.shape[1] == 3 * 480 + 8


def test_durations():
    assert [duration(s) for s in (42, 190, 19200)] == ["42 s", "3 min 10 s", "5 h 20 min"]


@pytest.mark.parametrize("count", [1, 2, 254])
@pytest.mark.parametrize("shape", [(1, 1), (1, 3000), (3000, 1), (3, 2)])
def test_prediction_grid_of_any_size_and_number_of_classes(shape, count):
    names = tuple(f"class {number} " + "long" * (number % 9) for number in range(count))
    spec = DatasetSpec("own", names, distinct_colors(count))
    image, label = np.zeros((*shape, 3), np.uint8), np.full(shape, 255, np.uint8)
    grid = prediction_grid([(image, label, np.full(shape, count - 1, np.uint8))], spec)
    assert grid.shape[1] == 3 * 480 + 8 and grid.shape[0] < 4000


@pytest.mark.parametrize("width", [8, 100, 1448])
def test_a_legend_takes_any_name(width):
    names = ("", "x" * 100_000, "Straße дорога 道路", "two\nlines\0", "half a pair \ud800", "road [paved]")
    picture = legend(DatasetSpec("own", names, distinct_colors(len(names))), width)
    assert picture.shape[1] == width and picture.shape[0] <= 6 + 20 * len(names)


def test_a_long_name_does_not_run_into_the_next_class():
    def drawn(*names):
        return legend(DatasetSpec("own", names, ((0, 0, 0),) * len(names)), 900)

    both = drawn("w" * 300, "b")
    alone = drawn("w" * 300, "")
    assert (both[:, :432] == alone[:, :432]).all() and (both[:, 432:] != alone[:, 432:]).any()
    assert (alone[:, 429:432] == 255).all()


def test_pictures_of_more_or_fewer_images_than_asked_for(streets_root, tmp_path):
    for count in (1, 4):  # of three
        train_tiny(streets_root, tmp_path, callbacks=[Pictures(count)], max_epochs=1, limit_train_batches=1)
        assert (tmp_path / "pictures" / "epoch_0000.png").exists()
