"""A model's size, cost and field of view."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from regseg.errors import InputError
from regseg.models.backbones import STEM_CHANNELS
from regseg.models.complexity import BlockView, count_parameters, field_of_view, field_of_view_by_block, gflops
from regseg.models.description import config_of

CITYSCAPES = (1024, 2048)


def describe(model: nn.Module, size: tuple[int, int] = CITYSCAPES) -> dict[str, Any]:
    """Describe a model of `create_model`.

    Args:
        model: the model.
        size: (height, width) in pixels of the image for which operations are counted.

    Returns:
        Plain values: `model` (its config), `parameters`, `size`, `gflops` and `gflops_convolutions` (billions),
        `field_of_view` (pixels, or None), and `blocks`, the stem and every block of the backbone with its `name`,
        `channels`, `stride`, `rates`, `field_of_view` and `bound`, the largest rate without holes (Sec. 3.1);
        `blocks` is empty for DDRNet-23.
    """
    return {
        "model": config_of(model),
        "parameters": count_parameters(model),
        "size": list(size),
        "gflops": gflops(model, size),
        "gflops_convolutions": gflops(model, size, convolutions_only=True),
        "field_of_view": field_of_view(model),
        "blocks": _blocks(model),
    }


def _blocks(model: nn.Module) -> list[dict[str, Any]]:
    rows = field_of_view_by_block(model)
    if rows is None:
        return []
    described = [_described(rows[0], STEM_CHANNELS, [1], 1.0)]
    for before, row in pairwise(rows):
        conv = row.conv
        assert conv is not None
        bound = before.field_of_view / before.stride
        described.append(_described(row, conv.out_channels, list(conv.dilations), bound))
    return described


def _described(row: BlockView, channels: int, rates: list[int], bound: float) -> dict[str, Any]:
    return {
        "name": row.name,
        "channels": channels,
        "stride": row.stride,
        "rates": rates,
        "field_of_view": row.field_of_view,
        "bound": bound,
    }


def effective_field_of_view(model: nn.Module, images: Iterable[Tensor]) -> np.ndarray:
    """Measure how much each input pixel affects the prediction at the centre of the image.

    It is |d logit / d pixel| for the predicted class of the centre pixel, summed over the three colours and averaged
    over the images (Luo et al., 2016, "Understanding the effective receptive field"). The whole model is included, with
    its decoder and global pooling.

    Args:
        model: the model; it is not changed.
        images: batches of normalized images (B, 3, H, W), all of one size.

    Returns:
        (H, W) float64; the sum is 1.

    Raises:
        InputError: there are no images, or their sizes differ.
    """
    images = [image for batch in images for image in batch]
    sizes = sorted({tuple(image.shape[-2:]) for image in images})
    if len(sizes) != 1:
        raise InputError(
            f"The field of view is measured on images of one size, but the sizes are {sizes or 'none'}; give images "
            "of one size."
        )
    model = _settled(model, images)
    total = torch.zeros(sizes[0], dtype=torch.float64, device=next(model.parameters()).device)
    for image in images:
        pixels = image[None].to(next(model.parameters()).device).requires_grad_()
        logits = model(pixels)
        centre = logits[0, :, logits.shape[2] // 2, logits.shape[3] // 2]
        (gradient,) = torch.autograd.grad(centre.max(), pixels)
        seen = gradient[0].abs().sum(0).double()  # (H, W)
        total = total + seen / seen.sum()
    return (total / total.sum()).cpu().numpy()


def _settled(model: nn.Module, images: list[Tensor]) -> nn.Module:
    """Return a copy in eval mode; if the model is untrained, set the statistics of its BatchNorms from a crop.

    With the initial statistics, the contribution of the residual branches would vanish.
    """
    model = copy.deepcopy(model)
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    if all(norm.num_batches_tracked == 0 for norm in norms):
        for norm in norms:
            norm.momentum = 1.0
        crop = images[0][None, :, :512, :512].to(next(model.parameters()).device)
        with torch.no_grad():
            model.train()(torch.cat([crop, crop.flip(-1)]))  # two images, as a globally pooled map is a single value
    return model.eval()


def noise_images(size: tuple[int, int], count: int = 4) -> list[Tensor]:
    """Return `count` normalized images (1, 3, H, W) of Gaussian noise, the same in every call."""
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(1, 3, *size, generator=generator) for _ in range(count)]


def share_within(seen: np.ndarray) -> np.ndarray:
    """Return the share of `seen` (H, W) in the centred square of side 2d + 1, for every distance d from the centre."""
    height, width = seen.shape
    rows, columns = np.abs(np.arange(height) - height // 2), np.abs(np.arange(width) - width // 2)
    distance = np.maximum(rows[:, None], columns[None, :])
    return np.cumsum(np.bincount(distance.ravel(), weights=seen.ravel()))


def side_of(share: float, seen: np.ndarray) -> int:
    """Return the side of the smallest centred square that contains `share` (between 0 and 1) of `seen` (H, W)."""
    return 2 * int(np.searchsorted(share_within(seen), share)) + 1
