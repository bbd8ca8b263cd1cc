"""Losses of Sec. 4.2 over logits (B, C, H, W) and labels (B, H, W) int64; ``loss=NAME`` chooses one.

They are computed in float32 or higher precision, because the sum over a batch's pixels overflows float16.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from regseg.data.datasets.spec import IGNORE_INDEX
from regseg.errors import check_number
from regseg.training.deferred import runs_behind


class CrossEntropy(nn.Module):
    """Mean cross-entropy over the pixels that are not ignored; 0 if all are ignored (the plain mean would be NaN)."""

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        total = F.cross_entropy(_at_least_float32(logits), labels, ignore_index=IGNORE_INDEX, reduction="sum")
        return total / (labels != IGNORE_INDEX).sum().clamp(min=1)


class OHEM(nn.Module):
    """Cross-entropy over hard pixels (online hard example mining, Sec. 4.2).

    The mean of the pixel losses above ``threshold`` if there are more than K = pixels of the batch · ``min_share``,
    else the mean of the K largest. Ignored pixels have loss 0 and count like others.

    Args:
        threshold: cross-entropy above which a pixel is hard.
        min_share: smallest share of all pixels to average over.
    """

    def __init__(self, threshold: float = 0.3, min_share: float = 1 / 16) -> None:
        super().__init__()
        check_number("loss.threshold", threshold)
        check_number("loss.min_share", min_share, highest=1)
        self.threshold, self.min_share = threshold, min_share

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        losses = F.cross_entropy(_at_least_float32(logits), labels, ignore_index=IGNORE_INDEX, reduction="none")
        losses = losses.flatten()
        fewest = int(losses.numel() * self.min_share)
        hard = losses > self.threshold
        count = hard.sum()
        of_hard = torch.where(hard, losses, 0).sum() / count.clamp(min=1)
        if not runs_behind(losses.device) and count > fewest:
            return of_hard  # if reading the count does not wait for a GPU, the sort is avoided
        of_largest = torch.topk(losses, max(fewest, 1), sorted=False).values.mean()
        return torch.where(count > fewest, of_hard, of_largest)


def _at_least_float32(logits: Tensor) -> Tensor:
    return logits.to(torch.promote_types(logits.dtype, torch.float32))
