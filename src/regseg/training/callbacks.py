"""What happens around the training loop: when to evaluate, seeding, and what a run leaves on disk."""

from __future__ import annotations

import math
import os
import time
from pathlib import Path
from typing import Any

import cv2
import lightning as L
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.strategies.launchers import _MultiProcessingLauncher

from regseg import processes
from regseg.data.sampling import stream
from regseg.data.spec import IGNORE_INDEX, DatasetSpec
from regseg.errors import check_number
from regseg.runs import append_metrics, mark_ended, read_metrics, read_summary, write_json
from regseg.training.metrics import Scores
from regseg.training.pictures import prediction_grid
from regseg.training.trainer import end_ranks, quiet


class Evaluation(L.Callback):
    """Evaluate after epoch 0, every ``every``-th epoch and the ``last`` ones; epochs count from 0.

    With every=25 and 500 epochs these are 0, 24, 49, … and the last ones, as in the author's runs.
    """

    def __init__(self, every: int = 25, last: int = 15) -> None:
        check_number("callbacks.evaluation.every", every, lowest=1, integer=True)
        check_number("callbacks.evaluation.last", last, integer=True)
        self.every, self.last = every, last

    def is_due(self, epoch: int, max_epochs: int | None) -> bool:
        from_the_end = max_epochs is not None and epoch >= max_epochs - max(self.last, 1)
        return epoch == 0 or (epoch + 1) % self.every == 0 or from_the_end

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        # Lightning evaluates when (epoch + 1) % check_val_every_n_epoch is 0; there is no hook for other schedules.
        due = self.is_due(trainer.current_epoch, trainer.max_epochs)
        trainer.check_val_every_n_epoch = 1 if due else trainer.current_epoch + 2


class SeedEveryEpoch(L.Callback):
    """Seed all global generators from (seed, epoch) when an epoch starts (Sec. 4.3).

    This covers what the model draws, dropout say. Image order and augmentation have streams of their own.
    """

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        L.seed_everything(int(stream(self.seed, trainer.current_epoch).integers(2**31)), verbose=False)


class RunRecord(L.Callback):
    """Keep ``metrics.csv`` (a row an epoch) and ``summary.json`` (status, configuration, best and last evaluation).

    A resumed run appends to the first and carries on the second.

    Args:
        folder: the run's folder.
        facts: what the summary holds beside the results, from the start: configuration, command, versions, …
    """

    def __init__(self, folder: Path, facts: dict[str, Any]) -> None:
        self.folder = Path(folder)
        before = read_summary(self.folder) or {}
        self.summary = {"status": "running", **facts, "best": before.get("best"), "last": before.get("last")}
        self._seconds = 0.0

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        quiet()  # here, for the other processes of a distributed run come by no other way
        if isinstance(trainer.strategy.launcher, _MultiProcessingLauncher):
            processes.set_up_rank(os.getppid())

    def on_fit_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._seen = {int(row["epoch"]) for row in read_metrics(self.folder)}
        self._write(trainer)

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._start, self._evaluated = time.perf_counter(), False

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._evaluated = True

    def on_train_batch_end(self, trainer: L.Trainer, *_: Any) -> None:
        self._seconds = time.perf_counter() - self._start

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        epoch, metrics = trainer.current_epoch, {k: float(v) for k, v in trainer.callback_metrics.items()}
        images = trainer.num_training_batches * trainer.datamodule.batch_size * trainer.world_size
        row = {
            "epoch": epoch,
            "iterations": trainer.global_step,
            "lr": metrics["lr"],  # of the epoch's last iteration
            "images_per_s": images / self._seconds,
            "train/loss": metrics["train/loss"],
        }
        self._append(
            row | {k: metrics[k] if self._evaluated else math.nan for k in Scores.names(pl_module.spec)}, trainer
        )
        if self._evaluated:
            result = {"epoch": epoch, "metrics": {k: v for k, v in metrics.items() if k.startswith("val/")}}
            self.summary["last"] = result
            best = self.summary["best"]
            if best is None or not result["metrics"]["val/miou"] <= (best["metrics"]["val/miou"] or 0.0):
                self.summary["best"] = result
            self._show(trainer, pl_module.spec)
        self._write(trainer)

    def on_fit_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        # Not when training ends: a run that was killed after its last checkpoint has nothing left to train.
        self._end(trainer, "finished")

    def on_exception(self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException) -> None:
        interrupted = isinstance(exception, (KeyboardInterrupt, SystemExit)) or processes.received() is not None
        end_ranks(trainer, interrupted=interrupted)
        if not interrupted and (read_summary(self.folder) or {}).get("status") == "failed":
            time.sleep(1)  # another process failed, and this one lost the connection to it: let that one end first
        elif trainer.is_global_zero:
            self._end(trainer, "interrupted" if interrupted else "failed", error=str(exception))
        elif not interrupted:
            mark_ended(self.folder, "failed", str(exception))

    def _end(self, trainer: L.Trainer, status: str, **more: str) -> None:
        if not hasattr(self, "_seen"):  # it trained in processes of its own, which wrote what they found
            before = read_summary(self.folder) or {}
            self.summary |= {which: before.get(which) for which in ("best", "last")}
        self.summary |= {"status": status} | more
        self._write(trainer)

    def _append(self, row: dict[str, Any], trainer: L.Trainer) -> None:
        # A run that was cut off between this row and its checkpoint repeats the epoch, to the same values.
        if trainer.is_global_zero and row["epoch"] not in self._seen:
            append_metrics(self.folder, row)

    def _show(self, trainer: L.Trainer, spec: DatasetSpec) -> None:
        """Best and last means as a dashboard's summary, and the last IoU of each class as its table."""
        for logger in trainer.loggers:
            if hasattr(logger, "log_table"):
                for which in ("best", "last"):
                    for name in ("miou", "miou_reduced"):
                        value = self.summary[which]["metrics"][f"val/{name}"]
                        logger.experiment.summary[f"{which}/{name}"] = value
                iou = self.summary["last"]["metrics"]
                rows = [[name, iou[f"val/iou/{name}"]] for name in spec.classes]
                logger.log_table("val/iou_of_classes", columns=["class", "IoU"], data=rows)

    def _write(self, trainer: L.Trainer) -> None:
        if trainer.is_global_zero:
            write_json(self.folder / "summary.json", self.summary)


