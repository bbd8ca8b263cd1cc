"""What happens to an image and its label between the file and the batch."""

from __future__ import annotations

import os
from collections.abc import Sequence

import cv2
import numpy as np
import torch

from regseg.data.spec import IGNORE_INDEX
from regseg.errors import InputError

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # else albumentations asks the network for a newer version
import albumentations as A

# ImageNet's statistics on a scale of 0 to 255, and its mean colour for pads (Sec. 4.2 as the author's release runs it).
MEAN = (123.675, 116.28, 103.53)
STD = (58.395, 57.12, 57.375)
FILL = (123, 116, 103)


def train_transform(crop_size: Sequence[int], short_side: Sequence[int], flip: float = 0.5) -> A.Compose:
    """Random scale, crop and flip of Sec. 4.2, on uint8 arrays.

    The short side becomes an integer uniform in ``short_side``, both ends included. A scaled image smaller than the
    crop is padded to it at a random offset by the mean colour and ``IGNORE_INDEX``. The author pads before the crop on
    CamVid and after it on Cityscapes; where the image comes to lie is distributed alike.

    Args:
        crop_size: (height, width) of the result, in pixels.
        short_side: (smallest, largest) length of the short side, in pixels.
        flip: probability of a horizontal flip.

    Raises:
        InputError: a size is not a pair of positive integers in order, or ``flip`` no probability.
    """
    height, width = _pair("data.crop_size", crop_size)
    smallest, largest = _pair("data.short_side", short_side)
    if smallest > largest:
        raise InputError(f"data.short_side=[{smallest},{largest}] is out of order; give the smaller length first.")
    if not isinstance(flip, (int, float)) or not 0 <= flip <= 1:
        raise InputError(f"data.augment.flip={flip} is not a probability; give a number from 0 to 1.")
    return A.Compose(
        [
            # Area averaging when shrinking: the author's Pillow bilinear is antialiased, OpenCV's is not.
            # OpenCV's plain nearest neighbour takes a pixel's corner: it moves labels by up to half a pixel.
            A.SmallestMaxSize(
                max_size=list(range(smallest, largest + 1)),
                area_for_downscale="image",
                mask_interpolation=cv2.INTER_NEAREST_EXACT,
            ),
            A.RandomCrop(height, width, pad_if_needed=True, pad_position="random", fill=FILL, fill_mask=IGNORE_INDEX),
            A.HorizontalFlip(p=flip),
        ]
    )


def seed_transform(transform: A.BasicTransform | A.BaseCompose, rng: np.random.Generator) -> None:
    """Give a pipeline and every step in it a random stream of its own.

    ``Compose.set_random_seed`` gives one seed to all: each step then draws the same first number, so that an image is
    flipped exactly when its crop lies in the upper half.
    """
    transform.set_random_seed(int(rng.integers(2**32)))
    for step in getattr(transform, "transforms", ()):
        seed_transform(step, rng)


def resize_short_side(image: np.ndarray, short_side: int | None) -> np.ndarray:
    """An image (H, W, C) uint8 with its short side at ``short_side`` pixels; None leaves it as it is."""
    height, width = image.shape[:2]
    if short_side is None or short_side == min(height, width):
        return image
    scale = short_side / min(height, width)
    size = (round(width * scale), round(height * scale))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)


def normalize(images: torch.Tensor) -> torch.Tensor:
    """uint8 (B, H, W, 3) RGB to float32 (B, 3, H, W) by ImageNet's mean and deviation, on the batch's own device.

    The result is a view in channels-last memory: no transposition is done.
    """
    mean, std = (torch.tensor(values, device=images.device) for values in (MEAN, STD))
    return ((images.float() - mean) / std).permute(0, 3, 1, 2)


def _pair(name: str, values: Sequence[int]) -> tuple[int, int]:
    fits = isinstance(values, Sequence) and len(values) == 2
    if not fits or not all(type(value) is int and value > 0 for value in values):
        raise InputError(f"{name}={values} is not a pair of positive integers; write {name}=[240,320].")
    return values[0], values[1]
