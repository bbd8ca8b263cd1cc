"""A runtime in place of a network, for evaluation."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from regseg.inference.predictor import at_size
from regseg.inference.runtimes import Runtime


class RuntimeNetwork(nn.Module):
    """Lets `SegmentationTask` evaluate a runtime.

    Args:
        runtime: what computes; the images come from and the labels go to the CPU.
    """

    def __init__(self, runtime: Runtime) -> None:
        super().__init__()
        self.runtime = runtime
        self.config = {"num_classes": runtime.spec.num_classes}

    def forward(self, images: Tensor, size: tuple[int, int]) -> Tensor:
        """Images (B, H, W, 3) uint8 to class indices (B, *size) uint8."""
        batch = np.concatenate([at_size(image, self.runtime.size)[None] for image in images.cpu().numpy()])
        return torch.from_numpy(self.runtime(batch, (size[0], size[1]))).to(images.device)
