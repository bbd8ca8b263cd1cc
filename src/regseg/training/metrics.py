"""The scores of an evaluation, all computed from one integer confusion matrix."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields

import torch
from torch import Tensor
from torch.nn import functional as F
from torchmetrics import Metric

from regseg.data.datasets.spec import IGNORE_INDEX, DatasetSpec


class ConfusionMatrix(Metric):
    """Accumulates (num_classes, num_classes) int64 counts; rows are labels, columns are predictions.

    `torchmetrics.Metric` sums the counts over the processes of a distributed run. `MulticlassConfusionMatrix` is not
    used because it refuses datasets with a single class.

    Args:
        num_classes: Number of classes, at least 1.
    """

    full_state_update = False
    counts: Tensor

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.num_classes = num_classes
        counts = torch.zeros(num_classes, num_classes, dtype=torch.int64)
        self.add_state("counts", counts, dist_reduce_fx="sum")

    def update(self, predictions: Tensor, labels: Tensor) -> None:
        """Add the pixels of integer class indices of equal shape, except those with an ignored label."""
        # The ignored label, 255, is counted in extra rows after those of the classes; these rows are cut off.
        codes = labels.int() * self.num_classes + predictions.int()
        counts = torch.bincount(codes.flatten(), minlength=(IGNORE_INDEX + 1) * self.num_classes)
        self.counts += counts[: self.num_classes**2].view_as(self.counts)

    def compute(self) -> Tensor:
        """Return the counts, summed over all processes."""
        return self.counts


class PixelLoss:
    """Sums the cross-entropy over labelled pixels.

    It keeps Python numbers, because precisions such as 16-true convert the tensors of a module, metrics included.
    """

    def __init__(self) -> None:
        self._total, self._pixels = 0.0, 0

    def update(self, logits: Tensor, labels: Tensor) -> None:
        """Add logits (B, C, H, W) float32 and labels (B, H, W) int64 of one batch."""
        self._total += float(F.cross_entropy(logits, labels, ignore_index=IGNORE_INDEX, reduction="sum"))
        self._pixels += int((labels != IGNORE_INDEX).sum())

    def sums(self) -> Tensor:
        """Return the sum and the number of pixels as (2,) float64, and start again."""
        sums = torch.tensor([self._total, self._pixels], dtype=torch.float64)
        self._total, self._pixels = 0.0, 0
        return sums


@dataclass(frozen=True)
class Scores:
    """Scores as fractions in [0, 1]; NaN if there is nothing to score.

    Means are over the classes that occur in labels or predictions, as in the official Cityscapes evaluator. The mean
    IoU of torchmetrics would count an absent class as 0.

    Attributes:
        miou: Mean IoU.
        miou_reduced: Mean IoU without the dataset's excluded classes (Sec. 4.3).
        accuracy: Share of correct pixels among the labelled ones.
        iou: Class name -> IoU; NaN for an absent class.
    """

    miou: float
    miou_reduced: float
    accuracy: float
    iou: dict[str, float]

    @classmethod
    def from_confusion(cls, matrix: Tensor, spec: DatasetSpec) -> Scores:
        """Compute the scores of a (C, C) integer matrix with labels as rows and predictions as columns.

        A scalar is accepted for one class, because torchmetrics squeezes a (1, 1) matrix.

        Args:
            matrix: The counts.
            spec: The dataset's classes.

        Returns:
            The scores.
        """
        matrix = matrix.cpu().double()  # CPU first: Apple's GPUs have no float64
        matrix = matrix.reshape(spec.num_classes, spec.num_classes)
        hits = matrix.diagonal()
        iou = hits / (matrix.sum(0) + matrix.sum(1) - hits)  # 0/0 = NaN for an absent class
        return cls(
            miou=iou.nanmean().item(),
            miou_reduced=iou[spec.kept_in_reduced].nanmean().item(),
            accuracy=(hits.sum() / matrix.sum()).item(),
            iou=dict(zip(spec.classes, iou.tolist(), strict=True)),
        )

    @property
    def absent(self) -> list[str]:
        """The classes that occur neither in labels nor in predictions."""
        return [name for name, value in self.iou.items() if value != value]

    def metrics(self, prefix: str = "val/") -> dict[str, float]:
        """Return the scores by the names in logs and files, such as ``val/miou`` and ``val/iou/<class>``."""
        values = {name: getattr(self, name) for name in _NUMBERS}
        values |= {f"iou/{name}": value for name, value in self.iou.items()}
        return {prefix + name: value for name, value in values.items()}

    @staticmethod
    def names(spec: DatasetSpec) -> list[str]:
        """Return the names of `metrics`, which are known before any evaluation."""
        return [f"val/{name}" for name in (*_NUMBERS, *(f"iou/{c}" for c in spec.classes))]

    @classmethod
    def from_metrics(cls, metrics: Mapping[str, float | None]) -> Scores:
        """Return the inverse of `metrics`; None, which JSON stores for NaN, becomes NaN."""
        values = {name: math.nan if value is None else float(value) for name, value in metrics.items()}
        numbers = {name: values[f"val/{name}"] for name in _NUMBERS}
        iou = {name.removeprefix("val/iou/"): v for name, v in values.items() if name.startswith("val/iou/")}
        return cls(**numbers, iou=iou)


_NUMBERS = tuple(field.name for field in fields(Scores) if field.name != "iou")  # the scores that are not per class
