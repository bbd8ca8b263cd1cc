"""The checkpoints of a run: when they are written, and from which one a run continues."""

from __future__ import annotations

import math
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import lightning as L
import torch
from lightning.pytorch.callbacks import Checkpoint, ModelCheckpoint
from lightning.pytorch.trainer.states import TrainerFn
from lightning.pytorch.utilities import rank_zero_only

from regseg.data.datasets.names import CUSTOM_DATASET
from regseg.errors import InputError, RunFailure, shortened
from regseg.models.finite import first_not_finite
from regseg.run_dir import config_of, holds_results, is_replaced
from regseg.run_settings import settings_of
from regseg.system.atomic import replace_file
from regseg.system.checkpoint_file import read_checkpoint_file
from regseg.system.console import shown
from regseg.training.checkpoint_io import BEST, LAST, PREVIOUS, tensors_of
from regseg.training.record import KEY, RunRecord, best_and_last, read_rows

_PARTS = {  # of a training checkpoint
    "state_dict": Mapping,
    "loops": Mapping,
    "hyper_parameters": Mapping,
    **dict.fromkeys(("epoch", "global_step"), int),
    "optimizer_states": list,
    "lr_schedulers": list,
    "callbacks": Mapping,
    "pytorch-lightning_version": str,
}
_CONNECTOR = "checkpoint_connector.py"  # Lightning's module that restores and also collects what is saved
_NOT_OF_THE_FILE = (InputError, RunFailure, OSError, MemoryError, torch.cuda.OutOfMemoryError)
_ENTRIES: dict[Any, Any] = {  # of a fingerprint
    **dict.fromkeys(("settings", "options", "files"), Mapping),
    **dict.fromkeys(("classes", "excluded", "labels"), (list, tuple)),
    **dict.fromkeys(("batch", "iterations"), int),
    **dict.fromkeys(("max_epochs", "max_steps"), (int, type(None))),
    "precision": str,
}


class LastCheckpoint(Checkpoint):
    """Writes ``checkpoints/last.ckpt`` after every epoch; ``resume=last`` continues from it."""

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        # Lightning calls a Checkpoint after all other callbacks, so their states at the end of the epoch are saved.
        trainer.save_checkpoint(_folder(trainer) / LAST)
        for callback in cast(Any, trainer).callbacks:
            if isinstance(callback, RunRecord):
                callback.write(trainer)


class BestCheckpoint(Checkpoint):
    """Writes ``checkpoints/best.ckpt``: the weights with the highest ``val/miou``."""

    def __init__(self) -> None:
        self.best: float | None = None

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if trainer.state.fn != TrainerFn.FITTING or trainer.sanity_checking:
            return
        score = float(trainer.callback_metrics["val/miou"])
        if self.best is None or math.isnan(self.best) or score > self.best:
            self.best = score
            trainer.save_checkpoint(_folder(trainer) / BEST)

    def on_load_checkpoint(self, trainer: L.Trainer, pl_module: L.LightningModule, checkpoint: dict[str, Any]) -> None:
        # Also for checkpoints of earlier versions, which store the score elsewhere.
        best = best_and_last(read_rows(checkpoint, Path(trainer.default_root_dir)))["best"]
        self.best = best["metrics"]["val/miou"] if best else None
        path = _folder(trainer) / BEST
        if self.best is not None and (problem := _problem_of(path, checkpoint["epoch"])):
            rank_zero_only(print)(f"{problem} The next evaluation is saved as {path.name}.")
            self.best = None


def _problem_of(path: Path, epoch: int) -> str:
    """Return why ``path`` does not contain the best weights up to ``epoch``; empty if it may."""
    try:
        content = read_checkpoint_file(path)
    except InputError as error:
        return str(error)
    found = content.get("epoch") if isinstance(content, Mapping) else None
    if isinstance(found, int) and found > epoch:  # of the epoch that is repeated, perhaps with another result
        return f"{path} is from a later epoch than the checkpoint from which the run continues."
    return ""


def insert_record(trainer: L.Trainer, record: RunRecord) -> None:
    """Insert ``record`` before the callbacks that save checkpoints, which contain its rows."""
    kinds = (LastCheckpoint, BestCheckpoint, ModelCheckpoint)
    callbacks: list[L.Callback] = cast(Any, trainer).callbacks
    saving = (place for place, callback in enumerate(callbacks) if isinstance(callback, kinds))
    callbacks.insert(next(saving, len(callbacks)), record)


def _folder(trainer: L.Trainer) -> Path:
    return Path(trainer.default_root_dir) / "checkpoints"


