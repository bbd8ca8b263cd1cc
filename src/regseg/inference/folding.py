"""Converts a trained network to the form that runs fastest: BatchNorm folded, branches without splits, uint8 images."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from regseg.data.augment.transforms import MEAN, STD
from regseg.models.blocks import ConvBnAct, DBlock, DilatedConv


def fold_batch_norm(network: nn.Module) -> nn.Module:
    """Return a copy of a network, in eval mode, whose `ConvBnAct` blocks have no BatchNorm: relu(conv(x) + bias).

    The weights are computed in float64. A BatchNorm that precedes its convolution (DDRNet-23) stays.
    """
    network = copy.deepcopy(network).eval()
    for module in network.modules():
        if isinstance(module, ConvBnAct) and isinstance(module.bn, nn.BatchNorm2d):
            _fold(module)
    return network


@torch.no_grad()
def _fold(block: ConvBnAct) -> None:
    bn = block.bn
    assert bn.running_mean is not None and bn.running_var is not None
    scale = bn.weight.double() / torch.sqrt(bn.running_var.double() + bn.eps)
    shift = bn.bias.double() - bn.running_mean.double() * scale
    start = 0
    for conv in [*block.conv.branches] if isinstance(block.conv, DilatedConv) else [block.conv]:
        assert isinstance(conv, nn.Conv2d)
        part = slice(start, start + conv.out_channels)
        start = part.stop
        conv.weight.copy_(conv.weight.double() * scale[part, None, None, None])
        bias = shift[part] if conv.bias is None else shift[part] + conv.bias.double() * scale[part]
        conv.bias = nn.Parameter(bias.to(conv.weight.dtype))
    block.register_module("bn", nn.Identity())


class BranchedConvs(nn.Module):
    """The 1x1 and the dilated convolutions of a folded `DBlock`, one pair for each rate.

    Each 1x1 computes the channels of one rate, so that no map has to be split (Table 1: the split takes 0.1 ms).
    """

    def __init__(self, block: DBlock) -> None:
        super().__init__()
        reduce, branches = cast(nn.Conv2d, block.conv1.conv), cast(DilatedConv, block.conv2.conv).branches
        self.reduce = nn.ModuleList(_part_of(reduce, i, len(branches)) for i in range(len(branches)))
        self.dilate = nn.ModuleList(branches)

    def forward(self, x: Tensor) -> Tensor:
        pairs = zip(self.reduce, self.dilate, strict=True)
        return torch.cat([F.relu(dilate(F.relu(reduce(x)))) for reduce, dilate in pairs], dim=1)


@torch.no_grad()
def _part_of(conv: nn.Conv2d, index: int, count: int) -> nn.Conv2d:
    """Return the 1x1 convolution that computes part ``index`` of ``count`` equal parts of ``conv``'s channels."""
    width = conv.out_channels // count
    part = nn.Conv2d(conv.in_channels, width, 1, device=conv.weight.device, dtype=conv.weight.dtype)
    channels = slice(index * width, (index + 1) * width)
    assert part.bias is not None and conv.bias is not None
    part.weight.copy_(conv.weight[channels])
    part.bias.copy_(conv.bias[channels])
    return part


def split_branches(network: nn.Module) -> nn.Module:
    """Replace the convolutions of every block with several rates by `BranchedConvs`, in place.

    Args:
        network: from `fold_batch_norm`.
    """
    for block in [module for module in network.modules() if isinstance(module, DBlock)]:
        if len(cast(DilatedConv, block.conv2.conv).branches) > 1:
            block.register_module("conv1", BranchedConvs(block))
            block.register_module("conv2", nn.Identity())
    return network


class ExportNetwork(nn.Module):
    """The exported graph: uint8 images in, labels or logits and the low-resolution logits out.

    Args:
        network: with `low_resolution_logits`; it is copied.
        output: ``labels`` or ``logits``.
        mean: mean of the normalization, on a scale of 0 to 255.
        std: standard deviation of the normalization, on the same scale.
    """

    mean: Tensor

    def __init__(
        self, network: nn.Module, output: str = "labels", mean: Sequence[float] = MEAN, std: Sequence[float] = STD
    ) -> None:
        super().__init__()
        self.network, self.output = split_branches(fold_batch_norm(network)), output
        first = next(module for module in self.network.modules() if isinstance(module, nn.Conv2d))
        with torch.no_grad():  # the mean cannot be folded too: the first convolution pads with zeros
            first.weight.div_(torch.tensor(std)[None, :, None, None])
        self.register_buffer("mean", torch.tensor(mean)[None, :, None, None])

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Map (B, H, W, 3) uint8 to labels (B, H, W) uint8 or logits (B, C, H, W), and to logits (B, C, H/4, W/4)."""
        x = images.permute(0, 3, 1, 2).to(self.mean.dtype) - self.mean
        low = cast(Any, self.network).low_resolution_logits(x)
        logits = F.interpolate(low, size=images.shape[1:3], mode="bilinear", align_corners=False)
        if self.output == "labels":
            return logits.argmax(1).to(torch.uint8), low
        # Not float() of what is float32 already: NNCF fails on an ONNX graph that ends with a Cast to the same type.
        return (logits if logits.dtype == torch.float32 else logits.float()), low
