"""GPU kernels of inference, in Triton.

Triton's interpreter runs them on a CPU if TRITON_INTERPRET=1 is set before Triton is imported.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

GROUP_WIDTH = 16  # channels per group: the smallest tile of a tensor core's product
_PIXELS = 128  # pixels per program


@triton.jit
def _dilated_conv_kernel(
    images,
    weights,
    biases,
    rates,
    outputs,
    pixels,
    height,
    width,
    channels,
    PIXELS: tl.constexpr,
    GROUP: tl.constexpr,
):
    """One group of channels at ``PIXELS`` pixels: nine products (PIXELS, 16) x (16, 16), accumulated in float32.

    The groups are the fastest dimension of the grid, so that programs that run together read the same cache lines.
    """
    group = tl.program_id(0)
    rate = tl.load(rates + group)
    pixel = tl.program_id(1) * PIXELS + tl.arange(0, PIXELS)  # index into B * H * W
    row, column = pixel // width % height, pixel % width
    inside = pixel < pixels
    lane = tl.arange(0, GROUP)
    channel = group * GROUP + lane
    total = tl.zeros((PIXELS, GROUP), tl.float32)
    for tap in tl.static_range(9):
        down, right = (tap // 3 - 1) * rate, (tap % 3 - 1) * rate
        valid = inside & (row + down >= 0) & (row + down < height) & (column + right >= 0) & (column + right < width)
        source = (pixel + down * width + right) * channels
        read = tl.load(images + source[:, None] + channel[None, :], mask=valid[:, None], other=0.0)
        weight = tl.load(weights + ((group * 9 + tap) * GROUP + lane)[:, None] * GROUP + lane[None, :])
        total = tl.dot(read, weight, total)
    total = tl.maximum(total + tl.load(biases + channel)[None, :], 0.0)
    target = outputs + (pixel * channels)[:, None] + channel[None, :]
    tl.store(target, total.to(outputs.dtype.element_ty), mask=inside[:, None])


def dilated_conv_relu(images: Tensor, weights: Tensor, biases: Tensor, rates: Tensor) -> Tensor:
    """relu(grouped 3x3 convolution + bias) with a dilation rate for each group, in one kernel.

    Args:
        images: (B, C, H, W) float16 or bfloat16, channels-last, with fewer than 2^31 elements.
        weights: (C/16, 9, 16, 16) of the same type: group, tap, input channel, output channel.
        biases: (C,) float32.
        rates: (C/16,) int32.

    Returns:
        (B, C, H, W) of the same type, channels-last.
    """
    images = images.contiguous(memory_format=torch.channels_last)
    batch, channels, height, width = images.shape
    assert images.numel() < 2**31 and channels == len(rates) * GROUP_WIDTH
    outputs = torch.empty_like(images)
    pixels = batch * height * width
    grid = (len(rates), triton.cdiv(pixels, _PIXELS))
    sizes = (pixels, height, width, channels)
    with torch.cuda.device_of(images):  # Triton launches kernels on the current device
        _dilated_conv_kernel[grid](images, weights, biases, rates, outputs, *sizes, PIXELS=_PIXELS, GROUP=GROUP_WIDTH)
    return outputs


@triton.jit
def _upsample_argmax_kernel(
    logits,
    labels,
    classes,
    source_height,
    source_width,
    height,
    width,
    batch_stride,
    class_stride,
    row_stride,
    column_stride,
    scale_down,
    scale_right,
    PIXELS: tl.constexpr,
):
    """Compute the classes of ``PIXELS`` pixels of one output row, from the four logits around each of them."""
    column = tl.program_id(0) * PIXELS + tl.arange(0, PIXELS)
    row, image = tl.program_id(1), tl.program_id(2)
    inside = column < width
    y = tl.maximum(scale_down * (row + 0.5) - 0.5, 0.0)
    x = tl.maximum(scale_right * (column + 0.5) - 0.5, 0.0)
    top = tl.minimum(y.to(tl.int32), source_height - 1)
    left = tl.minimum(x.to(tl.int32), source_width - 1)
    down, right = y - top, x - left
    bottom, beside = tl.minimum(top + 1, source_height - 1), tl.minimum(left + 1, source_width - 1)
    start = logits + image.to(tl.int64) * batch_stride
    upper, lower = start + top * row_stride, start + bottom * row_stride
    left, beside = left * column_stride, beside * column_stride
    best = tl.full((PIXELS,), float("-inf"), tl.float32)
    label = tl.zeros((PIXELS,), tl.int32)
    for number in range(classes):
        a = tl.load(upper + left, mask=inside, other=0.0).to(tl.float32)
        b = tl.load(upper + beside, mask=inside, other=0.0).to(tl.float32)
        c = tl.load(lower + left, mask=inside, other=0.0).to(tl.float32)
        d = tl.load(lower + beside, mask=inside, other=0.0).to(tl.float32)
        above, below = a + right * (b - a), c + right * (d - c)
        value = above + down * (below - above)
        better = value > best  # strictly greater, so that the first of equal logits wins
        best, label = tl.where(better, value, best), tl.where(better, number, label)
        upper += class_stride
        lower += class_stride
    target = labels + (image.to(tl.int64) * height + row) * width + column
    tl.store(target, label.to(tl.uint8), mask=inside)


def upsample_argmax(logits: Tensor, size: tuple[int, int]) -> Tensor:
    """Interpolate logits bilinearly (align_corners=False) and take the class of the largest, without full-size logits.

    Args:
        logits: (B, C, h, w) of any floating type and memory format, C at most 254.
        size: (H, W) in pixels.

    Returns:
        (B, H, W) uint8 class indices; ties go to the first class.
    """
    batch, classes, source_height, source_width = logits.shape
    labels = torch.empty((batch, *size), dtype=torch.uint8, device=logits.device)
    grid = (triton.cdiv(size[1], _PIXELS), size[0], batch)
    scales = (source_height / size[0], source_width / size[1])
    sizes = (classes, source_height, source_width, *size)
    with torch.cuda.device_of(logits):
        _upsample_argmax_kernel[grid](logits, labels, *sizes, *logits.stride(), *scales, PIXELS=_PIXELS)
    return labels
