"""BatchNorm folded into the convolutions before it."""

from __future__ import annotations

import copy

import torch
from torch import nn

from regseg.models.blocks import ConvBnAct, DilatedConv


def fold_batch_norm(network: nn.Module) -> nn.Module:
    """A copy of a network, in eval mode, whose `ConvBnAct` blocks have no BatchNorm: relu(conv(x) + bias).

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
    scale = bn.weight.double() / torch.sqrt(bn.running_var.double() + bn.eps)
    shift = bn.bias.double() - bn.running_mean.double() * scale
    branches = block.conv.branches if isinstance(block.conv, DilatedConv) else [block.conv]
    start = 0
    for conv in branches:
        part = slice(start, start + conv.out_channels)
        start = part.stop
        conv.weight.copy_(conv.weight.double() * scale[part, None, None, None])
        bias = shift[part] if conv.bias is None else shift[part] + conv.bias.double() * scale[part]
        conv.bias = nn.Parameter(bias.to(conv.weight.dtype))
    block.bn = nn.Identity()
