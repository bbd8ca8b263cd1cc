"""Scores of an evaluation, all from one integer confusion matrix."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torchmetrics import Metric

from regseg.data.datasets.spec import IGNORE_INDEX, DatasetSpec


class ConfusionMatrix(Metric):
    """An accumulator of (num_classes, num_classes) int64 counts, rows the label, columns the prediction.

    `torchmetrics.Metric` sums the counts over the processes of a distributed run. Its own
    `MulticlassConfusionMatrix` is not used because it refuses a dataset with a single class.

    Args:
        num_classes: number of classes, from 1 up.
    """

    full_state_update = False

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.num_classes = num_classes
        counts = torch.zeros(num_classes, num_classes, dtype=torch.int64)
        self.add_state("counts", counts, dist_reduce_fx="sum")

    def update(self, predictions: Tensor, labels: Tensor) -> None:
        """Count the pixels of integer class indices of equal shape; pixels with an ignored label do not count."""
        cells = self.num_classes**2
        codes = labels.long() * self.num_classes + predictions
        codes = torch.where(labels == IGNORE_INDEX, cells, codes).flatten()  # the ignored pixels get the last bin
        self.counts += torch.bincount(codes, minlength=cells + 1)[:cells].view_as(self.counts)

    def compute(self) -> Tensor:
        """Return the counts, summed over all processes."""
        return self.counts


@dataclass(frozen=True)
class Scores:
    """Fractions in [0, 1]; NaN where nothing was there to score.

    The means are over classes that occur in labels or predictions, as in the official Cityscapes evaluator;
    torchmetrics' own mean IoU would count an absent class as 0.

    Attributes:
        miou: mean IoU.
        miou_reduced: mean IoU without the classes that the dataset leaves out (Sec. 4.3).
        accuracy: share of the labelled pixels that are right.
        iou: class name -> IoU; NaN for an absent class.
    """

    miou: float
    miou_reduced: float
    accuracy: float
    iou: dict[str, float]

    @classmethod
    def from_confusion(cls, matrix: Tensor, spec: DatasetSpec) -> Scores:
        """Scores of a (C, C) integer matrix, rows the label, columns the prediction.

        torchmetrics turns a (1, 1) matrix into a scalar, which is accepted too.
        """
        matrix = matrix.cpu().double()  # in this order: Apple's GPUs have no float64
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
        """Classes that occur neither in labels nor in predictions."""
        return [name for name, value in self.iou.items() if value != value]

    def metrics(self, prefix: str = "val/") -> dict[str, float]:
        """Flat, by the names that logs and files use: ``val/miou``, ``val/iou/<class>``, …"""
        values = {"miou": self.miou, "miou_reduced": self.miou_reduced, "accuracy": self.accuracy}
        values |= {f"iou/{name}": value for name, value in self.iou.items()}
        return {prefix + name: value for name, value in values.items()}

    @staticmethod
    def names(spec: DatasetSpec, prefix: str = "val/") -> list[str]:
        """The names that `metrics` gives, known before any evaluation."""
        return [prefix + name for name in ("miou", "miou_reduced", "accuracy", *(f"iou/{c}" for c in spec.classes))]

    @classmethod
    def from_metrics(cls, metrics: Mapping[str, float | None], prefix: str = "val/") -> Scores:
        """The inverse of `metrics`; None, as JSON holds it, is NaN."""
        iou_prefix = prefix + "iou/"
        values = {name: math.nan if value is None else float(value) for name, value in metrics.items()}
        return cls(
            *(values[prefix + name] for name in ("miou", "miou_reduced", "accuracy")),
            iou={name.removeprefix(iou_prefix): v for name, v in values.items() if name.startswith(iou_prefix)},
        )
