"""Callbacks of the training loop: when to evaluate, seeding, and pictures of predictions."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import cv2
import lightning as L
from lightning.pytorch.callbacks import Checkpoint, Timer

from regseg.data.datasets.spec import IGNORE_INDEX, DatasetSpec
from regseg.data.io import encode_png
from regseg.data.sampling.epochs import stream
from regseg.errors import check_boolean, check_number
from regseg.system.atomic import write_bytes
from regseg.training.pictures import prediction_grid
from regseg.training.threaded_evaluation import PREDICTION


class Evaluation(Checkpoint):
    """Evaluate after the first epoch, after every ``every``-th, after the ``last`` ones and when training ends.

    With ``every=25`` and 500 epochs these are epochs 0, 24, 49, … (counted from 0) and the last ones, as in the
    author's runs. If training ends by max_steps, max_time or early stopping, the final weights are evaluated too.

    The base class `Checkpoint` only determines the order of callbacks: at the end of an epoch Lightning calls these
    after `EarlyStopping`; `RunRecord`, ``last.ckpt`` and ``best.ckpt`` come after this one.

    Args:
        every: Interval in epochs.
        last: Number of epochs at the end that are all evaluated.
        loss: Whether to compute ``val/loss`` too, which needs the logits at full size.
    """

    def __init__(self, every: int = 25, last: int = 15, *, loss: bool = False) -> None:
        check_number("callbacks.evaluation.every", every, lowest=1, integer=True)
        check_number("callbacks.evaluation.last", last, integer=True)
        check_boolean("callbacks.evaluation.loss", loss)
        self.every, self.last, self.loss = every, last, loss
        self._evaluated = -1  # the optimizer step of the last evaluation
        self._patience: list[int] = []  # of early stopping

    def is_due(self, epoch: int, max_epochs: int | None) -> bool:
        """Return whether to evaluate after ``epoch``, counted from 0."""
        from_the_end = max_epochs is not None and epoch >= max_epochs - max(self.last, 1)
        return epoch == 0 or (epoch + 1) % self.every == 0 or from_the_end

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Make Lightning evaluate after this epoch, or not."""
        # Lightning evaluates if (epoch + 1) % check_val_every_n_epoch is 0; there is no hook for other schedules.
        due = self.is_due(trainer.current_epoch, trainer.max_epochs)
        trainer.check_val_every_n_epoch = 1 if due else trainer.current_epoch + 2

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """Remember the patience of early stopping, which Lightning replaces by that of a checkpoint."""
        self._patience = [callback.patience for callback in trainer.early_stopping_callbacks]

    def on_fit_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Ask the task for the loss, and make early stopping count evaluations instead of epochs."""
        cast(Any, pl_module).with_val_loss = self.loss
        for callback, patience in zip(trainer.early_stopping_callbacks, self._patience, strict=True):
            callback.patience = patience
            if callback.monitor.startswith("val/"):
                # Otherwise an epoch without an evaluation would count as an epoch without improvement.
                callback._check_on_train_epoch_end = False

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Remember which weights were evaluated."""
        if not trainer.sanity_checking:
            self._evaluated = trainer.global_step

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Evaluate the final weights if Lightning has not."""
        if ended_by(trainer) is not None and self._evaluated != trainer.global_step:
            trainer.validating = True
            trainer.fit_loop.epoch_loop.val_loop.run()
            trainer.training = True


def ended_by(trainer: L.Trainer) -> str | None:
    """Return what ends the training at the end of this epoch, or has ended it.

    Args:
        trainer: The Trainer, in or after training.

    Returns:
        ``max_epochs``, ``max_steps``, ``max_time`` or ``early_stopping``, which stands for any callback that sets
        ``trainer.should_stop``; None if training continues.
    """
    loop = trainer.fit_loop
    callbacks: list[L.Callback] = cast(Any, trainer).callbacks
    if trainer.max_epochs not in (None, -1) and cast(Any, loop.epoch_progress.current).processed >= trainer.max_epochs:
        return "max_epochs"
    if trainer.max_steps != -1 and trainer.global_step >= trainer.max_steps:
        return "max_steps"
    if not trainer.should_stop or not loop._can_stop_early:  # min_epochs and min_steps take precedence
        return None
    timers = [callback for callback in callbacks if isinstance(callback, Timer)]
    left = [timer.time_remaining() for timer in timers]
    return "max_time" if any(seconds is not None and seconds <= 0 for seconds in left) else "early_stopping"


class SeedEveryEpoch(L.Callback):
    """Seed all global generators from (seed, epoch) when an epoch starts (Sec. 4.3).

    This makes random layers such as dropout reproducible. Image order and augmentation have separate streams.

    Args:
        seed: The run's seed.
    """

    def __init__(self, seed: int = 0) -> None:
        check_number("callbacks.seed.seed", seed, integer=True)
        self.seed = seed

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Seed the generators."""
        L.seed_everything(int(stream(self.seed, trainer.current_epoch).integers(2**31)), verbose=False)


class Pictures(L.Callback):
    """Save image, label and prediction of a few validation images as ``pictures/epoch_<n>.png`` at each evaluation.

    The images are spread evenly over the split, because neighbours by name often show the same place.

    Args:
        count: Number of images.
        name: Name of the file without suffix; None means that of the epoch.
    """

    def __init__(self, count: int = 4, name: str | None = None) -> None:
        self.count, self.name = count, name
        check_number("callbacks.pictures.count", count, lowest=1, integer=True)
        self._rows: list[tuple[Any, Any, Any]] = []

    def on_validation_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int, *_: Any
    ) -> None:
        """Keep the arrays of a chosen image."""
        (total,) = trainer.num_val_batches if isinstance(trainer.num_val_batches, list) else [trainer.num_val_batches]
        count = int(min(self.count, total))
        wanted = {round((place + 0.5) * total / count - 0.5) for place in range(count)}
        if batch_idx in wanted and trainer.is_global_zero:
            arrays = (batch["image"][0], batch["label"][0], outputs[PREDICTION][0])
            self._rows.append(tuple(array.cpu().numpy().astype("uint8") for array in arrays))

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Write the picture and send it to the loggers."""
        rows, self._rows = self._rows, []
        if not rows or trainer.sanity_checking:
            return
        spec = cast(DatasetSpec, pl_module.spec)
        path = Path(trainer.default_root_dir) / "pictures" / f"{self.name or f'epoch_{trainer.current_epoch:04d}'}.png"
        write_bytes(path, encode_png(prediction_grid(rows, spec)))
        for logger in trainer.loggers:
            if hasattr(logger, "log_image"):
                images, masks = _with_masks(rows, spec)
                logger.log_image("val/predictions", images, step=trainer.global_step - 1, masks=masks)


def _with_masks(rows: list[tuple[Any, Any, Any]], spec: DatasetSpec) -> tuple[list[Any], list[dict[str, Any]]]:
    """Return images and their masks of label and prediction, which a viewer of W&B can switch on and off."""
    names = {**dict(enumerate(spec.classes)), IGNORE_INDEX: "ignored"}
    images, masks = [], []
    for image, label, prediction in rows:
        images.append(cv2.resize(image, label.shape[::-1], interpolation=cv2.INTER_AREA))
        pair = {"label": label, "prediction": prediction}
        masks.append({kind: {"mask_data": mask, "class_labels": names} for kind, mask in pair.items()})
    return images, masks
