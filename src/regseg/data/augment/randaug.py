"""Colour augmentation: RandAug (Sec. 4.2) and the colour jitter of the ablation tables, as albumentations transforms.

What they do to an image is in `regseg.data.augment.pil_ops`; here is what they draw.
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

# Of magnitude 1; smaller ones are in proportion.
LARGEST_ANGLE = 30.0  # degrees
LARGEST_CHANGE = 0.9  # of an enhancement factor


class Autocontrast(A.ImageOnlyTransform):
    """`autocontrast` of an image (H, W, 3) uint8."""

    def apply(self, img: np.ndarray, **params: Any) -> np.ndarray:
        return autocontrast(img)


class Equalize(A.ImageOnlyTransform):
    """`equalize` of an image (H, W, 3) uint8."""

    def apply(self, img: np.ndarray, **params: Any) -> np.ndarray:
        return equalize(img)


class Enhance(A.ImageOnlyTransform):
    """One of `ENHANCEMENTS` on an image (H, W, 3) uint8, by a factor about 1.

    Args:
        name: a key of `ENHANCEMENTS`.
        change: the factor's distance from 1.
        anywhere: draw the factor uniformly between 1 - ``change`` and 1 + ``change``, instead of one of the two.
        p: probability of the transform.
    """

    def __init__(self, name: str, change: float, anywhere: bool = False, p: float = 1.0) -> None:
        super().__init__(p=p)
        self.name, self.change, self.anywhere = name, change, anywhere

    def get_params(self) -> dict[str, Any]:
        share = self.py_random.uniform(-1, 1) if self.anywhere else self.py_random.choice((-1, 1))
        return {"factor": 1 + share * self.change}

    def apply(self, img: np.ndarray, factor: float, **params: Any) -> np.ndarray:
        return ENHANCEMENTS[self.name](img, factor)


class Rotate(A.DualTransform):
    """Turn an image (H, W, 3) uint8, bilinearly, and its label (H, W) uint8, by nearest neighbour.

    Args:
        degrees: either way, with equal probability.
        fill: colour of the corners that open; the label's are `IGNORE_INDEX`.
        p: probability of the transform.
    """

    def __init__(self, degrees: float, fill: Sequence[int], p: float = 1.0) -> None:
        super().__init__(p=p)
        self.degrees, self.fill = degrees, fill

    def get_params(self) -> dict[str, Any]:
        return {"angle": self.degrees * self.py_random.choice((-1, 1))}

    def apply(self, img: np.ndarray, angle: float, **params: Any) -> np.ndarray:
        return rotate(img, angle, self.fill)

    def apply_to_mask(self, mask: np.ndarray, angle: float, **params: Any) -> np.ndarray:
        return rotate(mask, angle, IGNORE_INDEX, nearest=True)


def rand_augment(fill: Sequence[int], operations: int = 2, magnitude: float = 0.2) -> A.RandomOrder:
    """The reduced RandAug of Sec. 4.2: distinct operations of its seven, uniformly chosen, in random order.

    Rotation is by ``magnitude`` of 30 degrees, the enhancement factors differ from 1 by ``magnitude`` of 0.9, the signs
    random: so in the author's release. Autocontrast and equalize have no magnitude.

    Args:
        fill: colour of the corners that a rotation opens.
        operations: how many, 1 to 7.
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
    """Brightness, contrast and saturation, always, in random order, by factors uniform in 1 ± the argument.

    The ablation tables (3 to 6) were trained with it, by the logs of the author's runs; hue stays.

    Raises:
        InputError: an argument is no number from 0 to 1.
    """
    changes = {"brightness": brightness, "contrast": contrast, "saturation": saturation}
    for name, change in changes.items():
        check_number(f"data.augment.jitter.{name}", change, highest=1)
    changes["color"] = changes.pop("saturation")  # RandAug's name of the same operation
    return A.RandomOrder([Enhance(name, change, anywhere=True) for name, change in changes.items()], n=len(changes))
