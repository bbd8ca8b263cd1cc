"""Which checkpoint a run continues from, how they are written, and what a crafted one cannot do."""

import contextlib
import os
import shutil
from types import SimpleNamespace

import lightning as L
import pytest
import torch

import regseg
from regseg.data.datamodule import SegmentationDataModule
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
from regseg.system import atomic
from regseg.system.checkpoint_file import classes_in
from regseg.training.checkpoint_io import WholeCheckpointIO
from regseg.training.checkpoints import BestCheckpoint, LastCheckpoint, find_start, restoring, set_damaged_aside
from regseg.training.record import RunRecord, best_and_last
from regseg.training.resume_check import check_continues
from regseg.training.schedules import constant
from regseg.training.task import SegmentationTask
from regseg.training.trainer import make_trainer, quiet


@pytest.fixture(scope="module")
def trained(streets_root, tmp_path_factory):
    """The folder of a run of two epochs."""
    quiet()
    folder = tmp_path_factory.mktemp("trained")
    train(streets_root, folder)
    return folder


def train(streets_root, folder, epochs=2, ckpt_path=None):
    L.seed_everything(0, verbose=False)
    task = SegmentationTask(regseg.create_model(backbone=[[1]]), SPEC, scheduler=constant)
    datamodule = SegmentationDataModule(
        "cityscapes", streets_root, batch_size=4, crop_size=[32, 32], short_side=[32, 48], num_workers=0
    )
    callbacks = [RunRecord(folder, {}, {"batch": 4}), LastCheckpoint(), BestCheckpoint()]
    arguments = {"max_epochs": epochs, "accelerator": "cpu", "precision": "32-true"}
    make_trainer(arguments, folder, callbacks).fit(task, datamodule, ckpt_path=ckpt_path)


@pytest.fixture
def run(trained, tmp_path):
    return shutil.copytree(trained, tmp_path / "run")


def test_last_previous_and_best_are_kept(run):
    assert sorted(os.listdir(run / "checkpoints")) == ["best.ckpt", "last.ckpt", "previous.ckpt"]
    start = find_start(run)
    assert (start.path.name, start.epochs, start.note) == ("last.ckpt", 2, "") and start.fingerprint == {"batch": 4}


