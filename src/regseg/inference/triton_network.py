"""A folded network whose grouped convolutions and last upsampling use the kernels of `regseg.inference.triton_kernels`.

The kernels are used only on a GPU and only if they agree there with PyTorch's operations when a network is opened.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor, nn

from regseg.inference.upsample import labels_of
from regseg.models.blocks import ConvBnAct, DilatedConv

Upsample = Callable[[Tensor, tuple[int, int]], Tensor]
_GROUP_WIDTH = 16
_TEST_SIZES = ((24, 40), (17, 31))  # (height, width) of the maps on which kernels are tested
_TOLERANCE = {torch.float16: 0.01, torch.bfloat16: 0.05, torch.float32: 1e-4}  # relative to the largest value
_CLASSES, _MOST_CHANGED = 19, 1e-3  # share of labels that rounding may change


class FusedDilatedConv(nn.Module):
    """y = relu(dilated3x3(x) + bias) in one kernel for all dilation rates.

    Args:
        block: a block from `fold_batch_norm`; see `is_fusable`.
    """

    weights: Tensor
    biases: Tensor
    rates: Tensor

    def __init__(self, block: ConvBnAct) -> None:
        super().__init__()
        branches = [cast(nn.Conv2d, branch) for branch in cast(DilatedConv, block.conv).branches]
        weight = torch.cat([branch.weight.detach() for branch in branches])  # (C, 16, 3, 3)
        groups = len(weight) // _GROUP_WIDTH
        taps = weight.reshape(groups, _GROUP_WIDTH, _GROUP_WIDTH, 9).permute(0, 3, 2, 1)
        rates = [rate for branch in branches for rate in [branch.dilation[0]] * branch.groups]
        self.register_buffer("weights", taps.contiguous())  # (groups, 9, 16 in, 16 out)
        self.register_buffer("biases", torch.cat([cast(Tensor, branch.bias).detach() for branch in branches]).float())
        self.register_buffer("rates", torch.tensor(rates, dtype=torch.int32, device=weight.device))

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to the same shape, channels-last."""
        from regseg.inference.triton_kernels import dilated_conv_relu

        return dilated_conv_relu(x, self.weights, self.biases, self.rates)


def is_fusable(block: nn.Module) -> bool:
    """Return whether a block is relu(grouped 3x3 + bias) of stride 1 with groups of 16 channels."""
    if not isinstance(block, ConvBnAct) or not isinstance(block.conv, DilatedConv) or not block.act:
        return False
    branch = cast(nn.Conv2d, block.conv.branches[0])
    width = branch.in_channels // branch.groups
    return isinstance(block.bn, nn.Identity) and block.conv.stride == 1 and width == _GROUP_WIDTH


def fuse(network: nn.Module) -> nn.Module:
    """Return a copy of a network with `FusedDilatedConv` in place of the convolutions that it can compute.

    Args:
        network: from `fold_batch_norm`, on its device and in its final type.
    """
    network = copy.deepcopy(network)
    for name, block in list(network.named_modules()):
        if is_fusable(block):
            network.set_submodule(name, FusedDilatedConv(cast(ConvBnAct, block)))
    return network


def with_kernels(network: nn.Module) -> tuple[nn.Module, Upsample]:
    """Return the network and the last upsampling with kernels; with PyTorch and a printed reason if they disagree.

    Args:
        network: from `fold_batch_norm`, on its device and in its final type.
    """
    try:
        from regseg.inference.triton_kernels import upsample_argmax

        fused = fuse(network)
        problem = _disagreement(network, fused, upsample_argmax)
    except Exception as error:  # Triton, its compiler or the driver: prediction works without them
        problem = f"{type(error).__name__}: {error}".splitlines()[0]
    if problem is None:
        return fused, upsample_argmax
    print(f"Running without the Triton kernels ({problem}).")
    return network, labels_of


@torch.inference_mode()
def _disagreement(network: nn.Module, fused: nn.Module, upsample: Upsample) -> str | None:
    """Return what differs from PyTorch's operations on random maps; None if nothing differs."""
    parameter = next(network.parameters())
    generator = torch.Generator(parameter.device).manual_seed(0)

    def draw(channels: int, size: tuple[int, int], batch: int = 2) -> Tensor:
        shape = (batch, channels, *size)
        values = torch.randn(shape, generator=generator, dtype=parameter.dtype, device=parameter.device)
        return values.contiguous(memory_format=torch.channels_last)

    for name, block in fused.named_modules():
        if isinstance(block, FusedDilatedConv):
            for size in _TEST_SIZES:
                x = draw(len(block.biases), size)
                expected, found = network.get_submodule(name)(x.clone()).float(), block(x).float()
                if not (found - expected).abs().max() <= _TOLERANCE[x.dtype] * expected.abs().max():
                    return f"{name} differs"
    for height, width in _TEST_SIZES:
        logits = draw(_CLASSES, (height, width))
        for size in ((4 * height, 4 * width), (4 * height - 3, 4 * width - 1)):
            if not (upsample(logits, size) != labels_of(logits, size)).float().mean() <= _MOST_CHANGED:
                return "upsampling differs"
    return None
