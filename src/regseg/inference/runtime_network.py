"""A runtime in place of a network, for evaluation."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from regseg.errors import InputError
from regseg.inference.predictor import at_size
from regseg.inference.runtimes import Runtime


class RuntimeNetwork(nn.Module):
    """Lets `SegmentationTask` evaluate a runtime.

    Args:
        runtime: the runtime that computes labels; images and labels are on the CPU.
    """

    def __init__(self, runtime: Runtime) -> None:
        super().__init__()
        self.runtime = runtime
        self.config = {"num_classes": runtime.spec.num_classes}

    def forward(self, images: Tensor, size: tuple[int, int]) -> Tensor:
        """Map images (B, H, W, 3) uint8 to class indices (B, *size) uint8."""
        labels = [label_at(self.runtime, image, (size[0], size[1])) for image in images.cpu().numpy()]
        return torch.from_numpy(np.stack(labels)).to(images.device)


def label_at(runtime: Runtime, image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Label an image for an evaluation, exactly as every other runtime does.

    Args:
        runtime: the runtime.
        image: (H, W, 3) uint8 RGB.
        size: (height, width) of the labels that the result is compared with.

    Returns:
        (*size) uint8 class indices.

    Raises:
        InputError: the runtime has no logits, which another size needs.
    """
    image = at_size(image, runtime.size)
    if image.shape[:2] != size and not runtime.resizes_logits:
        raise InputError(
            f"The images are {image.shape[0]} pixels high and {image.shape[1]} wide, and their labels {size[0]} and "
            f"{size[1]}, so logits must be resized, which needs more packages for this file: pip install "
            "'regseg[onnx,numba]', or export it with output=logits."
        )
    return runtime(image[None], size)[0]