def damage(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def poison(path):
    content = torch.load(path, weights_only=True)
    next(iter(content["state_dict"].values()))[0] = float("nan")
    torch.save(content, path)


@pytest.mark.parametrize("harm", [damage, poison, lambda path: path.write_bytes(b""), os.remove])
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


@pytest.mark.parametrize("name", ["os.system", "subprocess.Popen", "regseg.data.datasets.Folder", "", None, 5, ["x"]])
def test_a_checkpoint_names_no_class(run, compose, name, monkeypatch):
    """Whatever a file gives as its dataset: only names of the project's own table are used."""
    path = run / "checkpoints" / "best.ckpt"
    content = torch.load(path, weights_only=True)
    content["datamodule_hyper_parameters"] |= {"dataset": name, "root": "x; touch RAN"}
    torch.save(content, path)
    cfg = compose(f"weights={path}", config="evaluate")
    monkeypatch.setattr("importlib.import_module", lambda module: pytest.fail(f"imports {module}"))
    with pytest.raises(InputError, match="name the class again"):
        SegmentationDataModule.load_from_checkpoint(path)
    with pytest.raises(InputError, match="name the class again"):
        make_datamodule(cfg)


@pytest.mark.parametrize(
    "values", [{"batch_size": "x"}, {"crop_size": 5}, {"nonsense": 1}, {"augment": 3}, {"root": 4}, {"options": [1]}]
)
def test_a_damaged_description_is_one_sentence(run, values):
    content = torch.load(run / "checkpoints" / "best.ckpt", weights_only=True)
    with pytest.raises(InputError):
        SegmentationDataModule.from_description({**content["datamodule_hyper_parameters"], **values}, "best.ckpt")
    for other in (None, [], "text"):
        with pytest.raises(InputError, match="does not record its dataset"):
            SegmentationDataModule.from_description(other, "best.ckpt")


@pytest.mark.parametrize(
    "network",
    [{"name": "os.system"}, {"backbone": "os.system"}, {"num_classes": 10**9}, {"num_classes": "x"}, {"more": 1},
     {"backbone": {"name": ["x"]}}],
)  # fmt: skip
def test_a_damaged_model_description_is_one_sentence(run, network):
    path = run / "checkpoints" / "best.ckpt"
    content = torch.load(path, weights_only=True)
    content["hyper_parameters"]["network"] |= network
    torch.save(content, path)
    for load in (regseg.load_model, SegmentationTask.load_from_checkpoint):
        with pytest.raises(InputError):
            load(path)


@pytest.mark.parametrize(
    "spec", [{"classes": ["a"]}, {"colors": 5}, {"ids": {"x": 0}}, {"ids": {0: 99}}, {"color_ids": [[[1, 2], 0]]}, {}]
)
def test_a_damaged_class_description_is_one_sentence(run, spec):
    path = run / "checkpoints" / "best.ckpt"
    content = torch.load(path, weights_only=True)
    content["hyper_parameters"]["spec"] = content["hyper_parameters"]["spec"] | spec if spec else spec
    torch.save(content, path)
    with pytest.raises(InputError):
        SegmentationTask.load_from_checkpoint(path)


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


@pytest.mark.parametrize(
    "change",
    [
        {"epoch": "x"}, {"epoch": None}, {"epoch": -5}, {"hyper_parameters": []}, {"loops": 3}, {"state_dict": None},
        {"optimizer_states": []}, {"optimizer_states": None}, {"lr_schedulers": None}, {"callbacks": 3},
        {"pytorch-lightning_version": 2},
    ],
)  # fmt: skip
def test_a_crafted_checkpoint_is_not_continued(run, change):
    path = run / "checkpoints" / "last.ckpt"
    torch.save(torch.load(path, weights_only=True) | change, path)
    assert find_start(run).path.name == "previous.ckpt"


@pytest.mark.parametrize(
    "change",
    [
        {"loops": {}}, {"loops": {"fit_loop": 3}}, {"optimizer_states": ["x"]}, {"lr_schedulers": ["x"]},
        {"pytorch-lightning_version": "x"}, {"state_dict": {"network.x": torch.zeros(1)}},
    ],
)  # fmt: skip
def test_what_lightning_cannot_restore_is_one_sentence(run, change, streets_root):
    start = find_start(run)
    torch.save(torch.load(start.path, weights_only=True) | change, start.path)
    with pytest.raises(InputError, match=r"last\.ckpt cannot be continued .*previous\.ckpt") as error, restoring(start):
        train(streets_root, run, 3, start.path)
    assert "\n" not in str(error.value) and len(str(error.value)) < 800


def test_the_oldest_checkpoint_is_not_to_be_deleted(run, streets_root):
    (run / "checkpoints" / "last.ckpt").unlink()
    start = find_start(run)
    torch.save(torch.load(start.path, weights_only=True) | {"loops": {}}, start.path)
    with pytest.raises(InputError, match=r"previous\.ckpt cannot be continued") as error, restoring(start):
        train(streets_root, run, 3, start.path)
    assert "delete" not in str(error.value)


@pytest.mark.parametrize("hook", ["on_save_checkpoint", "on_load_checkpoint"])
def test_errors_of_the_machine_are_not_blamed_on_the_checkpoint(run, hook, streets_root, monkeypatch):
    """Lightning collects what is saved in the module that restores."""

    def fail(*arguments):
        raise KeyError("a bug") if hook == "on_save_checkpoint" else MemoryError

    start = find_start(run)
    content = torch.load(start.path, weights_only=True)
    content["regseg"]["ended_by"] = None  # so that the run continues
    torch.save(content, start.path)
    monkeypatch.setattr(RunRecord, hook, fail)
    with pytest.raises((KeyError, MemoryError)), restoring(start):
        train(streets_root, run, 4, start.path)


@pytest.mark.parametrize(
    "entry",
    [
        {"iterations": "x"}, {"batch": torch.zeros(3)}, {"files": [1]}, {"settings": [1]}, {"options": 3}, {5: 1},
        {"settings": {"loss.name": [1]}}, {"max_epochs": "x"}, {"precision": 16}, {"classes": 5},
    ],
)  # fmt: skip
def test_a_crafted_fingerprint_is_ignored_or_refused(run, entry):
    path = run / "checkpoints" / "last.ckpt"
    content = torch.load(path, weights_only=True)
    content["regseg"]["fingerprint"] |= entry
    torch.save(content, path)
    now = {"settings": {}, "options": {}, "batch": 4, "iterations": 3, "precision": "32-true", "classes": ["a"]}
    with contextlib.suppress(InputError):
        assert check_continues(run, find_start(run).fingerprint, now, 2) is None


@pytest.mark.parametrize(
    "record",
    [
        {"rows": [3]}, {"rows": [{"lr": 1}]}, {"rows": 5}, 3, {"fingerprint": 4},
        {"rows": [{"epoch": 0, "val/miou": "x"}]}, {"rows": [{"epoch": 0, "val/miou": [1]}, {"epoch": 1, 5: 1}]},
    ],
)  # fmt: skip
def test_a_crafted_record_is_ignored(run, record):
    path = run / "checkpoints" / "last.ckpt"
    torch.save(torch.load(path, weights_only=True) | {"regseg": record}, path)
    assert find_start(run).epochs == 2
    callback = RunRecord(run, {})
    callback.on_load_checkpoint(None, None, torch.load(path, weights_only=True))
    assert all(type(row["epoch"]) is int for row in callback.rows)
    best_and_last(callback.rows)


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


def test_what_a_killed_writer_left_is_removed(tmp_path):
    for name in (".a.png.123", ".b.png.45", ".hidden", ".a.png.x1"):
        (tmp_path / name).touch()
    atomic.remove_leftovers(tmp_path, "a.png")
    assert sorted(os.listdir(tmp_path)) == [".a.png.x1", ".b.png.45", ".hidden"]
