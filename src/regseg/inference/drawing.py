"""Class indices as pictures."""

from __future__ import annotations

import cv2
import numpy as np

from regseg.data.datasets.spec import DatasetSpec
from regseg.data.legend import legend

_NARROWEST = 300  # pixels; the names in a narrower legend would be illegible
_WIDTH_PER_SCALE = 1024  # pixels; up to this picture width the legend has its smallest size


def overlay(image: np.ndarray, labels: np.ndarray, spec: DatasetSpec, opacity: float = 0.5) -> np.ndarray:
    """Draw the classes' colours over the image.

    Args:
        image: (H, W, 3) uint8 RGB.
        labels: (H, W) uint8 class indices; pixels without a class show only the image.
        spec: the classes.
        opacity: opacity of the colours, from 0 to 1.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    mixed = cv2.addWeighted(spec.colorize(labels), opacity, image, 1 - opacity, 0.0)
    unlabelled = labels >= spec.num_classes
    return np.where(unlabelled[..., None], image, mixed) if unlabelled.any() else mixed


def with_legend(picture: np.ndarray, labels: np.ndarray, spec: DatasetSpec) -> np.ndarray:
    """Add a legend below a picture, with the classes that occur in it.

    Args:
        picture: (H, W, 3) uint8 RGB.
        labels: (H, W) uint8 class indices.
        spec: the classes.

    Returns:
        (H + legend, max(W, 300), 3) uint8 RGB.
    """
    height, width = picture.shape[:2]
    counts = cv2.calcHist([labels], [0], None, [256], [0, 256]).ravel()[: spec.num_classes]
    scale = max(1, round(width / _WIDTH_PER_SCALE))
    strip = legend(spec, max(width, _NARROWEST), only=np.flatnonzero(counts).tolist(), scale=scale)
    wide = np.full((height, strip.shape[1], 3), 255, np.uint8)
    wide[:, :width] = picture
    return np.vstack([wide, strip])
