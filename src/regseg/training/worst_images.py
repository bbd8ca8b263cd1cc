"""The images of an evaluation on which a network does worst."""

from __future__ import annotations

import heapq
from pathlib import Path
from typing import Any, NamedTuple, cast

import lightning as L
import numpy as np

from regseg.data.datasets.spec import IGNORE_INDEX, DatasetSpec
from regseg.data.io import encode_png
from regseg.errors import check_number
from regseg.system.atomic import write_bytes, write_text
from regseg.training.pictures import prediction_grid
from regseg.training.threaded_evaluation import PREDICTION


class Scored(NamedTuple):
    """One evaluated image, ordered by how bad it is: the worst is the greatest.

    Attributes:
        badness: minus its mean IoU.
        name: the image file.
        image: (H, W, 3) uint8 RGB.
        label: (h, w) uint8 class indices.
        prediction: (h, w) uint8 class indices.
    """

    badness: float
    name: str
    image: np.ndarray
    label: np.ndarray
    prediction: np.ndarray


class WorstImages(L.Callback):
    """Save ``worst.png`` and ``worst.csv``: the ``count`` images of an evaluation with the lowest mean IoU.

    An image's mean IoU is over the classes that occur in its label or its prediction. Images without any labelled
    pixel do not count. In a distributed evaluation each process keeps its own, and the first one writes the files.

    Args:
        count: number of images.
        folder: folder of the two files.
    """

    def __init__(self, count: int, folder: str | Path) -> None:
        check_number("worst", count, lowest=1, integer=True)
        self.count, self.folder = count, Path(folder)
        self._kept: list[Scored] = []

    def on_validation_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int, *_: Any
    ) -> None:
        """Score the images of a batch and keep the worst."""
        maps = batch["image"], batch["label"], outputs[PREDICTION]
        for image, label, prediction, name in zip(*maps, batch["name"], strict=True):
            arrays = [array.cpu().numpy().astype(np.uint8) for array in (image, label, prediction)]
            score = mean_iou(arrays[1], arrays[2], cast(DatasetSpec, pl_module.spec).num_classes)
            if score is None:
                continue
            scored = Scored(-score, name, *arrays)
            # A heap whose first element is the best of those kept. Names differ, so that arrays are never compared.
            if len(self._kept) < self.count:
                heapq.heappush(self._kept, scored)
            else:
                heapq.heappushpop(self._kept, scored)

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Write the two files."""
        kept, self._kept = sorted(self._kept, reverse=True), []
        if not kept or not trainer.is_global_zero:
            return
        rows = [(scored.image, scored.label, scored.prediction) for scored in kept]
        captions = [f"{100 * -scored.badness:.2f} % mIoU  {Path(scored.name).name}" for scored in kept]
        grid = prediction_grid(rows, cast(DatasetSpec, pl_module.spec), captions)
        write_bytes(self.folder / "worst.png", encode_png(grid))
        lines = [f'{-scored.badness:.6f},"{scored.name.replace(chr(34), 2 * chr(34))}"\n' for scored in kept]
        write_text(self.folder / "worst.csv", "miou,image\n" + "".join(lines))


def mean_iou(label: np.ndarray, prediction: np.ndarray, num_classes: int) -> float | None:
    """Return the mean IoU of an image over the classes in label or prediction; None without a labelled pixel.

    Args:
        label: (h, w) uint8 class indices, 255 ignored.
        prediction: (h, w) uint8 class indices.
        num_classes: number of classes.
    """
    labelled = label != IGNORE_INDEX
    if not labelled.any():
        return None
    label, prediction = label[labelled], prediction[labelled]
    hits = np.bincount(label[label == prediction], minlength=num_classes)
    union = np.bincount(label, minlength=num_classes) + np.bincount(prediction, minlength=num_classes) - hits
    present = union > 0
    return float((hits[present] / union[present]).mean())
