"""Colour augmentation: RandAug (Sec. 4.2) and the colour jitter of the ablation tables, as albumentations transforms.

The operations on images are in `regseg.data.augment.pil_ops`; this module samples the operations and their magnitudes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import albumentations as A
import numpy as np

from regseg.data.augment.pil_ops import autocontrast, brightness, color, contrast, equalize, rotate, sharpness
from regseg.data.datasets.spec import IGNORE_INDEX
from regseg.errors import check_number

ENHANCEMENTS = {"color": color, "contrast": contrast, "brightness": brightness, "sharpness": sharpness}

# Values at magnitude 1; they are proportional to the magnitude.
LARGEST_ANGLE = 30.0  # degrees
LARGEST_CHANGE = 0.9  # difference of an enhancement factor from 1


class Autocontrast(A.ImageOnlyTransform):
    """Applies `autocontrast` to an image (H, W, 3) uint8."""

    def apply(self, img: np.ndarray, **params: Any) -> np.ndarray:
        """Transform an image (H, W, 3) uint8."""
        return autocontrast(img)


class Equalize(A.ImageOnlyTransform):
    """Applies `equalize` to an image (H, W, 3) uint8."""

    def apply(self, img: np.ndarray, **params: Any) -> np.ndarray:
        """Transform an image (H, W, 3) uint8."""
        return equalize(img)


class Enhance(A.ImageOnlyTransform):
    """Applies one of `ENHANCEMENTS` to an image (H, W, 3) uint8, with a random factor.

    Args:
        name: a key of `ENHANCEMENTS`.
        change: largest difference of the factor from 1.
        anywhere: sample the factor uniformly from 1 - ``change`` to 1 + ``change``; otherwise it is one of these two.
        p: probability of the transform.
    """

    def __init__(self, name: str, change: float, anywhere: bool = False, p: float = 1.0) -> None:
        super().__init__(p=p)
        self.name, self.change, self.anywhere = name, change, anywhere

    def get_params(self) -> dict[str, Any]:
        """Sample the factor."""
        share = self.py_random.uniform(-1, 1) if self.anywhere else self.py_random.choice((-1, 1))
        return {"factor": 1 + share * self.change}

    def apply(self, img: np.ndarray, factor: float, **params: Any) -> np.ndarray:
        """Transform an image (H, W, 3) uint8."""
        return ENHANCEMENTS[self.name](img, factor)


class Rotate(A.DualTransform):
    """Rotates an image (H, W, 3) uint8 bilinearly, and its label (H, W) uint8 by nearest neighbour.

    Args:
        degrees: angle; both directions have the same probability.
        fill: colour of the uncovered corners; in the label they are `IGNORE_INDEX`.
        p: probability of the transform.
    """

    def __init__(self, degrees: float, fill: Sequence[int], p: float = 1.0) -> None:
        super().__init__(p=p)
        self.degrees, self.fill = degrees, fill

    def get_params(self) -> dict[str, Any]:
        """Sample the angle."""
        return {"angle": self.degrees * self.py_random.choice((-1, 1))}

    def apply(self, img: np.ndarray, angle: float, **params: Any) -> np.ndarray:
        """Rotate an image (H, W, 3) uint8."""
        return rotate(img, angle, self.fill)

    def apply_to_mask(self, mask: np.ndarray, angle: float, **params: Any) -> np.ndarray:
        """Rotate a label (H, W) uint8."""
        return rotate(mask, angle, IGNORE_INDEX, nearest=True)


def rand_augment(fill: Sequence[int], operations: int = 2, magnitude: float = 0.2) -> A.RandomOrder:
    """Return the reduced RandAug of Sec. 4.2: distinct random operations out of seven, in random order.

    As in the author's release, the angle is ``magnitude`` times 30 degrees and the enhancement factors differ from 1 by
    ``magnitude`` times 0.9, with random signs. Autocontrast and equalize have no magnitude.

    Args:
        fill: colour of the corners that a rotation uncovers.
        operations: number of operations, 1 to 7.
        magnitude: 0 to 1.

    Raises:
        InputError: a number is out of its range.
    """
    check_number("data.augment.randaug.operations", operations, lowest=1, highest=7, integer=True)
    check_number("data.augment.randaug.magnitude", magnitude, highest=1)
    enhancements = [Enhance(name, magnitude * LARGEST_CHANGE) for name in ENHANCEMENTS]
    seven = [Autocontrast(p=1.0), Equalize(p=1.0), Rotate(magnitude * LARGEST_ANGLE, fill), *enhancements]
    return A.RandomOrder(seven, n=operations)


def color_jitter(brightness: float = 0.3, contrast: float = 0.4, saturation: float = 0.5) -> A.RandomOrder:
    """Return the colour jitter of the ablation tables (3 to 6), as recorded in the logs of the author's runs.

    Brightness, contrast and saturation are always changed, in random order. The hue does not change.

    Args:
        brightness: largest difference of the uniformly distributed factor from 1.
        contrast: likewise.
        saturation: likewise.

    Raises:
        InputError: an argument is not a number from 0 to 1.
    """
    changes = {"brightness": brightness, "contrast": contrast, "saturation": saturation}
    for name, change in changes.items():
        check_number(f"data.augment.jitter.{name}", change, highest=1)
    changes["color"] = changes.pop("saturation")  # the name of this operation in RandAug
    return A.RandomOrder([Enhance(name, change, anywhere=True) for name, change in changes.items()], n=len(changes))
