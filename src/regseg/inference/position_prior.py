"""A baseline that ignores the image; every trained network should be better."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from regseg.data.datasets.layout import list_samples
from regseg.data.io import read_label

if TYPE_CHECKING:
    from regseg.data.datamodule import SegmentationDataModule


class PositionPrior(nn.Module):
    """Predicts at every position the class that is most frequent there in the training labels.

    Args:
        labels: (H, W) uint8 class indices of the training images, ignored pixels at or above ``num_classes``.
        num_classes: number of classes.
        size: (height, width) at which the labels are counted; other images get the map resized by nearest neighbour.
    """

    logits: Tensor

    def __init__(self, labels: Iterable[np.ndarray], num_classes: int, size: tuple[int, int]) -> None:
        super().__init__()
        counts = np.zeros((num_classes, *size), np.int64)
        for label in labels:
            label = cv2.resize(label, size[::-1], interpolation=cv2.INTER_NEAREST)
            for index in range(num_classes):
                counts[index] += label == index
        one_hot = F.one_hot(torch.from_numpy(counts).argmax(0), num_classes).permute(2, 0, 1).float()
        self.register_buffer("logits", one_hot[None])  # (1, C, H, W)

    def forward(self, images: Tensor) -> Tensor:
        """Map (B, 3, H, W) to logits (B, C, H, W)."""
        return F.interpolate(self.logits, images.shape[2:], mode="nearest").expand(len(images), -1, -1, -1)


def position_prior(datamodule: SegmentationDataModule) -> PositionPrior:
    """Return the baseline for a dataset, from the labels of its training split."""
    spec, samples = datamodule.spec, list_samples(datamodule.dataset, datamodule.train_split)
    first = read_label(samples[0].label, spec)
    return PositionPrior((read_label(sample.label, spec) for sample in samples), spec.num_classes, first.shape)
