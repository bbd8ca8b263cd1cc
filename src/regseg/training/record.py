"""The records of a run: ``metrics.csv``, ``summary.json``, and the rows in each checkpoint that restore both."""

from __future__ import annotations

import contextlib
import math
import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import lightning as L
import torch
from lightning.pytorch.callbacks import Checkpoint
from lightning.pytorch.strategies.launchers import _MultiProcessingLauncher

from regseg.data.datasets.spec import DatasetSpec
from regseg.errors import RunFailure, is_cause, message
from regseg.models import count_parameters, gflops
from regseg.run_dir import load_summary, lock_folder, mark_ended, read_metrics, write_json, write_metrics
from regseg.run_settings import limits_of
from regseg.system import processes, signals
from regseg.system.console import shown
from regseg.system.processes import WAIT_FOR_RANKS
from regseg.training.callbacks import ended_by
from regseg.training.metrics import Scores
from regseg.training.resume_check import check_processes_agree
from regseg.training.trainer import end_ranks, quiet

KEY = "regseg"  # key of the record in a checkpoint
_SCORES = ("val/miou", "val/miou_reduced", "val/accuracy")
_REMOVED = "{} was removed during training; start the run again."


class RunRecord(Checkpoint):
    """Writes ``metrics.csv`` (one row per epoch) and ``summary.json`` (status, configuration, best and last scores).

    Every checkpoint contains the rows so far, so that a resumed run restores both files from it. The row of an epoch is
    written after the epoch's checkpoint.

    In the Trainer's list the record comes after `Evaluation` and before the checkpoints
    (`regseg.training.checkpoints.insert_record`). The base class `Checkpoint` makes Lightning keep that order.

    Args:
        folder: The run's folder.
        facts: Further content of the summary: configuration, command, versions.
        fingerprint: What a continued run must share, see `fingerprint`.
        trained: The number of epochs that the run continues.
        lock: Whether to lock the folder in the training process, for spawned processes.
    """

    def __init__(
        self,
        folder: Path,
        facts: Mapping[str, Any],
        fingerprint: Mapping[str, Any] | None = None,
        *,
        trained: int = 0,
        lock: bool = False,
    ) -> None:
        self.trained = trained
        self.folder, self.fingerprint, self.lock = Path(folder), dict(fingerprint or {}), lock
        self.limits = limits_of(facts.get("config", {}))
        self.rows: list[dict[str, Any]] = []
        self._saved = 0  # number of rows whose epochs have a checkpoint
        data = {name: self.fingerprint.get(name) for name in ("classes", "excluded", "labels", "files")}
        self.summary = {"status": "running", **facts, "data": data, "best": None, "last": None}
        self._held = contextlib.ExitStack()
        self._trained_here = False
        self._seconds = 0.0

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_held": contextlib.ExitStack()}  # a lock cannot be sent to other processes

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        quiet()  # here, because the other processes of a distributed run execute nothing before
        if isinstance(trainer.strategy.launcher, _MultiProcessingLauncher):
            processes.set_up_rank(os.getppid())
        if trainer.world_size > 1:
            # Custom callbacks may have options of their own on each node, such as a local path.
            same = {name: value for name, value in self.fingerprint.items() if name != "custom_callbacks"}
            check_processes_agree(trainer.strategy, same | {"trained epochs": self.trained})
        if self.lock and trainer.is_global_zero:
            self._held.enter_context(lock_folder(self.folder))

    def teardown(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        self._held.close()

    def on_fit_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._trained_here = True
        if trainer.loggers and trainer.is_global_zero:
            values = self.summary.get("config", {}) | described(pl_module, self.summary)
            for logger in trainer.loggers:
                logger.log_hyperparams(values)
        if pl_module.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(pl_module.device)  # an earlier run of a sweep
        self.write(trainer)

    def on_load_checkpoint(self, trainer: L.Trainer, pl_module: L.LightningModule, checkpoint: dict[str, Any]) -> None:
        self.rows = read_rows(checkpoint, self.folder)
        record = checkpoint.get(KEY)
        if isinstance(record, Mapping) and record.get("ended_by") and record.get("limits") == self.limits:
            # Killed between its last checkpoint and the status "finished". Lightning forgets that a callback ended it.
            trainer.should_stop = True

    def on_save_checkpoint(self, trainer: L.Trainer, pl_module: L.LightningModule, checkpoint: dict[str, Any]) -> None:
        checkpoint[KEY] = {
            "fingerprint": self.fingerprint,
            "rows": self.rows,
            "ended_by": ended_by(trainer),
            "limits": self.limits,
        }

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._check_folder()
        self.write(trainer)  # the previous epoch, unless `LastCheckpoint` has written it
        self._start, self._batches, self._evaluated = time.perf_counter(), 0, False

    def _check_folder(self) -> None:
        if not self.folder.is_dir():  # writing would create it again, without the configuration
            raise RunFailure(_REMOVED.format(shown(self.folder)))

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._evaluated = not trainer.sanity_checking

    def on_train_batch_end(self, trainer: L.Trainer, *_: Any) -> None:
        self._check_folder()
        self._batches += 1
        self._seconds = time.perf_counter() - self._start

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        metrics = {name: float(value) for name, value in trainer.callback_metrics.items()}
        images = self._batches * cast(Any, trainer).datamodule.batch_size * trainer.world_size
        row = {
            "epoch": trainer.current_epoch,
            "iterations": trainer.global_step,
            "lr": metrics["lr"],  # at the epoch's last iteration
            "images_per_s": images / self._seconds,
            "train/loss": metrics["train/loss"],
        }
        spec = cast(DatasetSpec, pl_module.spec)
        names = [*Scores.names(spec), *(["val/loss"] if "val/loss" in metrics else [])]
        self.rows.append(row | {name: metrics[name] if self._evaluated else None for name in names})
        if trainer.loggers:
            pl_module.log("train/images_per_s", row["images_per_s"])
            if pl_module.device.type == "cuda":
                peak = torch.cuda.max_memory_allocated(pl_module.device) / 2**30
                pl_module.log("train/gpu_memory_gib", peak)
        if self._evaluated:
            self._show(trainer, spec)

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self.write(trainer)

    def on_fit_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        # Not in on_train_end, which a run that was killed after its last checkpoint does not reach again.
        self._end(trainer, "finished", ended_by=ended_by(trainer))

    def on_exception(self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException) -> None:
        interrupted = isinstance(exception, (KeyboardInterrupt, SystemExit)) or signals.received() is not None
        end_ranks(trainer, wait=0.0 if interrupted or is_cause(exception) else WAIT_FOR_RANKS)
        with contextlib.suppress(OSError):  # the disk may be full or the folder removed; `exception` says so
            if not self.folder.is_dir():
                pass  # nothing is written into a folder that was removed
            elif not interrupted and load_summary(self.folder).get("status") == "failed":
                time.sleep(1)  # another process failed and ends first; this one lost its connection
            elif trainer.is_global_zero:
                self._end(trainer, "interrupted" if interrupted else "failed", error=message(exception))
            elif not interrupted:
                mark_ended(self.folder, "failed", message(exception))
        self._held.close()

    def _end(self, trainer: L.Trainer, status: str, **more: str | None) -> None:
        self.summary |= {"status": status} | more
        if self._trained_here:
            self._write_summary(trainer)
        elif trainer.is_global_zero:  # spawned processes trained and wrote their results
            before = load_summary(self.folder)
            found = {which: before.get(which) for which in ("best", "last")}
            write_json(self.folder / "summary.json", self.summary | found)

    def write(self, trainer: L.Trainer) -> None:
        """Write both files with all rows; their checkpoint is on disk."""
        self._saved = len(self.rows)
        if trainer.is_global_zero and self.rows:
            write_metrics(self.folder, self.rows)
        self._write_summary(trainer)

    def _write_summary(self, trainer: L.Trainer) -> None:
        if trainer.is_global_zero:
            write_json(self.folder / "summary.json", self.summary | best_and_last(self.rows[: self._saved]))

    def _show(self, trainer: L.Trainer, spec: DatasetSpec) -> None:
        """Send best and last scores and the last IoU per class to W&B.

        The best mIoU and the best reduced mIoU may belong to different epochs, as in the paper's tables.
        """
        evaluated = [row for row in self.rows if row.get("val/miou") is not None]
        for logger in cast(list[Any], trainer.loggers):
            if hasattr(logger, "log_table"):
                for name in ("miou", "miou_reduced"):
                    values = [row[f"val/{name}"] for row in evaluated]
                    best = max((value for value in values if not math.isnan(value)), default=math.nan)
                    logger.experiment.summary.update({f"best/{name}": best, f"last/{name}": values[-1]})
                rows = [[name, evaluated[-1][f"val/iou/{name}"]] for name in spec.classes]
                logger.log_table("val/iou_of_classes", ["class", "IoU"], rows, step=trainer.global_step - 1)


def described(task: L.LightningModule, facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return what loggers get in addition to a run's configuration: size and cost of the network, and versions."""
    network = cast(torch.nn.Module, task.network)
    cost = {"parameters": count_parameters(network), "gflops": round(gflops(network), 2), "gflops_size": [1024, 2048]}
    return {"network": cost} | {name: facts[name] for name in ("versions", "git_commit") if name in facts}


def best_and_last(rows: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, Any] | None]:
    """Return the evaluation with the highest mean IoU (the first of equal ones) and the last one; None without any."""
    results = [
        {"epoch": row["epoch"], "metrics": {name: value for name, value in row.items() if name.startswith("val/")}}
        for row in rows
        if row.get("val/miou") is not None
    ]
    if not results:
        return {"best": None, "last": None}
    best = results[0]
    for result in results[1:]:  # NaN (every pixel ignored) is replaced by any other
        old, new = best["metrics"]["val/miou"], result["metrics"]["val/miou"]
        best = result if math.isnan(old) or new > old else best
    return {"best": best, "last": results[-1]}


def read_rows(checkpoint: Mapping[str, Any], folder: Path) -> list[dict[str, Any]]:
    """Return the rows up to a checkpoint's epoch: its own, or for earlier versions those of ``metrics.csv``."""
    record = checkpoint.get(KEY)
    if isinstance(record, Mapping) and isinstance(record.get("rows"), list):
        return [dict(row) for row in record["rows"] if _is_row(row)]
    rows = [{name: _number(text) for name, text in row.items()} for row in read_metrics(folder)]
    return [row for row in rows if _is_row(row) and row["epoch"] <= checkpoint.get("epoch", -1)]


def _is_row(row: Any) -> bool:
    """Return whether a row of a checkpoint, which may be crafted, contains an epoch, numbers by name, and scores."""
    return (
        isinstance(row, Mapping)
        and type(row.get("epoch")) is int
        and all(isinstance(name, str) and _is_entry(name, value) for name, value in row.items())
    )


def _is_entry(name: str, value: Any) -> bool:
    if value is None or value != value:
        return True
    if type(value) not in (int, float) or (type(value) is int and abs(value) > sys.float_info.max):
        return False
    return not (name in _SCORES or name.startswith("val/iou/")) or 0 <= value <= 1


def _number(text: str) -> float | int | None:
    try:
        return int(text) if text.isdigit() else float(text)
    except ValueError:
        return None


@contextlib.contextmanager
def end_noted(folder: Path) -> Iterator[None]:
    """Record in the summary how the run ends before or after the training loop, where `RunRecord` cannot.

    Args:
        folder: The run's folder.

    Yields:
        None.

    Raises:
        RunFailure: The folder was removed meanwhile; replaces the error that this caused.
    """
    try:
        yield
    except Exception as error:
        if not folder.is_dir():
            raise RunFailure(_REMOVED.format(shown(folder))) from error
        mark_ended(folder, "interrupted" if signals.received() else "failed", message(error))
        raise
    except BaseException:
        mark_ended(folder, "interrupted")
        raise
