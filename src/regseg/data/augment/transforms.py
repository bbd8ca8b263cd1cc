"""What happens to an image and its label between the file and the batch."""

from __future__ import annotations

import functools
import random
from collections.abc import Mapping, Sequence
from typing import Any

import albumentations as A
import numpy as np
import torch

from regseg.data.augment.crop_resize import cut_image, cut_label, draw_window
from regseg.data.augment.randaug import color_jitter, rand_augment
from regseg.data.datasets.spec import IGNORE_INDEX
from regseg.errors import InputError, check_options

# ImageNet's statistics on a scale of 0 to 255, and its mean colour for pads (Sec. 4.2 as the author's release runs it).
MEAN = (123.675, 116.28, 103.53)
STD = (58.395, 57.12, 57.375)
FILL = (123, 116, 103)


class TrainTransform:
    """Random scale, crop, flip and colours of Sec. 4.2 on uint8 arrays, in the order of the author's release.

    The short side becomes an integer uniform in ``short_side``, both ends included; then crop, flip, colour operations.
    Last, a crop of an image smaller than that is padded to it at a random offset by the mean colour and
    ``IGNORE_INDEX``. On CamVid the author pads before the crop; where the image comes to lie is distributed alike.

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

    def __init__(
        self,
        crop_size: Sequence[int],
        short_side: Sequence[int],
        flip: float = 0.5,
        randaug: Mapping[str, Any] | None = None,
        jitter: Mapping[str, Any] | None = None,
    ) -> None:
        self.crop_size, self.short_side = _pair("data.crop_size", crop_size), _pair("data.short_side", short_side)
        if self.short_side[0] > self.short_side[1]:
            smallest, largest = self.short_side
            raise InputError(f"data.short_side=[{smallest},{largest}] is out of order; give the smaller length first.")
        if not isinstance(flip, (int, float)) or not 0 <= flip <= 1:
            raise InputError(f"data.augment.flip={flip} is not a probability; give a number from 0 to 1.")
        colours = _colour_operations(randaug, jitter)
        self.augment = A.Compose([A.HorizontalFlip(p=flip), *colours])
        self.pad = A.Compose([A.PadIfNeeded(*self.crop_size, position="random", fill=FILL, fill_mask=IGNORE_INDEX)])

    def __call__(
        self,
        image: np.ndarray,
        label: np.ndarray,
        rng: np.random.Generator,
        centroid: tuple[float, float] | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """(image, label) of a training crop: (*crop_size, 3) and crop_size, uint8.

        Args:
            image: (H, W, 3) uint8 RGB, or smaller where it is stored at half its resolution; may be memory-mapped, and
                have a fourth channel, which is left out.
            label: (H, W) uint8 class indices; may be memory-mapped.
            rng: all that is random follows from it.
            centroid: (row, column) of ``label`` that the crop should show; None for a crop anywhere.
        """
        window = draw_window(label.shape, self.crop_size, self.short_side, rng, centroid)
        return self.after_crop(cut_image(image, window), cut_label(label, window), rng)

    def after_crop(
        self, image: np.ndarray, label: np.ndarray, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """Flip, colours and pad of a crop, which may be smaller than ``crop_size``."""
        draw_from(rng, self.augment)
        crop = self.augment(image=image, mask=label)
        if label.shape != self.crop_size:  # albumentations copies a crop that needs no pad
            draw_from(rng, self.pad)
            crop = self.pad(**crop)
        return crop["image"], crop["mask"]


def _colour_operations(randaug: Mapping[str, Any] | None, jitter: Mapping[str, Any] | None) -> list[A.BaseCompose]:
    chosen: list[A.BaseCompose] = []
    if randaug is not None:
        chosen.append(rand_augment(FILL, **check_options("data.augment.randaug", randaug, rand_augment, FILL)))
    if jitter is not None:
        chosen.append(color_jitter(**check_options("data.augment.jitter", jitter, color_jitter)))
    return chosen


def draw_from(rng: np.random.Generator, pipeline: A.Compose) -> None:
    """Let all steps of a pipeline draw from ``rng`` in turn.

    ``Compose.set_random_seed`` gives one seed to all: each step then draws the same first number, so that an image is
    flipped exactly when its crop lies in the upper half.
    """
    pipeline.set_random_state(rng, random.Random(int(rng.integers(2**63))))


def normalize(images: torch.Tensor) -> torch.Tensor:
    """uint8 (B, H, W, 3) RGB to float32 (B, 3, H, W) by ImageNet's mean and deviation, on the batch's own device.

    The result is a view in channels-last memory: no transposition is done.
    """
    batch, height, width, _ = images.shape
    scale, shift = _scale_and_shift(images.device, width)
    rows = images.reshape(batch, height, 3 * width).float()
    torch.addcmul(shift, rows, scale, out=rows)  # one pass over the floats instead of two
    return rows.view(batch, height, width, 3).permute(0, 3, 1, 2)


@functools.lru_cache(maxsize=64)
def _scale_and_shift(device: torch.device, width: int) -> tuple[torch.Tensor, torch.Tensor]:
    # Once a device and width: a copy to a GPU at every batch would wait for it. As long as a row, because a CPU's
    # vector instructions do not take three values at a time.
    with torch.inference_mode(False):
        mean, std = torch.tensor(MEAN, dtype=torch.float64), torch.tensor(STD, dtype=torch.float64)
        scale, shift = (values.repeat(width).float().to(device) for values in (1 / std, -mean / std))
    return scale, shift


def _pair(name: str, values: Sequence[int]) -> tuple[int, int]:
    fits = isinstance(values, Sequence) and len(values) == 2
    if not fits or not all(type(value) is int and value > 0 for value in values):
        raise InputError(f"{name}={values} is not a pair of positive integers; write {name}=[240,320].")
    return values[0], values[1]
