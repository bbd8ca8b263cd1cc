"""Which checkpoint a run continues from, and which one is kept."""

import os
from types import SimpleNamespace

import pytest
import torch
from trained_runs import damage, poison

from regseg.data.datasets.cityscapes import SPEC
from regseg.errors import InputError
from regseg.evaluate import make_datamodule, make_network
from regseg.run_dir import (
    check_free,
    holds_results,
    prepare_folder,
    read_metrics,
    read_summary,
    write_json,
    write_metrics,
)
from regseg.system.checkpoint_file import classes_in
from regseg.training.checkpoint_io import WholeCheckpointIO
from regseg.training.checkpoints import BestCheckpoint, find_start, set_damaged_aside
from regseg.training.record import RunRecord


def test_last_previous_and_best_are_kept(run):
    assert sorted(os.listdir(run / "checkpoints")) == ["best.ckpt", "last.ckpt", "previous.ckpt"]
    start = find_start(run)
    assert (start.path.name, start.epochs, start.note) == ("last.ckpt", 2, "") and start.fingerprint == {"batch": 4}


def poison_optimizer(path):
    content = torch.load(path, weights_only=True)
    content["optimizer_states"][0]["state"][0]["momentum_buffer"][0] = torch.inf
    torch.save(content, path)


def poison_latest_weights(path):
    """With EMA, `state_dict` contains the average."""
    content = torch.load(path, weights_only=True)
    content["current_model_state"] = {"network.stem.conv.weight": torch.full((3,), torch.nan)}
    torch.save(content, path)


def link_to_itself(path):
    path.unlink()
    path.symlink_to(path.name)


@pytest.mark.parametrize(
    "harm",
    [
        damage, poison, poison_optimizer, poison_latest_weights, lambda path: path.write_bytes(b""), os.remove,
        link_to_itself,
    ],
)  # fmt: skip
def test_the_checkpoint_before_is_used(run, harm):
    harm(run / "checkpoints" / "last.ckpt")
    start = find_start(run)
    assert (start.path.name, start.epochs) == ("previous.ckpt", 1) and "last.ckpt" in start.note


def test_without_a_usable_checkpoint_nothing_is_continued_or_lost(run):
    for name in ("last.ckpt", "previous.ckpt"):
        damage(run / "checkpoints" / name)
    with pytest.raises(InputError, match=r"damaged.*weights=.*best\.ckpt run\.name=NAME.*overwrite=true"):
        find_start(run)
    for name in os.listdir(run / "checkpoints"):
        (run / "checkpoints" / name).unlink()
    with pytest.raises(InputError, match=r"no last\.ckpt.*overwrite=true"):
        find_start(run)


def test_an_empty_folder_and_a_first_epoch_that_was_cut_off_start_anew(run, tmp_path):
    assert find_start(tmp_path / "none") is None
    for name in ("last.ckpt", "previous.ckpt"):
        (run / "checkpoints" / name).unlink()
    (run / "metrics.csv").unlink()
    write_json(run / "summary.json", {"status": "running", "best": None, "last": None})
    assert find_start(run) is None


def test_a_checkpoint_of_an_earlier_version_continues(run):
    path = run / "checkpoints" / "last.ckpt"
    content = torch.load(path, weights_only=True)
    del content["regseg"]
    torch.save(content, path)
    start = find_start(run)
    assert start.epochs == 2 and start.fingerprint == {"classes": list(SPEC.classes)}
    write_metrics(run, [{"epoch": epoch, "lr": 0.1, "val/miou": 0.5, "val/accuracy": None} for epoch in range(4)])
    record = RunRecord(run, {})
    record.on_load_checkpoint(None, None, content)
    assert [row["epoch"] for row in record.rows] == [0, 1]
    assert record.rows[0] == {"epoch": 0, "lr": 0.1, "val/miou": 0.5, "val/accuracy": None}


@pytest.mark.parametrize("model", [(), ("model=regseg", "model.backbone.dilations=[[1]]")])
def test_evaluation_compares_the_names_of_the_classes(run, compose, model, streets_root):
    path = run / "checkpoints" / "best.ckpt"
    assert classes_in(path) == list(SPEC.classes)
    cfg = compose(f"weights={path}", *model, config="evaluate")
    datamodule = make_datamodule(cfg)
    assert make_network(cfg, datamodule) is not None
    content = torch.load(path, weights_only=True)
    names = content["hyper_parameters"]["spec"]["classes"]
    names[0], names[1] = names[1], names[0]
    torch.save(content, path)
    with pytest.raises(InputError, match=r"other classes.*sidewalk, here road"):
        make_network(cfg, datamodule)


def test_a_damaged_checkpoint_never_replaces_the_one_that_is_continued(run):
    last, previous = run / "checkpoints" / "last.ckpt", run / "checkpoints" / "previous.ckpt"
    damage(last)
    good = previous.read_bytes()
    set_damaged_aside(find_start(run))
    assert previous.read_bytes() == good and not last.exists()
    WholeCheckpointIO().save_checkpoint({"state_dict": {}, "epoch": 1}, last)
    assert previous.read_bytes() == good


@pytest.mark.parametrize("left", ["all", "no summary of its own", "half"])
def test_an_interrupted_replacement_starts_anew(run, left):
    """``overwrite=true`` was killed while it removed the earlier run; a queue then starts the job with resume=last."""
    write_json(run / "summary.json", {"status": "running", "best": None, "last": None, "replacing": True})
    if left == "half":
        (run / "checkpoints" / "last.ckpt").unlink()
    assert not holds_results(run) and find_start(run) is None
    check_free(run, resume="last", overwrite=False)
    prepare_folder(run, {"seed": 1}, keep=True)
    assert sorted(os.listdir(run)) == ["config.yaml", "summary.json"] and not read_metrics(run)
    RunRecord(run, {})._write_summary(SimpleNamespace(is_global_zero=True))
    assert "replacing" not in read_summary(run)


def test_a_run_that_failed_is_running_again_once_it_continues(run):
    write_json(run / "summary.json", read_summary(run) | {"status": "failed", "error": "a full disk"})
    best = read_summary(run)["best"]
    prepare_folder(run, {"seed": 0}, keep=True)
    assert read_summary(run)["status"] == "running" and "error" not in read_summary(run)
    assert read_summary(run)["best"] == best and (run / "checkpoints" / "last.ckpt").exists()


def of_a_later_epoch(path):
    """As after a kill between best.ckpt and last.ckpt, or if the last one is damaged."""
    content = torch.load(path, weights_only=True)
    torch.save(content | {"epoch": content["epoch"] + 100}, path)


@pytest.mark.parametrize("change", [None, damage, os.unlink, of_a_later_epoch])
def test_best_weights_that_are_gone_are_replaced_by_the_next(run, change, capsys):
    best, path = BestCheckpoint(), run / "checkpoints" / "best.ckpt"
    if change:
        change(path)
    content = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)
    best.on_load_checkpoint(SimpleNamespace(default_root_dir=run), None, content)
    said = capsys.readouterr().out
    assert (best.best is None) == bool(change) == (str(path) in said)
