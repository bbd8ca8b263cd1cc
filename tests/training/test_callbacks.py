from types import SimpleNamespace

import lightning as L
import pytest
import torch
from lightning.pytorch.plugins import MixedPrecision
from tiny import Calls, train_tiny

import regseg
from regseg.data.datamodule import SegmentationDataModule
from regseg.data.datasets.cityscapes import SPEC
from regseg.errors import InputError
from regseg.training import callbacks
from regseg.training.callbacks import Evaluation, Pictures, SeedEveryEpoch
from regseg.training.checkpoints import LastCheckpoint
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


def test_a_seed_that_is_not_a_number_is_refused():
    with pytest.raises(InputError, match=r"callbacks\.seed\.seed='x' is not an integer of at least 0"):
        SeedEveryEpoch("x")


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


def test_a_sanity_check_of_the_initial_weights_leaves_nothing(streets_root, tmp_path):
    evaluation, found = Evaluation(), []

    def look(trainer, module):
        found.append([path.name for path in tmp_path.rglob("*.*") if path.suffix in (".ckpt", ".png")])
        assert evaluation._evaluated == -1

    callbacks = [Calls("on_sanity_check_end", look), Pictures(1), evaluation]
    arguments = {"max_epochs": 1, "limit_train_batches": 1, "num_sanity_val_steps": 2}
    train_tiny(streets_root, tmp_path, callbacks=callbacks, **arguments)
    assert found == [[]] and (tmp_path / "checkpoints" / "best.ckpt").exists()


@pytest.mark.parametrize(
    ("count", "total", "chosen"), [(1, 3, [1]), (4, 3, [0, 1, 2]), (4, 10, [1, 3, 6, 8]), (2, 500, [124, 374])]
)
def test_pictures_are_spread_over_the_split(count, total, chosen):
    pictures, trainer = Pictures(count), SimpleNamespace(num_val_batches=[total], is_global_zero=True)
    for number in range(total):
        arrays = torch.full((1, 2, 2), number)
        pictures.on_validation_batch_end(
            trainer, None, {"prediction": arrays}, {"image": arrays, "label": arrays}, number
        )
    assert [row[0].flat[0] for row in pictures._rows] == [number % 256 for number in chosen]


@pytest.mark.parametrize(("count", "chosen"), [(1, [1]), (4, [0, 1, 2]), (10**15, [0, 1, 2])])
def test_pictures_of_more_or_fewer_images_than_asked_for(streets_root, tmp_path, monkeypatch, count, chosen):
    drawn, draw = [], callbacks.prediction_grid

    def note(rows, spec):
        drawn.extend(image for image, _, _ in rows)
        return draw(rows, spec)

    monkeypatch.setattr(callbacks, "prediction_grid", note)
    _, trainer = train_tiny(streets_root, tmp_path, callbacks=[Pictures(count)], max_epochs=1, limit_train_batches=1)
    images = trainer.datamodule.val_set
    assert (tmp_path / "pictures" / "epoch_0000.png").exists() and len(drawn) == len(chosen)
    assert all((image == images[number]["image"]).all() for image, number in zip(drawn, chosen, strict=True))