@dataclass(frozen=True)
class Start:
    """The point from which a run continues.

    Attributes:
        path: The checkpoint.
        epochs: The number of trained epochs.
        iterations: The number of optimizer steps in them.
        fingerprint: What the continuation must share (`regseg.training.resume_check`).
        note: A message about damaged checkpoints, or empty.
    """

    path: Path
    epochs: int
    iterations: int
    fingerprint: Mapping[str, Any]
    note: str = ""


def written_at(folder: Path) -> dict[str, int]:
    """Return when each checkpoint of the run in ``folder`` was written: name -> time in nanoseconds."""
    found = {}
    for name in (LAST, PREVIOUS, BEST):
        with suppress(OSError):  # missing, or a link that leads nowhere
            found[name] = (folder / "checkpoints" / name).stat().st_mtime_ns
    return found


def find_start(folder: Path) -> Start | None:
    """Find the newest usable checkpoint of the run in ``folder``.

    Args:
        folder: The run's folder.

    Returns:
        Where to continue; None if the run has no results yet.

    Raises:
        InputError: There are results but no usable checkpoint.
    """
    if is_replaced(folder):
        return None
    damages: list[str] = []
    for name in (LAST, PREVIOUS):
        path = folder / "checkpoints" / name
        try:
            if path.exists() or path.is_symlink():
                start = _read_start(path, folder)
                note = f"{damages[0]} Continuing from {name}, one epoch earlier." if damages else ""
                if name == PREVIOUS and not damages:
                    note = f"There is no {LAST}; continuing from {name}."
                return replace(start, note=note)
        except InputError as error:
            damages.append(str(error))
    if not damages and not holds_results(folder):
        return None
    best = folder / "checkpoints" / BEST
    reason = damages[0].rstrip(".") if damages else f"{shown(folder)} contains results but no {LAST}"
    weights = f"start from its best weights with weights={shown(best)} run.name=NAME, or " if best.exists() else ""
    raise InputError(
        f"{reason}; there is no checkpoint to continue from: {weights}use overwrite=true to replace the run."
    )


@contextmanager
def restoring(start: Start | None) -> Iterator[None]:
    """Report what Lightning cannot restore from the checkpoint of ``start`` in one sentence.

    Raises:
        InputError: the checkpoint was edited, or written by something else.
    """
    try:
        yield
    except Exception as error:
        frames = traceback.extract_tb(error.__traceback__)
        restores = any(Path(one.filename).name == _CONNECTOR and "restore" in one.name for one in frames)
        if start is None or not restores or isinstance(error, _NOT_OF_THE_FILE):
            raise
        reason = shortened(" ".join(f"{type(error).__name__}: {error}".split()).rstrip("."))
        former = f"delete it to continue from {PREVIOUS}, or " if start.path.name == LAST else ""
        raise InputError(
            f"{start.path} cannot be continued ({reason}); {former}use overwrite=true to replace the run."
        ) from error


def set_damaged_aside(start: Start) -> None:
    """Rename a damaged ``last.ckpt``, so that it does not become ``previous.ckpt``."""
    last = start.path.with_name(LAST)
    if start.path.name == PREVIOUS and last.exists():
        replace_file(last, last.with_name("damaged.ckpt"))


def _read_start(path: Path, folder: Path) -> Start:
    content = read_checkpoint_file(path)
    sound = isinstance(content, Mapping) and all(isinstance(content.get(part), kind) for part, kind in _PARTS.items())
    # Without their states, Lightning would continue without momentum, or start the schedule again.
    if not sound or content["epoch"] < 0 or not content["optimizer_states"] or not content["lr_schedulers"]:
        raise InputError(f"{path} is not a training checkpoint.")
    if bad := first_not_finite(tensors_of(content)):
        raise InputError(
            f"{path} contains weights or an optimizer's state that are not finite (the first one is {bad})."
        )
    return Start(path, content["epoch"] + 1, content["global_step"], _fingerprint(content, folder))


def _is_sound(name: Any, value: Any) -> bool:
    """Return whether a fingerprint may have this entry; a crafted one is ignored."""
    return isinstance(value, _ENTRIES.get(name, ())) and not isinstance(value, bool)


def _fingerprint(checkpoint: Mapping[str, Any], folder: Path) -> Mapping[str, Any]:
    """Return the checkpoint's fingerprint; for earlier versions, what its contents and the run's configuration say."""
    record = checkpoint.get(KEY)
    if isinstance(record, Mapping) and isinstance(record.get("fingerprint"), Mapping):
        return {name: value for name, value in record["fingerprint"].items() if _is_sound(name, value)}
    spec = checkpoint["hyper_parameters"].get("spec")
    found: dict[str, Any] = {"classes": spec["classes"]} if isinstance(spec, Mapping) and "classes" in spec else {}
    if settings := settings_of(config_of(folder)):
        own = "." in str(settings.get("data.dataset"))
        found["settings"] = settings | ({"data.dataset": CUSTOM_DATASET} if own else {})
    return found
