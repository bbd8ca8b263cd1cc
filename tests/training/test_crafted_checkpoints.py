"""Checkpoints with wrong or hostile content: they import nothing, and an error is one sentence."""

import contextlib

import pytest
import torch
from trained_runs import train

import regseg
from regseg.data.datamodule import SegmentationDataModule
from regseg.errors import InputError
from regseg.evaluate import make_datamodule
from regseg.training.checkpoints import find_start, restoring
from regseg.training.record import RunRecord, best_and_last
from regseg.training.resume_check import check_continues
from regseg.training.task import SegmentationTask


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


@pytest.mark.parametrize(
    "change",
    [
        {"epoch": "x"}, {"epoch": None}, {"epoch": -5}, {"hyper_parameters": []}, {"loops": 3}, {"state_dict": None},
        {"optimizer_states": []}, {"optimizer_states": None}, {"lr_schedulers": None}, {"callbacks": 3},
        {"pytorch-lightning_version": 2}, {"lr_schedulers": []}, {"global_step": "x"},
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
        assert check_continues(run, find_start(run).fingerprint, now, 2, 4) is None


@pytest.mark.parametrize(
    "record",
    [
        {"rows": [3]}, {"rows": [{"lr": 1}]}, {"rows": 5}, 3, {"fingerprint": 4},
        {"rows": [{"epoch": 0, "val/miou": "x"}]}, {"rows": [{"epoch": 0, "val/miou": [1]}, {"epoch": 1, 5: 1}]},
        {"rows": [{"epoch": 0, "val/miou": 10**400}]}, {"rows": [{"epoch": 0, "val/miou": 5.0}]},
    ],
)  # fmt: skip
def test_a_crafted_record_is_ignored(run, record):
    path = run / "checkpoints" / "last.ckpt"
    torch.save(torch.load(path, weights_only=True) | {"regseg": record}, path)
    assert find_start(run).epochs == 2
    callback = RunRecord(run, {})
    callback.on_load_checkpoint(None, None, torch.load(path, weights_only=True))
    assert all(type(row["epoch"]) is int for row in callback.rows)
    best = best_and_last(callback.rows)["best"]
    assert best is None or 0 <= best["metrics"]["val/miou"] <= 1


def test_rows_of_skipped_steps_are_kept(run):
    """With a gradient scaler, the mean loss of an epoch may be infinite."""
    rows = [{"epoch": 0, "train/loss": float("inf"), "val/miou": float("nan")}]
    callback = RunRecord(run, {})
    callback.on_load_checkpoint(None, None, {"regseg": {"rows": rows}})
    assert [row["train/loss"] for row in callback.rows] == [float("inf")]
