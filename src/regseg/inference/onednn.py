"""A folded network for a CPU, whose convolutions, ReLUs and additions are fused operations of oneDNN.

PyTorch has these operations for its compiler. They are called directly here, because compiling takes a minute and needs
a C++ compiler. Without them, a ReLU at 1/2 of the resolution takes as long as the convolution before it.
"""

from __future__ import annotations

import platform
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from regseg.models.blocks import ConvBnAct, DBlock, DilatedConv, SqueezeExcite


def is_available(dtype: torch.dtype = torch.float32) -> bool:
    """Return whether PyTorch has the operations on this machine. They were tested on x86 only.

    Those in bfloat16 need AVX-512, which AMD's processors before Zen 4 lack; PyTorch's convolutions do not.
    """
    found = hasattr(torch.ops.mkldnn, "_convolution_pointwise") and torch.backends.mkldnn.is_available()
    found = found and (dtype == torch.float32 or torch.ops.mkldnn._is_mkldnn_bf16_supported())
    return found and platform.machine().lower() in ("x86_64", "amd64")


def fuse(network: nn.Module) -> nn.Module:
    """Replace the blocks of a network with fused ones, in place.

    Args:
        network: from `fold_batch_norm`, in its final dtype (float32 or bfloat16) and in channels-last memory.
    """
    for name, module in list(network.named_modules()):
        if isinstance(module, DBlock):
            network.set_submodule(name, FusedDBlock(module))
    for name, module in list(network.named_modules()):
        if isinstance(module, ConvBnAct) and isinstance(module.bn, nn.Identity):
            network.set_submodule(name, _fused(module))
    return network


def _fused(block: ConvBnAct) -> nn.Module:
    if isinstance(block.conv, DilatedConv):
        branches = [FusedConv(cast(nn.Conv2d, branch), block.act) for branch in block.conv.branches]
        return branches[0] if len(branches) == 1 else FusedBranches(branches)
    return FusedConv(block.conv, block.act)


class FusedConv(nn.Module):
    """y = conv(x), relu(conv(x)) or relu(conv(x) + other)."""

    weight: Tensor
    bias: Tensor

    def __init__(self, conv: nn.Conv2d, act: bool) -> None:
        super().__init__()
        assert conv.bias is not None
        self.register_buffer("weight", conv.weight.detach())
        self.register_buffer("bias", conv.bias.detach())
        self.geometry = (list(conv.padding), list(conv.stride), list(conv.dilation), conv.groups)
        self.act = "relu" if act else "none"

    def forward(self, x: Tensor, other: Tensor | None = None) -> Tensor:
        """Map (B, in, H, W) to (B, out, H', W'); ``other`` has the shape of the result."""
        operation, parameters = torch.ops.mkldnn._convolution_pointwise, (self.weight, self.bias, *self.geometry)
        if other is None:
            return operation(x, *parameters, self.act, [], "")
        return operation.binary(x, other, *parameters, "add", 1.0, self.act, [], "")


class FusedBranches(nn.Module):
    """A folded `DilatedConv` with several rates."""

    def __init__(self, branches: list[FusedConv]) -> None:
        super().__init__()
        self.branches = nn.ModuleList(branches)

    def forward(self, x: Tensor) -> Tensor:
        parts = x.chunk(len(self.branches), dim=1)
        return torch.cat([branch(part) for branch, part in zip(self.branches, parts, strict=True)], dim=1)


class Gate(nn.Module):
    """A `SqueezeExcite` that overwrites its input.

    It works in float32 and with matrix products: convolutions of single pixels take several times as long.
    """

    weight1: Tensor
    weight2: Tensor
    bias1: Tensor
    bias2: Tensor

    def __init__(self, block: SqueezeExcite) -> None:
        super().__init__()
        for number, conv in enumerate((block.conv1, block.conv2), 1):
            assert conv.bias is not None
            self.register_buffer(f"weight{number}", conv.weight.detach().flatten(1).float())
            self.register_buffer(f"bias{number}", conv.bias.detach().float())

    def forward(self, x: Tensor) -> Tensor:
        batch, channels, height, width = x.shape
        pixels = x.permute(0, 2, 3, 1).reshape(batch, -1, channels)  # a view, in channels-last memory
        sums = torch.matmul(x.new_ones(1, height * width), pixels)[:, 0].float()  # faster than mean(1)
        hidden = F.relu_(F.linear(sums / (height * width), self.weight1, self.bias1))
        gate = torch.sigmoid_(F.linear(hidden, self.weight2, self.bias2))
        return x.mul_(gate.to(x.dtype)[:, :, None, None])


class FusedDBlock(nn.Module):
    """A folded `DBlock` whose last convolution also adds the shortcut."""

    def __init__(self, block: DBlock) -> None:
        super().__init__()
        self.conv1, self.conv2, self.pool, self.shortcut = block.conv1, block.conv2, block.pool, block.shortcut
        self.gate = Gate(block.se)
        self.conv3 = FusedConv(cast(nn.Conv2d, block.conv3.conv), act=True)

    def forward(self, x: Tensor) -> Tensor:
        y = self.gate(self.conv2(self.conv1(x)))
        if self.pool:
            x = F.avg_pool2d(x, 2, ceil_mode=True)
        return self.conv3(y, self.shortcut(x))
