"""However a training ends by itself, its final weights are evaluated once and recorded."""

import csv
import shutil

import lightning as L
import pytest
import torch
from lightning.pytorch.callbacks import EarlyStopping
from lightning.pytorch.loggers import CSVLogger
from tiny import Calls, train_tiny

from regseg.errors import RunFailure
from regseg.run_dir import read_metrics, read_summary, write_json
from regseg.training.callbacks import ended_by


class Evaluated(L.Callback):
    """The optimizer steps at which an evaluation took place."""

    def __init__(self):
        self.steps = []

    def on_validation_end(self, trainer, pl_module):
        self.steps.append(trainer.global_step)


def out_of_time(trainer, module):
    if trainer.global_step == 5:
        for callback in trainer.callbacks:
            if isinstance(callback, L.pytorch.callbacks.Timer):
                callback._offset = 1e9


def stop_at(step):
    def function(trainer, module):
        trainer.should_stop = trainer.should_stop or trainer.global_step == step

    return function


def never_better(monitor, patience=1):
    return EarlyStopping(monitor, mode="max" if monitor == "val/miou" else "min", patience=patience, min_delta=1e9)


# An epoch has four batches; what ends the training, and after which steps it is evaluated.
ENDS = {
    "max_epochs": ("max_epochs", [4, 12], {"max_epochs": 3}, []),
    "max_steps in an epoch": ("max_steps", [4, 6], {"max_steps": 6}, []),
    "max_steps in epoch 0": ("max_steps", [3], {"max_steps": 3}, []),
    "max_steps at an epoch's end": ("max_steps", [4, 8], {"max_steps": 8}, []),
    "max_steps with accumulation": ("max_steps", [2, 5], {"max_steps": 5, "accumulate_grad_batches": 2}, []),
    "max_steps with a limit": ("max_steps", [3, 4], {"max_steps": 4, "limit_train_batches": 3}, []),
    "max_time": ("max_time", [4, 6], {"max_time": {"hours": 9}}, [Calls("on_train_batch_start", out_of_time)]),
    "early stopping by a training metric": ("early_stopping", [4, 8], {}, [never_better("train/loss")]),
    "a callback in an epoch": ("early_stopping", [4, 7], {}, [Calls("on_train_batch_end", stop_at(7))]),
    "a callback before min_epochs": (
        "early_stopping",
        [4, 12],
        {"min_epochs": 3},
        [Calls("on_train_batch_end", stop_at(6))],
    ),
    "a callback at an epoch's end": ("early_stopping", [4, 8], {}, [Calls("on_train_epoch_end", stop_at(8))]),
}


@pytest.mark.parametrize("case", ENDS)
def test_the_final_weights_are_evaluated_once(case, streets_root, tmp_path):
    cause, steps, arguments, callbacks = ENDS[case]
    seen = Evaluated()
    task, trainer = train_tiny(
        streets_root, tmp_path, callbacks=[*callbacks, seen], **{"max_epochs": 99, "limit_val_batches": 1} | arguments
    )
    assert seen.steps == steps and trainer.global_step == steps[-1]
    assert ended_by(trainer) == cause
    row, summary = read_metrics(tmp_path)[-1], read_summary(tmp_path)
    assert summary["status"] == "finished"
    assert summary["last"]["epoch"] == int(row["epoch"]) and int(row["iterations"]) == steps[-1]
    assert float(row["val/miou"]) == pytest.approx(summary["last"]["metrics"]["val/miou"])
    last = torch.load(tmp_path / "checkpoints" / "last.ckpt", weights_only=True)
    assert last["global_step"] == steps[-1]
    assert all(torch.equal(value, last["state_dict"][name]) for name, value in task.state_dict().items())
    best = torch.load(tmp_path / "checkpoints" / "best.ckpt", weights_only=True)
    assert best["epoch"] == summary["best"]["epoch"]


def test_early_stopping_counts_evaluations_not_epochs(streets_root, tmp_path):
    """Between evaluations the metric does not change, which is no lack of improvement."""
    seen = Evaluated()
    _, trainer = train_tiny(
        streets_root, tmp_path, callbacks=[never_better("val/miou"), seen], every=3, max_epochs=99, limit_val_batches=1
    )
    assert seen.steps == [4, 12] and ended_by(trainer) == "early_stopping"