class Pictures(L.Callback):
    """Save ``pictures/epoch_<n>.png`` at each evaluation: image, label and prediction of ``count`` validation images.

    They are spread evenly over the validation images, since neighbours by name often show the same place.
    """

    def __init__(self, count: int = 4) -> None:
        self.count = count
        check_number("callbacks.pictures.count", count, lowest=1, integer=True)
        self._rows: list[tuple[Any, Any, Any]] = []

    def on_validation_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int, *_: Any
    ) -> None:
        (total,) = trainer.num_val_batches if isinstance(trainer.num_val_batches, list) else [trainer.num_val_batches]
        wanted = {round((place + 0.5) * total / self.count - 0.5) for place in range(self.count)}
        if batch_idx in wanted and trainer.is_global_zero:
            arrays = (batch["image"][0], batch["label"][0], outputs[0])
            self._rows.append(tuple(array.cpu().numpy().astype("uint8") for array in arrays))

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        rows, self._rows = self._rows, []
        if not rows:
            return
        folder = Path(trainer.default_root_dir) / "pictures"
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"epoch_{trainer.current_epoch:04d}.png"
        grid = prediction_grid(rows, pl_module.spec)
        cv2.imwrite(str(path), cv2.cvtColor(grid, cv2.COLOR_RGB2BGR))
        for logger in trainer.loggers:
            if hasattr(logger, "log_image"):
                images, masks = _with_masks(rows, pl_module.spec)
                logger.log_image("val/predictions", images, step=trainer.global_step, masks=masks)


def _with_masks(rows: list[tuple[Any, Any, Any]], spec: DatasetSpec) -> tuple[list[Any], list[dict[str, Any]]]:
    """(images, masks of label and prediction on each) as W&B shows them: a viewer turns each mask on and off."""
    names = {**dict(enumerate(spec.classes)), IGNORE_INDEX: "ignored"}
    images, masks = [], []
    for image, label, prediction in rows:
        images.append(cv2.resize(image, label.shape[::-1], interpolation=cv2.INTER_AREA))
        pair = {"label": label, "prediction": prediction}
        masks.append({kind: {"mask_data": mask, "class_labels": names} for kind, mask in pair.items()})
    return images, masks


class LastCheckpoint(ModelCheckpoint):
    """``checkpoints/last.ckpt`` of the run's folder, after every epoch: what ``resume=last`` goes on from.

    Lightning writes a checkpoint to a temporary file first, so a run that dies leaves the former one whole.
    """

    def __init__(self) -> None:
        super().__init__(filename="last", every_n_epochs=1, save_on_train_epoch_end=True, enable_version_counter=False)

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        self.dirpath = str(Path(trainer.default_root_dir) / "checkpoints")
        super().setup(trainer, pl_module, stage)


class BestCheckpoint(ModelCheckpoint):
    """``checkpoints/best.ckpt`` of the run's folder: the evaluation with the highest ``val/miou``."""

    def __init__(self) -> None:
        super().__init__(
            filename="best", monitor="val/miou", mode="max", save_on_train_epoch_end=False, enable_version_counter=False
        )

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        # Lightning forgets the best score when the folder has moved; the best checkpoint has moved with it.
        def moved(path: str) -> str:
            return str(Path(self.dirpath) / Path(path).name) if path else path

        paths = {key: moved(state_dict[key]) for key in ("best_model_path", "kth_best_model_path", "last_model_path")}
        best = {moved(path): score for path, score in state_dict["best_k_models"].items()}
        super().load_state_dict({**state_dict, **paths, "best_k_models": best, "dirpath": self.dirpath})

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        self.dirpath = str(Path(trainer.default_root_dir) / "checkpoints")
        super().setup(trainer, pl_module, stage)
