"""Field of view (Sec. 3.1), number of parameters, and GFLOPs as the paper counts them."""

import copy
import math
from collections.abc import Iterable
from itertools import pairwise
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from regseg.models.blocks import DBlock, DilatedConv


class BlockView(NamedTuple):
    """The field of view after the stem or a block.

    Attributes:
        name: "stem", or the block's name in the backbone.
        conv: the block's 3x3 convolution; None for the stem.
        field_of_view: side of the field of view, in input pixels.
        stride: stride of the block's output, in input pixels.
    """

    name: str
    conv: DilatedConv | None
    field_of_view: int
    stride: int


def compose(convolutions: Iterable[tuple[int, int]], start: tuple[int, int] = (1, 1)) -> tuple[int, int]:
    """Return the (kernel, stride) of the single convolution equivalent to a sequence (eqs. 1 and 2).

    Args:
        convolutions: (kernel, stride) of each convolution.
        start: (kernel, stride) of what comes before them.
    """
    k, s = start
    for kernel, stride in convolutions:
        k += (kernel - 1) * s
        s *= stride
    return k, s


def field_of_view_by_block(model: nn.Module) -> list[BlockView] | None:
    """Return the field of view after the stem and after every block of the backbone (Sec. 3.1).

    A 3x3 convolution of rate r counts as a kernel of size 2r + 1; a block counts with its largest rate. Global pooling
    (squeeze-and-excite) and the decoder are not counted, as in Table 4.

    Returns:
        One entry per block, the stem first; None for a model without a backbone, such as DDRNet-23.
    """
    backbone = getattr(model, "backbone", None)
    if backbone is None:
        return None
    k, s = compose([(3, 2)])
    rows = [BlockView("stem", None, k, s)]
    for name, block in backbone.named_modules():
        if isinstance(block, DBlock):
            conv = block.conv2.conv
            assert isinstance(conv, DilatedConv)
            k, s = compose([(2 * max(conv.dilations) + 1, conv.stride)], start=(k, s))
            rows.append(BlockView(name, conv, k, s))
    return rows


def field_of_view(model: nn.Module) -> int | None:
    """Return the field of view of stem and backbone, in input pixels (Sec. 3.1, Table 4).

    It is 3807 for RegSeg, and None for DDRNet-23, whose two branches are not a single chain of convolutions.

    Raises:
        TypeError: ``model`` is not a module but, for example, a name.
    """
    if not isinstance(model, nn.Module):
        raise TypeError(f"field_of_view takes a model of create_model, not {model!r}.")
    rows = field_of_view_by_block(model)
    return None if rows is None else rows[-1].field_of_view


def blocks_with_holes(model: nn.Module) -> list[tuple[str, int, float]]:
    """Return the blocks whose dilation rate leaves holes in the field of view: r > k/s (Sec. 3.1).

    Returns:
        For each such block: its name, its rate r, and the bound k/s at its input.
    """
    found = []
    for before, (name, conv, *_) in pairwise(field_of_view_by_block(model) or []):
        assert conv is not None
        rate, bound = max(conv.dilations), before.field_of_view / before.stride
        if rate > bound:
            found.append((name, rate, bound))
    return found


def count_parameters(model: nn.Module) -> int:
    """Return the number of parameters of a model."""
    return sum(p.numel() for p in model.parameters())


def gflops(model: nn.Module, size: tuple[int, int] = (1024, 2048), *, convolutions_only: bool = False) -> float:
    """Count the operations for one image in eval mode, as the paper does (fvcore's count).

    A convolution counts its multiply-accumulates, BatchNorm 2 per value, adaptive pooling 1 per input, bilinear
    upsampling and grid sampling 4 per output, and nearest upsampling 1 per output. Sigmoids, products, sums and average
    pools with a fixed kernel count nothing. Only shapes are propagated, through a copy of the model on the meta device.

    Args:
        model: the model; it is not changed.
        size: (height, width) of the image, in pixels.
        convolutions_only: count convolutions only, as the paper's value for DDRNet-23 does.

    Returns:
        Billions of operations.
    """
    counter, resizing = _OperationCounter(), _ResizingCounter()
    on_meta = copy.deepcopy(model).to("meta").float().eval()
    with torch.no_grad(), counter, resizing:
        on_meta(torch.empty(1, 3, *size, device="meta"))
    counted = counter.convolutions if convolutions_only else counter.convolutions + counter.others + resizing.counted
    return counted / 1e9


_aten = torch.ops.aten
_CONVOLUTIONS = {_aten.convolution, _aten._convolution}
_PER_INPUT = {  # an adaptive average pool to 1x1 is dispatched as a mean
    _aten.native_batch_norm: 2,
    _aten._native_batch_norm_legit_no_training: 2,
    _aten.cudnn_batch_norm: 2,
    _aten._adaptive_avg_pool2d: 1,
    _aten.mean: 1,
}
_PER_OUTPUT = {"bilinear": 4, "nearest": 1}  # by the mode of F.interpolate and F.grid_sample


class _OperationCounter(TorchDispatchMode):
    """Context manager that counts the operations run in it.

    Attributes:
        convolutions: multiply-accumulates of convolutions.
        others: operations of other layers.
    """

    def __init__(self) -> None:
        super().__init__()
        self.convolutions = 0
        self.others = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        out = func(*args, **(kwargs or {}))
        op = func.overloadpacket
        if op in _CONVOLUTIONS:
            weight: Tensor = args[1]  # (out, in / groups, kh, kw)
            self.convolutions += out.numel() * math.prod(weight.shape[1:])
        elif op in _PER_INPUT:
            self.others += _PER_INPUT[op] * args[0].numel()
        return out


class _ResizingCounter(TorchFunctionMode):
    """Context manager that counts the operations of F.interpolate and F.grid_sample.

    It does not count what they dispatch, which differs between processes: PyTorch may decompose it.

    Attributes:
        counted: the operations.
    """

    def __init__(self) -> None:
        super().__init__()
        self.counted = 0

    def __torch_function__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        out = func(*args, **(kwargs or {}))
        if func in (F.interpolate, F.grid_sample):
            default = "nearest" if func is F.interpolate else "bilinear"
            self.counted += _PER_OUTPUT.get((kwargs or {}).get("mode", default), 0) * out.numel()
        return out
