"""What happens to an image and its label between the file and the batch."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import albumentations as A
import cv2
import numpy as np
import torch

from regseg.data.randaug import color_jitter, rand_augment
from regseg.data.spec import IGNORE_INDEX
from regseg.errors import InputError, check_options

# ImageNet's statistics on a scale of 0 to 255, and its mean colour for pads (Sec. 4.2 as the author's release runs it).
MEAN = (123.675, 116.28, 103.53)
STD = (58.395, 57.12, 57.375)
FILL = (123, 116, 103)


class CropWithin(A.RandomCrop):
    """A random crop that takes the whole of a side of the image that is shorter than the crop's."""

    def get_params_dependent_on_data(self, params: dict[str, Any], data: dict[str, Any]) -> dict[str, Any]:
        height, width = params["shape"][:2]
        top = self.py_random.randint(0, max(height - self.height, 0))
        left = self.py_random.randint(0, max(width - self.width, 0))
        bottom, right = min(top + self.height, height), min(left + self.width, width)
        return {"crop_coords": (left, top, right, bottom), "pad_params": None}


def train_transform(
    crop_size: Sequence[int],
    short_side: Sequence[int],
    flip: float = 0.5,
    randaug: Mapping[str, Any] | None = None,
    jitter: Mapping[str, Any] | None = None,
) -> A.Compose:
    """Random scale, crop, flip and colours of Sec. 4.2, on uint8 arrays.

    The short side becomes an integer uniform in ``short_side``, both ends included. A scaled image smaller than the
    crop is padded to it at a random offset by the mean colour and ``IGNORE_INDEX``: before the crop, as the author does
    on CamVid, or last where there are colour operations, as he does on Cityscapes, for they would measure the pad.
    Where the image comes to lie is distributed alike.

    Args:
        crop_size: (height, width) of the result, in pixels.
        short_side: (smallest, largest) length of the short side, in pixels.
        flip: probability of a horizontal flip.
        randaug: arguments of `rand_augment` beside the fill; None for no RandAug.
        jitter: arguments of `color_jitter`; None for no jitter.

    Raises:
        InputError: a size is not a pair of positive integers in order, ``flip`` no probability, or an argument of
            ``randaug`` or ``jitter`` wrong.
    """
    height, width = _pair("data.crop_size", crop_size)
    if not isinstance(flip, (int, float)) or not 0 <= flip <= 1:
        raise InputError(f"data.augment.flip={flip} is not a probability; give a number from 0 to 1.")
    scale, mirror = _random_scale(short_side), A.HorizontalFlip(p=flip)
    fill = {"fill": FILL, "fill_mask": IGNORE_INDEX}
    if colours := _colour_operations(randaug, jitter):
        pad = A.PadIfNeeded(height, width, position="random", **fill)
        return A.Compose([scale, CropWithin(height, width), mirror, *colours, pad])
    return A.Compose([scale, A.RandomCrop(height, width, pad_if_needed=True, pad_position="random", **fill), mirror])


def _random_scale(short_side: Sequence[int]) -> A.SmallestMaxSize:
    smallest, largest = _pair("data.short_side", short_side)
    if smallest > largest:
        raise InputError(f"data.short_side=[{smallest},{largest}] is out of order; give the smaller length first.")
    # Area averaging when shrinking: the author's Pillow bilinear is antialiased, OpenCV's is not.
    # OpenCV's plain nearest neighbour takes a pixel's corner: it moves labels by up to half a pixel.
    return A.SmallestMaxSize(
        max_size=list(range(smallest, largest + 1)),
        area_for_downscale="image",
        mask_interpolation=cv2.INTER_NEAREST_EXACT,
    )


def _colour_operations(randaug: Mapping[str, Any] | None, jitter: Mapping[str, Any] | None) -> list[A.BaseCompose]:
    chosen: list[A.BaseCompose] = []
    if randaug is not None:
        chosen.append(rand_augment(FILL, **check_options("data.augment.randaug", randaug, rand_augment, FILL)))
    if jitter is not None:
        chosen.append(color_jitter(**check_options("data.augment.jitter", jitter, color_jitter)))
    return chosen


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
    mean, std = _statistics(images.device)
    return images.float().sub_(mean).div_(std).permute(0, 3, 1, 2)


@functools.cache
def _statistics(device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    # Once a device: a copy to a GPU at every batch would wait for it.
    with torch.inference_mode(False):
        return torch.tensor(MEAN, device=device), torch.tensor(STD, device=device)


def _pair(name: str, values: Sequence[int]) -> tuple[int, int]:
    fits = isinstance(values, Sequence) and len(values) == 2
    if not fits or not all(type(value) is int and value > 0 for value in values):
        raise InputError(f"{name}={values} is not a pair of positive integers; write {name}=[240,320].")
    return values[0], values[1]
