"""Flip and multi-scale testing."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class TestTimeAugmentation(nn.Module):
    """Average a network's class probabilities over scales of the image, and over its mirror image.

    Args:
        network: (B, 3, H, W) float to logits (B, C, H, W).
        scales: factors on height and width.
        flip: whether to average with the mirrored image at every scale.
    """

    def __init__(self, network: nn.Module, scales: Sequence[float] = (1.0,), flip: bool = False) -> None:
        super().__init__()
        self.network, self.scales, self.flip = network, tuple(scales), flip

    def forward(self, images: Tensor) -> Tensor:
        """Map (B, 3, H, W) float to mean class probabilities (B, C, H, W)."""
        total = torch.zeros((), device=images.device)
        for scale in self.scales:
            size = [max(1, round(side * scale)) for side in images.shape[2:]]
            scaled = images if scale == 1 else _resize(images, size)
            for mirrored in (False, True) if self.flip else (False,):
                logits = self.network(scaled.flip(3) if mirrored else scaled)
                probabilities = torch.softmax(logits.float(), 1)
                total = total + _resize(probabilities.flip(3) if mirrored else probabilities, images.shape[2:])
        return total / (len(self.scales) * (1 + self.flip))


def _resize(maps: Tensor, size: Sequence[int]) -> Tensor:
    if maps.shape[2:] == torch.Size(size):
        return maps
    return F.interpolate(maps, list(size), mode="bilinear", align_corners=False)
