"""Writing and reading of checkpoints."""

import errno

import pytest
import torch

from regseg.errors import InputError
from regseg.system import atomic
from regseg.training.checkpoint_io import WholeCheckpointIO


@pytest.fixture
def run(tmp_path):
    """A run's folder with last.ckpt of epoch 0 and the one before it."""
    for epoch in (-1, 0):
        WholeCheckpointIO().save_checkpoint({"state_dict": {}, "epoch": epoch}, tmp_path / "checkpoints" / "last.ckpt")
    return tmp_path


def test_the_former_last_checkpoint_is_kept(run):
    io, folder = WholeCheckpointIO(), run / "checkpoints"
    io.save_checkpoint({"state_dict": {}, "epoch": 7}, folder / "best.ckpt")
    epochs = {path.name: io.load_checkpoint(path)["epoch"] for path in folder.iterdir()}
    assert epochs == {"last.ckpt": 0, "previous.ckpt": -1, "best.ckpt": 7}


def test_a_full_disk_leaves_the_former_checkpoints(run, monkeypatch):
    before = {path: path.read_bytes() for path in (run / "checkpoints").iterdir()}

    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(atomic.os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        WholeCheckpointIO().save_checkpoint({"state_dict": {}}, run / "checkpoints" / "last.ckpt")
    assert {path: path.read_bytes() for path in (run / "checkpoints").iterdir()} == before


def test_nothing_goes_through_the_systems_temporary_folder(run, monkeypatch, tmp_path):
    for name in ("TMPDIR", "TEMP", "TMP"):
        monkeypatch.setenv(name, str(tmp_path / "nowhere"))
    monkeypatch.setattr("tempfile.tempdir", None)
    WholeCheckpointIO().save_checkpoint({"state_dict": {}, "epoch": 1}, run / "checkpoints" / "other.ckpt")
    assert WholeCheckpointIO().load_checkpoint(run / "checkpoints" / "other.ckpt")["epoch"] == 1


def test_weights_that_are_not_finite_are_not_written(run):
    path = run / "checkpoints" / "last.ckpt"
    before = path.read_bytes()
    with pytest.raises(InputError, match="not finite after epoch 3"):
        WholeCheckpointIO().save_checkpoint({"state_dict": {"a": torch.tensor(float("inf"))}, "epoch": 3}, path)
    assert path.read_bytes() == before
