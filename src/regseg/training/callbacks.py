"""What happens around the training loop: when to evaluate, seeding, and pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import lightning as L

from regseg.atomic import write_whole
from regseg.data.sampling import stream
from regseg.data.spec import IGNORE_INDEX, DatasetSpec
from regseg.errors import check_number
from regseg.training.pictures import prediction_grid


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
