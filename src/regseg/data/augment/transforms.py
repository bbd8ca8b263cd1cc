"""The training augmentation of an image and its label, and the normalization of a batch."""

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
from regseg.errors import InputError, check_number, check_options, typed

# ImageNet's mean and standard deviation on a scale of 0 to 255, and its mean colour for padding (author's release).
MEAN = (123.675, 116.28, 103.53)
STD = (58.395, 57.12, 57.375)
FILL = (123, 116, 103)


class TrainTransform:
    """Random scale, crop, flip and colours (Sec. 4.2) on uint8 arrays, in the order of the author's release.

    The order is scale, crop, flip, colour operations. A crop that is smaller than ``crop_size`` is then padded with the
    mean colour and ``IGNORE_INDEX`` at a random offset. The author pads before the crop on CamVid; the distribution of
    the image's position is the same.

    Args:
        crop_size: (height, width) of the result, in pixels.
        short_side: (smallest, largest) length of the short side after scaling, in pixels, both included.
        flip: probability of a horizontal flip.
        randaug: arguments of `rand_augment` other than the fill; None disables RandAug.
        jitter: arguments of `color_jitter`; None disables it.

    Raises:
        InputError: a size is not a pair of positive integers in ascending order, ``flip`` is not a probability, or an
            argument of ``randaug`` or ``jitter`` is invalid.
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
            raise InputError(f"data.short_side=[{smallest},{largest}] is not ascending; give the smaller length first.")
        check_number("data.augment.flip", flip, highest=1)  # a probability
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
        """Make a training crop.

        Args:
            image: (h, w, 3) uint8 RGB, or (h, w, 4) with a padding channel; it may be memory-mapped, and smaller than
                the label if it is stored at half its resolution.
            label: (H, W) uint8 class indices; it may be memory-mapped.
            rng: the random stream.
            centroid: (row, column) in the label that the crop should contain; None for a crop at any position.

        Returns:
            The image (*crop_size, 3) uint8 and the label (*crop_size,) uint8.
        """
        window = draw_window(label.shape, self.crop_size, self.short_side, rng, centroid)
        return self.after_crop(cut_image(image, window), cut_label(label, window), rng)

    def after_crop(
        self, image: np.ndarray, label: np.ndarray, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """Apply flip, colour operations and padding to a crop.

        Args:
            image: (h, w, 3) uint8, at most ``crop_size``.
            label: (h, w) uint8.
            rng: the random stream.

        Returns:
            The image (*crop_size, 3) uint8 and the label (*crop_size,) uint8.
        """
        draw_from(rng, self.augment)
        crop = self.augment(image=image, mask=label)
        if label.shape != self.crop_size:  # albumentations would copy a crop that needs no padding
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
    """Make all transforms of a pipeline draw from ``rng`` in turn.

    ``Compose.set_random_seed`` gives the same seed to all transforms, so that their first random numbers are equal.
    """
    pipeline.set_random_state(rng, random.Random(int(rng.integers(2**63))))


def normalize(images: torch.Tensor) -> torch.Tensor:
    """Normalize images by ImageNet's mean and standard deviation, on their device.

    Args:
        images: (B, H, W, 3) uint8 RGB.

    Returns:
        (B, 3, H, W) float32 in channels-last memory format, a view without a transposition.

    Raises:
        InputError: the images have another shape or type; float images in [0, 1] would become nearly black.
    """
    if not isinstance(images, torch.Tensor) or images.ndim != 4 or images.shape[3] != 3 or images.dtype != torch.uint8:
        found = f"{tuple(images.shape)} {images.dtype}" if hasattr(images, "shape") else type(images).__name__
        raise InputError(f"normalize takes a tensor (B, H, W, 3) of uint8 RGB, not {found}; convert the images.")
    batch, height, width, _ = images.shape
    scale, shift = _scale_and_shift(images.device, width)
    rows = images.reshape(batch, height, 3 * width).float()
    torch.addcmul(shift, rows, scale, out=rows)  # one pass over the floats instead of two
    return rows.view(batch, height, width, 3).permute(0, 3, 1, 2)


@functools.lru_cache(maxsize=64)
def _scale_and_shift(device: torch.device, width: int) -> tuple[torch.Tensor, torch.Tensor]:
    # Cached per device and width, because a copy to a GPU in every batch would synchronize with it. One value per
    # element of a row, because a broadcast over three channels does not use a CPU's vector instructions.
    with torch.inference_mode(False):
        mean, std = torch.tensor(MEAN, dtype=torch.float64), torch.tensor(STD, dtype=torch.float64)
        scale, shift = (values.repeat(width).float().to(device) for values in (1 / std, -mean / std))
    return scale, shift


def _pair(name: str, values: Sequence[int]) -> tuple[int, int]:
    fits = isinstance(values, Sequence) and len(values) == 2
    if not fits or not all(type(value) is int and value > 0 for value in values):
        raise InputError(f"{name}={typed(values)} is not a pair of positive integers; write '{name}=[240,320]'.")
    return values[0], values[1]