@pytest.mark.parametrize(("patience", "steps"), [(1, []), (3, [12, 16]), (None, [12])])
def test_a_run_that_was_stopped_early_continues_with_more_patience(streets_root, tmp_path, patience, steps, recwarn):
    """A checkpoint contains the patience too; without the callback the run continues up to its limit."""

    def stopping(patience):
        named = {"stopping": {"_target_": "x.EarlyStopping", "patience": patience}} if patience else {}
        return {"callbacks": [never_better("train/loss", patience)] if patience else [], "stopping": named}

    arguments = {"max_epochs": 99, "limit_val_batches": 1}
    train_tiny(streets_root, tmp_path, **stopping(1), **arguments)
    last, seen, arguments["every"] = tmp_path / "checkpoints" / "last.ckpt", Evaluated(), 1
    arguments |= {"max_epochs": 99 if patience else 3, "ckpt_path": last}
    again = stopping(patience)
    again["callbacks"].append(seen)
    train_tiny(streets_root, tmp_path, **again, **arguments)
    assert seen.steps == steps and not [str(one.message) for one in recwarn if "callbacks" in str(one.message)]


def test_an_interrupted_run_ends_as_if_it_had_not_been(streets_root, tmp_path):
    def cut(trainer, module):
        if trainer.global_step == 5:
            raise RuntimeError("power cut")

    arguments = {"max_epochs": 99, "max_steps": 10, "limit_val_batches": 1}
    with pytest.raises(RuntimeError):
        train_tiny(streets_root, tmp_path, callbacks=[Calls("on_train_batch_end", cut)], **arguments)
    seen = Evaluated()
    last = tmp_path / "checkpoints" / "last.ckpt"
    _, trainer = train_tiny(streets_root, tmp_path, callbacks=[seen], ckpt_path=last, **arguments)
    assert seen.steps == [10] and ended_by(trainer) == "max_steps"
    assert [bool(row["val/miou"]) for row in read_metrics(tmp_path)] == [True, False, True]
    again = Evaluated()
    train_tiny(streets_root, tmp_path, callbacks=[again], ckpt_path=last, **arguments)
    assert again.steps == [] and read_summary(tmp_path)["last"]["epoch"] == 2


def test_a_training_that_continues_has_not_ended(streets_root, tmp_path):
    causes = []
    note = Calls("on_train_epoch_end", lambda trainer, module: causes.append(ended_by(trainer)))
    train_tiny(streets_root, tmp_path, callbacks=[note], max_epochs=2, limit_train_batches=1, limit_val_batches=0)
    assert causes == [None, "max_epochs"]


@pytest.mark.parametrize("limits", [{"max_epochs": 99}, {"max_epochs": 50}])
def test_a_run_that_was_killed_after_its_last_checkpoint_trains_no_more(streets_root, tmp_path, limits):
    """Unless it has other limits now. Lightning's checkpoint does not say that a callback had ended the training."""
    stopping = Calls("on_train_epoch_end", stop_at(8))
    before = {"max_epochs": 99, "limit_val_batches": 1}
    train_tiny(streets_root, tmp_path, callbacks=[stopping], limits=before, **before)
    write_json(tmp_path / "summary.json", read_summary(tmp_path) | {"status": "running", "ended_by": None})
    last, steps = tmp_path / "checkpoints" / "last.ckpt", []
    stop_again = Calls("on_train_batch_end", lambda trainer, module: steps.append(stop_at(9)(trainer, module)))
    now = before | limits
    train_tiny(streets_root, tmp_path, callbacks=[stop_again], ckpt_path=last, limits=now, **now)
    summary = read_summary(tmp_path)
    assert (summary["status"], summary["ended_by"]) == ("finished", "early_stopping")
    assert bool(steps) == (limits != {"max_epochs": 99}) and summary["last"]["epoch"] == (2 if steps else 1)


def test_a_folder_that_is_removed_ends_the_training(streets_root, tmp_path):
    folder = tmp_path / "run"
    remove = Calls("on_train_epoch_start", lambda trainer, module: trainer.current_epoch and shutil.rmtree(folder))
    with pytest.raises(RunFailure, match="was removed"):
        train_tiny(streets_root, folder, callbacks=[remove], max_epochs=9, limit_val_batches=1)
    assert not folder.exists()


@pytest.mark.parametrize("limit", [{"max_epochs": 2}, {"max_steps": 6}])
def test_loggers_get_every_epoch_however_training_ends(streets_root, tmp_path, limit):
    """At max_steps the final evaluation runs inside the hook that logs the epoch."""
    logger = CSVLogger(tmp_path / "log")
    train_tiny(streets_root, tmp_path, logger=logger, log_every_n_steps=1, **limit)
    with open(f"{logger.log_dir}/metrics.csv", newline="") as file:
        logged = list(csv.DictReader(file))
    for name in ("train/loss", "train/images_per_s", "val/miou"):
        values = [float(row[name]) for row in logged if row[name]]
        assert values == pytest.approx(
            [float(row[name.replace("train/images", "images")]) for row in read_metrics(tmp_path)]
        )
    assert len([row for row in logged if row["train/loss_step"]]) == limit.get("max_steps", 8)
