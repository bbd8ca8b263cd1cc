"""The recipe of Sec. 4.2 as a plain Pillow pipeline runs it, to measure ours against: the author's is one.

It decodes and resizes whole images, crops then, and makes normalised float tensors, all in a worker.
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

ANGLE, CHANGE = 6, 0.18  # degrees and enhancement factor of RandAug at magnitude 0.2
Stage = Callable[[str], None]  # called with the name of a stage when it is done


def pillow_crop(
    sample: Sample,
    spec: DatasetSpec,
    crop_size: tuple[int, int],
    short_side: tuple[int, int],
    rng: np.random.Generator,
    centroid: tuple[int, int] | None = None,
    done: Stage = lambda stage: None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """A training crop: image (3, *crop_size) float32, normalised, and label crop_size uint8.

    Scale, place and centroid are those of `draw_window`, so that both pipelines work on the same crops.
    """
    image, label = Image.open(sample.image).convert("RGB"), Image.open(sample.label)
    label.load()
    done("read")
    window = draw_window((label.height, label.width), crop_size, short_side, rng, centroid)
    (top, left), (height, width) = window.corner, window.size
    box = (left, top, left + width, top + height)
    image = image.resize(window.scaled[::-1], Image.Resampling.BILINEAR).crop(box)
    label = label.resize(window.scaled[::-1], Image.Resampling.NEAREST).crop(box)
    done("scale, crop")
    if rng.random() < 0.5:
        image, label = ImageOps.mirror(image), ImageOps.mirror(label)
    for name in rng.choice(list(OPERATIONS), 2, replace=False):
        image, label = OPERATIONS[name](image, label, int(rng.choice((-1, 1))))
    image, label = _pad(image, label, crop_size, rng)
    done("augment")
    pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1).contiguous().float()
    pixels.sub_(torch.tensor(MEAN)[:, None, None]).div_(torch.tensor(STD)[:, None, None])
    indices = torch.from_numpy(spec.decode(np.array(label), sample.label))
    done("to tensors")
    return pixels, indices


def _pad(image: Image.Image, label: Image.Image, size: tuple[int, int], rng: np.random.Generator):
    if image.size == size[::-1]:
        return image, label
    corner = (int(rng.integers(0, size[1] - image.width + 1)), int(rng.integers(0, size[0] - image.height + 1)))
    padded, padded_label = Image.new("RGB", size[::-1], FILL), Image.new("L", size[::-1], IGNORE_INDEX)
    padded.paste(image, corner)
    padded_label.paste(label, corner)
    return padded, padded_label


def _rotate(image: Image.Image, label: Image.Image, sign: int):
    turned = image.rotate(sign * ANGLE, Image.Resampling.BILINEAR, fillcolor=FILL)
    return turned, label.rotate(sign * ANGLE, Image.Resampling.NEAREST, fillcolor=IGNORE_INDEX)


def _enhance(make: Callable, image: Image.Image, label: Image.Image, sign: int):
    return make(image).enhance(1 + sign * CHANGE), label


OPERATIONS = {
    "autocontrast": lambda image, label, sign: (ImageOps.autocontrast(image), label),
    "equalize": lambda image, label, sign: (ImageOps.equalize(image), label),
    "rotate": _rotate,
    **{
        name: partial(_enhance, getattr(ImageEnhance, name.capitalize()))
        for name in ("color", "contrast", "brightness", "sharpness")
    },
}
