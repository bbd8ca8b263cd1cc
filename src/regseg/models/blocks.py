"""The building blocks of backbones and decoders (Secs. 3.2 and 3.3).

Every kxk convolution is padded such that only its stride changes the size, and has no bias because a BatchNorm
follows. ReLU is in-place where no gradient needs the value it overwrites (BatchNorm saves its input, not its output),
because at 1/2 and 1/4 resolution an extra copy costs as much as a convolution.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class ConvBnAct(nn.Module):
    """y = relu(bn(conv(x))), or bn(conv(x)) with `act=False`."""

    def __init__(self, conv: "nn.Conv2d | DilatedConv", act: bool = True) -> None:
        super().__init__()
        self.conv = conv
        self.bn = nn.BatchNorm2d(conv.out_channels)
        self.act = act

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, in, H, W) to (B, out, H', W'), the size of conv(x)."""
        x = self.bn(self.conv(x))
        return F.relu(x, inplace=True) if self.act else x


def conv1x1(in_channels: int, out_channels: int, *, stride: int = 1, act: bool = True) -> ConvBnAct:
    """Return a [1x1, out_channels] convolution (notation of Sec. 3.4) with BatchNorm and, if `act`, ReLU."""
    return ConvBnAct(nn.Conv2d(in_channels, out_channels, 1, stride, bias=False), act)


def conv3x3(in_channels: int, out_channels: int, *, stride: int = 1, act: bool = True) -> ConvBnAct:
    """Return a [3x3, out_channels] convolution (notation of Sec. 3.4) with BatchNorm and, if `act`, ReLU."""
    return ConvBnAct(nn.Conv2d(in_channels, out_channels, 3, stride, padding=1, bias=False), act)


class SqueezeExcite(nn.Module):
    """y = x * sigmoid(W2 relu(W1 mean(x))), where mean is global average pooling; W1 and W2 have biases.

    Args:
        channels: channels of x and y.
        squeezed: channels between W1 and W2.
    """

    def __init__(self, channels: int, squeezed: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, squeezed, 1)
        self.conv2 = nn.Conv2d(squeezed, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to the same shape."""
        gate = F.adaptive_avg_pool2d(x, 1)  # (B, C, 1, 1)
        gate = F.relu(self.conv1(gate), inplace=True)
        return x * torch.sigmoid(self.conv2(gate))


class DilatedConv(nn.Module):
    """Grouped 3x3 convolution whose groups are divided among several dilation rates (Sec. 3.2, Fig. 3b).

    The channels are split into one equal part per rate, in order; each part is one grouped convolution. Equal rates
    need no split (end of Sec. 3.2) and become one convolution over all channels.

    Args:
        channels: input and output channels.
        dilations: the dilation rates.
        group_width: channels per group.
        stride: stride of the convolution.
    """

    def __init__(
        self, channels: int, *, dilations: Sequence[int] = (1,), group_width: int = 16, stride: int = 1
    ) -> None:
        super().__init__()
        if len(set(dilations)) == 1:
            dilations = dilations[:1]
        assert channels % (group_width * len(dilations)) == 0, (channels, group_width, dilations)
        self.out_channels = channels
        self.stride = stride
        self.dilations = tuple(dilations)
        width = channels // len(dilations)
        self.branches = nn.ModuleList(
            nn.Conv2d(width, width, 3, stride, padding=rate, dilation=rate, groups=width // group_width, bias=False)
            for rate in dilations
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to (B, C, ceil(H/stride), ceil(W/stride))."""
        if len(self.branches) == 1:
            return self.branches[0](x)
        parts = x.chunk(len(self.branches), dim=1)
        return torch.cat([branch(parts[i]) for i, branch in enumerate(self.branches)], dim=1)


class DBlock(nn.Module):
    """y = relu(shortcut(x) + bn(conv1x1(se(relu(bn(dilated3x3(relu(bn(conv1x1(x)))))))))) (Figs. 3b and 4).

    shortcut(x) is x if the channels and size do not change, bn(conv1x1(x)) otherwise.

    Args:
        in_channels: channels of x; SE squeezes to a quarter of them.
        out_channels: channels of y.
        dilations: dilation rates of the 3x3 convolution.
        stride: stride of the 3x3 convolution.
        group_width: channels per group of the 3x3 convolution.
        pool_shortcut: with stride 2, put a 2x2 average pool before the 1x1 of the shortcut (ResNet-D) instead of a
            stride in it.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        dilations: Sequence[int] = (1,),
        stride: int = 1,
        group_width: int = 16,
        pool_shortcut: bool = True,
    ) -> None:
        super().__init__()
        self.conv1 = conv1x1(in_channels, out_channels)
        self.conv2 = ConvBnAct(DilatedConv(out_channels, dilations=dilations, group_width=group_width, stride=stride))
        self.conv3 = conv1x1(out_channels, out_channels, act=False)
        self.se = SqueezeExcite(out_channels, in_channels // 4)
        self.pool = stride > 1 and pool_shortcut
        self.shortcut: nn.Module = nn.Identity()
        if stride > 1 or in_channels != out_channels:
            self.shortcut = conv1x1(in_channels, out_channels, stride=1 if self.pool else stride, act=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, in, H, W) to (B, out, ceil(H/stride), ceil(W/stride))."""
        y = self.conv3(self.se(self.conv2(self.conv1(x))))
        if self.pool:
            x = F.avg_pool2d(x, 2, ceil_mode=True)  # at odd edges, the mean of the existing pixels
        y += self.shortcut(x)
        return F.relu(y, inplace=True)


class YBlock(DBlock):
    """The block of RegNetY (Fig. 3a): a D block with one rate whose shortcut has a strided 1x1 instead of a pool."""

    def __init__(
        self, in_channels: int, out_channels: int, *, dilation: int = 1, stride: int = 1, group_width: int = 16
    ) -> None:
        super().__init__(
            in_channels,
            out_channels,
            dilations=(dilation,),
            stride=stride,
            group_width=group_width,
            pool_shortcut=False,
        )


def upsample_to(x: Tensor, like: Tensor) -> Tensor:
    """Resize `x` (B, C, h, w) bilinearly, with align_corners=False, to the height and width of `like`."""
    return F.interpolate(x, size=like.shape[-2:], mode="bilinear", align_corners=False)
