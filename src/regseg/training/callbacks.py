"""What happens around the training loop: when to evaluate, seeding, and pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import lightning as L
from lightning.pytorch.callbacks import Checkpoint, Timer

from regseg.data.datasets.spec import IGNORE_INDEX, DatasetSpec
from regseg.data.sampling.epochs import stream
from regseg.errors import check_number
from regseg.system.atomic import write_whole
from regseg.training.pictures import prediction_grid


class Evaluation(Checkpoint):
    """Evaluate after epoch 0, every ``every``-th epoch, the ``last`` ones and where training ends; epochs count from 0.

    With every=25 and 500 epochs these are 0, 24, 49, … and the last ones, as in the author's runs. Training may also
    end by max_steps, max_time or early stopping, in the middle of an epoch too; the final weights are evaluated then.

    It derives from Lightning's `Checkpoint` for its place in the order of callbacks alone: at an epoch's end these come
    after `EarlyStopping`, and `RunRecord`, ``last.ckpt`` and ``best.ckpt`` come after this one.
    """

    def __init__(self, every: int = 25, last: int = 15) -> None:
        check_number("callbacks.evaluation.every", every, lowest=1, integer=True)
        check_number("callbacks.evaluation.last", last, integer=True)
        self.every, self.last = every, last
        self._evaluated = -1  # the optimizer step of the last evaluation

    def is_due(self, epoch: int, max_epochs: int | None) -> bool:
        from_the_end = max_epochs is not None and epoch >= max_epochs - max(self.last, 1)
        return epoch == 0 or (epoch + 1) % self.every == 0 or from_the_end

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        # Lightning evaluates when (epoch + 1) % check_val_every_n_epoch is 0; there is no hook for other schedules.
        due = self.is_due(trainer.current_epoch, trainer.max_epochs)
        trainer.check_val_every_n_epoch = 1 if due else trainer.current_epoch + 2

    def on_fit_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        for callback in trainer.early_stopping_callbacks:
            if callback.monitor.startswith("val/"):
                # Otherwise an epoch without an evaluation would count as one without an improvement.
                callback._check_on_train_epoch_end = False

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._evaluated = trainer.global_step

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if ended_by(trainer) is not None and self._evaluated != trainer.global_step:
            trainer.validating = True
            trainer.fit_loop.epoch_loop.val_loop.run()
            trainer.training = True


def ended_by(trainer: L.Trainer) -> str | None:
    """What ends the training at the end of this epoch, or has ended it; None where it continues.

    Returns:
        ``max_epochs``, ``max_steps``, ``max_time`` or ``early_stopping``; the last one stands for every callback that
        sets ``trainer.should_stop``.
    """
    loop = trainer.fit_loop
    if trainer.max_epochs not in (None, -1) and loop.epoch_progress.current.processed >= trainer.max_epochs:
        return "max_epochs"
    if trainer.max_steps != -1 and trainer.global_step >= trainer.max_steps:
        return "max_steps"
    if not trainer.should_stop or not loop._can_stop_early:  # min_epochs and min_steps come first
        return None
    timers = [callback for callback in trainer.callbacks if isinstance(callback, Timer)]
    left = [timer.time_remaining() for timer in timers]
    return "max_time" if any(seconds is not None and seconds <= 0 for seconds in left) else "early_stopping"


class SeedEveryEpoch(L.Callback):
    """Seed all global generators from (seed, epoch) when an epoch starts (Sec. 4.3).

    This covers what the model draws, dropout say. Image order and augmentation have streams of their own.
    """

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        L.seed_everything(int(stream(self.seed, trainer.current_epoch).integers(2**31)), verbose=False)


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
        path = folder / f"epoch_{trainer.current_epoch:04d}.png"
        grid = prediction_grid(rows, pl_module.spec)
        picture = cv2.imencode(".png", cv2.cvtColor(grid, cv2.COLOR_RGB2BGR))[1].tobytes()
        write_whole(path, lambda file: file.write(picture))
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
