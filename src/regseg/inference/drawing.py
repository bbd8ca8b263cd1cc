"""Drawing predicted classes over an image."""

from __future__ import annotations

import cv2
import numpy as np

from regseg.data.datasets.spec import DatasetSpec


def overlay(image: np.ndarray, labels: np.ndarray, spec: DatasetSpec) -> np.ndarray:
    """Blend an image (H, W, 3) uint8 RGB with the colours of its classes (H, W) uint8; return the same shape."""
    return cv2.addWeighted(image, 0.5, spec.colorize(labels), 0.5, 0)
