"""What a model sees and costs: field of view (Sec. 3.1), parameters, and GFLOPs as the paper counts them."""

import copy
import math
from collections.abc import Iterable
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from regseg.models.blocks import DBlock


def compose(convolutions: Iterable[tuple[int, int]], start: tuple[int, int] = (1, 1)) -> tuple[int, int]:
    """(kernel, stride) of one convolution equal in reach to `convolutions`, (kernel, stride) each (eqs. 1 and 2)."""
    k, s = start
    for kernel, stride in convolutions:
        k += (kernel - 1) * s
        s *= stride
    return k, s


def field_of_view_by_block(model: nn.Module) -> list[tuple[str, DBlock | None, int, int]] | None:
    """(name, block, field of view, stride) after the stem (its block is None) and after every block of the backbone.

    A 3x3 of rate r reaches as far as a kernel of 2r + 1; a block reaches as far as its largest rate. Global pooling
    (squeeze-and-excite) and the decoder are left out, as in Table 4. None for a model without one backbone: DDRNet-23.
    """
    backbone = getattr(model, "backbone", None)
    if backbone is None:
        return None
    k, s = compose([(3, 2)])
    rows = [("stem", None, k, s)]
    for name, block in backbone.named_modules():
        if isinstance(block, DBlock):
            conv = block.conv2.conv
            k, s = compose([(2 * max(conv.dilations) + 1, conv.stride)], start=(k, s))
            rows.append((name, block, k, s))
    return rows


def field_of_view(model: nn.Module) -> int | None:
    """Field of view in input pixels of the model's backbone, stem included, up to 1/16 (Sec. 3.1, Table 4).

    3807 for RegSeg. None for DDRNet-23, whose two branches are no single chain of convolutions.
    """
    rows = field_of_view_by_block(model)
    return None if rows is None else rows[-1][2]


def blocks_with_holes(model: nn.Module) -> list[tuple[str, int, float]]:
    """Blocks whose rate r leaves holes, r > k/s by Sec. 3.1: (name, r, the bound k/s at the block's input)."""
    rows = field_of_view_by_block(model) or []
    found = []
    for (_, _, k, s), (name, block, *_) in pairwise(rows):
        rate = max(block.conv2.conv.dilations)
        if rate > k / s:
            found.append((name, rate, k / s))
    return found


def count_parameters(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


def gflops(model: nn.Module, size: tuple[int, int] = (1024, 2048), *, convolutions_only: bool = False) -> float:
    """Billions of operations for one image of (height, width) in eval mode, as the paper prints them: fvcore's count.

    Convolutions count their multiply-accumulates, BatchNorm 2 a value, adaptive pooling 1 an input, bilinear
    upsampling and grid sampling 4 an output, nearest upsampling 1. Sigmoids, products, sums and average pools of a
    fixed kernel count nothing. `convolutions_only` leaves out all but the convolutions, which is what the paper's
    figure for DDRNet-23 does. Nothing is computed: on a copy of the model on the meta device only shapes pass.
    """
    counter = _OperationCounter()
    on_meta = copy.deepcopy(model).to("meta").eval()
    with torch.no_grad(), counter:
        on_meta(torch.empty(1, 3, *size, device="meta"))
    counted = counter.convolutions if convolutions_only else counter.convolutions + counter.others
    return counted / 1e9


_aten = torch.ops.aten
_CONVOLUTIONS = {_aten.convolution, _aten._convolution}
_PER_INPUT = {  # an adaptive average pool to 1x1 arrives as a mean
    _aten.native_batch_norm: 2,
    _aten._native_batch_norm_legit_no_training: 2,
    _aten.cudnn_batch_norm: 2,
    _aten._adaptive_avg_pool2d: 1,
    _aten.mean: 1,
}
_PER_OUTPUT = {_aten.upsample_bilinear2d: 4, _aten.upsample_nearest2d: 1, _aten.grid_sampler_2d: 4}


class _OperationCounter(TorchDispatchMode):
    """Counts while it is entered: `convolutions` and `others`."""

    def __init__(self) -> None:
        super().__init__()
        self.convolutions = 0
        self.others = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        op = func.overloadpacket
        if op in _CONVOLUTIONS:
            weight: Tensor = args[1]  # (out, in / groups, kh, kw)
            self.convolutions += out.numel() * math.prod(weight.shape[1:])
        elif op in _PER_INPUT:
            self.others += _PER_INPUT[op] * args[0].numel()
        elif op in _PER_OUTPUT:
            self.others += _PER_OUTPUT[op] * out.numel()
        return out
