"""Sec. 4.3, to the last bit: on a CPU, the result of a run depends on nothing but the seed."""

import os
from functools import partial

import lightning as L
import pytest
import torch

import regseg
from regseg.data.datamodule import SegmentationDataModule
from regseg.data.datasets.cityscapes import SPEC
from regseg.run_dir import read_metrics, read_summary
from regseg.training.callbacks import Evaluation, SeedEveryEpoch
from regseg.training.checkpoints import BestCheckpoint, LastCheckpoint, find_start
from regseg.training.record import RunRecord
from regseg.training.schedules import poly
from regseg.training.task import SegmentationTask
from regseg.training.trainer import make_trainer, quiet

EPOCHS = 5


class DrawingNetwork(torch.nn.Module):
    """A RegSeg that also uses the global generator, as one with dropout would."""

    def __init__(self):
        super().__init__()
        self.body = regseg.create_model(backbone=[[1], [1, 2]], num_classes=19)

    def forward(self, x):
        return self.body(x + 0.1 * torch.randn_like(x))


class Stop(L.Callback):
    """Die in the middle of an epoch."""

    def __init__(self, epoch):
        self.epoch = epoch

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        if (trainer.current_epoch, batch_idx) == (self.epoch, 1):
            raise RuntimeError("power cut")


def train(root, folder, *, seed=0, workers=0, stop_in=None, resume=False):
    quiet()
    L.seed_everything(seed, verbose=False)
    task = SegmentationTask(DrawingNetwork(), SPEC, scheduler=partial(poly, warmup_iters=3))
    datamodule = SegmentationDataModule(
        "cityscapes", root, batch_size=2, crop_size=[32, 48], short_side=[32, 64], num_workers=workers, seed=seed
    )
    callbacks = [Evaluation(every=2, last=1), SeedEveryEpoch(seed), RunRecord(folder, {}), LastCheckpoint()]
    callbacks += [BestCheckpoint()] + ([Stop(stop_in)] if stop_in is not None else [])
    trainer = make_trainer({"max_epochs": EPOCHS, "accelerator": "cpu", "precision": "32-true"}, folder, callbacks)
    trainer.fit(task, datamodule, ckpt_path=folder / "checkpoints/last.ckpt" if resume else None, weights_only=True)
    return task, trainer


def state(run):
    task, trainer = run
    momenta = [entry["momentum_buffer"] for entry in trainer.optimizers[0].state.values()]
    return [*task.network.state_dict().values(), *momenta]


def equal(a, b):
    return len(a) == len(b) and all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


@pytest.fixture(scope="module")
def straight(streets_root, tmp_path_factory):
    folder = tmp_path_factory.mktemp("straight")
    return folder, state(train(streets_root, folder))


def test_two_runs_and_any_number_of_workers_agree(straight, streets_root, tmp_path):
    assert equal(straight[1], state(train(streets_root, tmp_path, workers=2)))


def test_another_seed_differs(straight, streets_root, tmp_path):
    assert not equal(straight[1], state(train(streets_root, tmp_path, seed=1)))


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("stop_in", [1, 2, 3])  # after an evaluated epoch, after one without, before the last
def test_a_resumed_run_ends_like_one_that_never_stopped(straight, streets_root, tmp_path, workers, stop_in):
    with pytest.raises(RuntimeError, match="power cut"):
        train(streets_root, tmp_path, workers=workers, stop_in=stop_in)
    assert read_summary(tmp_path)["status"] == "failed"
    assert [row["epoch"] for row in read_metrics(tmp_path)] == [str(epoch) for epoch in range(stop_in)]

    resumed = train(streets_root, tmp_path, workers=workers, resume=True)

    assert equal(straight[1], state(resumed))
    folder, _ = straight
    for ours, theirs in zip(read_metrics(tmp_path), read_metrics(folder), strict=True):
        assert {**ours, "images_per_s": ""} == {**theirs, "images_per_s": ""}
    for key in ("best", "last"):
        assert read_summary(tmp_path)[key] == read_summary(folder)[key]
    assert read_summary(tmp_path)["status"] == "finished"


def test_stopped_before_the_checkpoint_is_written(straight, streets_root, tmp_path, monkeypatch):
    """An epoch's row is written after its checkpoint, so the epoch is repeated and its row is there once."""
    save = LastCheckpoint.on_train_epoch_end

    def cut(self, trainer, pl_module):
        if trainer.current_epoch == 2:
            raise RuntimeError("power cut")
        save(self, trainer, pl_module)

    with monkeypatch.context() as patch, pytest.raises(RuntimeError, match="power cut"):
        patch.setattr(LastCheckpoint, "on_train_epoch_end", cut)
        train(streets_root, tmp_path)
    assert len(read_metrics(tmp_path)) == 2 and read_summary(tmp_path)["last"]["epoch"] == 1
    resumed = train(streets_root, tmp_path, resume=True)
    assert equal(straight[1], state(resumed))
    assert [row["epoch"] for row in read_metrics(tmp_path)] == [str(epoch) for epoch in range(EPOCHS)]


def test_continued_from_the_checkpoint_before(straight, streets_root, tmp_path):
    """With last.ckpt damaged, and metrics.csv and summary.json too, the run ends as if nothing had happened."""
    with pytest.raises(RuntimeError, match="power cut"):
        train(streets_root, tmp_path, stop_in=3)
    last = tmp_path / "checkpoints" / "last.ckpt"
    last.write_bytes(last.read_bytes()[:-1000])
    (tmp_path / "metrics.csv").write_bytes(b"epoch,lr\n0,0.0")
    (tmp_path / "summary.json").write_text("{")
    start = find_start(tmp_path)
    assert start.path.name == "previous.ckpt" and start.epochs == 2 and "last.ckpt" in start.note
    os.replace(start.path, last)
    assert equal(straight[1], state(train(streets_root, tmp_path, resume=True)))
    for ours, theirs in zip(read_metrics(tmp_path), read_metrics(straight[0]), strict=True):
        assert {**ours, "images_per_s": ""} == {**theirs, "images_per_s": ""}
    for key in ("best", "last"):
        assert read_summary(tmp_path)[key] == read_summary(straight[0])[key]
