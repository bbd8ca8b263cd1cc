"""The recipe of Sec. 4.2 as a plain Pillow pipeline like the author's, as a baseline for benchmarks.

It decodes and resizes whole images, then crops, and creates normalized float tensors, all in a worker.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from PIL import Image, ImageEnhance, ImageOps

from regseg.data.augment.crop_resize import draw_window
from regseg.data.augment.transforms import FILL, MEAN, STD
from regseg.data.datasets.layout import Sample
from regseg.data.datasets.spec import IGNORE_INDEX, DatasetSpec

ANGLE, CHANGE = 6, 0.18  # degrees, and change of the enhancement factor, of RandAug at magnitude 0.2
Stage = Callable[[str], None]  # called with the name of a stage when it ends
Pair = tuple[Image.Image, Image.Image]


def pillow_crop(
    sample: Sample,
    spec: DatasetSpec,
    crop_size: tuple[int, int],
    short_side: tuple[int, int],
    rng: np.random.Generator,
    centroid: tuple[int, int] | None = None,
    done: Stage = lambda stage: None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Prepare a training crop; scale and position are those of `draw_window`, so that all pipelines see equal crops.

    Args:
        sample: Image and label file.
        spec: The dataset's classes.
        crop_size: (height, width) in pixels.
        short_side: Range of the random short side in pixels.
        rng: Random numbers of this crop.
        centroid: (row, column) that the crop must contain; None for any place.
        done: Called at the end of each stage.

    Returns:
        Image (3, *crop_size) float32, normalized, and label crop_size uint8.
    """
    image: Image.Image = Image.open(sample.image).convert("RGB")
    label: Image.Image = Image.open(sample.label)
    label.load()
    done("read")
    window = draw_window((label.height, label.width), crop_size, short_side, rng, centroid)
    (top, left), (height, width) = window.corner, window.size
    box = (left, top, left + width, top + height)
    image = image.resize(window.scaled[::-1], Image.Resampling.BILINEAR).crop(box)
    label = label.resize(window.scaled[::-1], Image.Resampling.NEAREST).crop(box)
    done("scale, crop")
    image, label = _pad(*_augment(image, label, rng), crop_size, rng)
    done("augment")
    pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1).contiguous().float()
    pixels.sub_(torch.tensor(MEAN)[:, None, None]).div_(torch.tensor(STD)[:, None, None])
    indices = torch.from_numpy(spec.decode(np.array(label), sample.label))
    done("to tensors")
    return pixels, indices


def _augment(image: Image.Image, label: Image.Image, rng: np.random.Generator) -> Pair:
    if rng.random() < 0.5:
        image, label = ImageOps.mirror(image), ImageOps.mirror(label)
    for name in rng.choice(list(OPERATIONS), 2, replace=False):
        image, label = OPERATIONS[name](image, label, int(rng.choice((-1, 1))))
    return image, label


def _pad(image: Image.Image, label: Image.Image, size: tuple[int, int], rng: np.random.Generator) -> Pair:
    if image.size == size[::-1]:
        return image, label
    corner = (int(rng.integers(0, size[1] - image.width + 1)), int(rng.integers(0, size[0] - image.height + 1)))
    padded, padded_label = Image.new("RGB", size[::-1], FILL), Image.new("L", size[::-1], IGNORE_INDEX)
    padded.paste(image, corner)
    padded_label.paste(label, corner)
    return padded, padded_label


def _rotate(image: Image.Image, label: Image.Image, sign: int) -> Pair:
    turned = image.rotate(sign * ANGLE, Image.Resampling.BILINEAR, fillcolor=FILL)
    return turned, label.rotate(sign * ANGLE, Image.Resampling.NEAREST, fillcolor=IGNORE_INDEX)


def _enhance(make: Callable, image: Image.Image, label: Image.Image, sign: int) -> Pair:
    return make(image).enhance(1 + sign * CHANGE), label


OPERATIONS: dict[str, Callable[[Image.Image, Image.Image, int], Pair]] = {
    "autocontrast": lambda image, label, sign: (ImageOps.autocontrast(image), label),
    "equalize": lambda image, label, sign: (ImageOps.equalize(image), label),
    "rotate": _rotate,
    **{
        name: partial(_enhance, getattr(ImageEnhance, name.capitalize()))
        for name in ("color", "contrast", "brightness", "sharpness")
    },
}
