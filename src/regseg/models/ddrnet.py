"""DDRNet-23 [18] as trained in the paper for comparison (Table 10): from scratch, without the auxiliary head."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from regseg.models.blocks import ConvBnAct, conv1x1, conv3x3, upsample_to


class BasicBlock(nn.Module):
    """y = shortcut(x) + bn(conv3x3(relu(bn(conv3x3(x))))), then ReLU if `act`.

    shortcut(x) is x if the channels and size do not change, bn(conv1x1(x)) with the stride otherwise.
    """

    def __init__(self, in_channels: int, out_channels: int, *, stride: int = 1, act: bool = True) -> None:
        super().__init__()
        self.conv1 = conv3x3(in_channels, out_channels, stride=stride)
        self.conv2 = conv3x3(out_channels, out_channels, act=False)
        self.shortcut = _shortcut(in_channels, out_channels, stride)
        self.act = act

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, in, H, W) to (B, out, ceil(H/stride), ceil(W/stride))."""
        y = self.conv2(self.conv1(x))
        y += self.shortcut(x)
        return F.relu(y, inplace=True) if self.act else y


class Bottleneck(nn.Module):
    """y = shortcut(x) + bn(conv1x1(relu(bn(conv3x3(relu(bn(conv1x1(x)))))))), with 2 * `width` channels and no ReLU."""

    def __init__(self, in_channels: int, width: int, *, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = conv1x1(in_channels, width)
        self.conv2 = conv3x3(width, width, stride=stride)
        self.conv3 = conv1x1(width, 2 * width, act=False)
        self.shortcut = _shortcut(in_channels, 2 * width, stride)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, in, H, W) to (B, 2 * width, ceil(H/stride), ceil(W/stride))."""
        y = self.conv3(self.conv2(self.conv1(x)))
        y += self.shortcut(x)
        return y


def _shortcut(in_channels: int, out_channels: int, stride: int) -> nn.Module:
    if stride == 1 and in_channels == out_channels:
        return nn.Identity()
    return conv1x1(in_channels, out_channels, stride=stride, act=False)


def _layer(in_channels: int, out_channels: int, stride: int = 1) -> nn.Sequential:
    """Return two BasicBlocks; the second has no ReLU at its end, so the caller applies it."""
    return nn.Sequential(
        BasicBlock(in_channels, out_channels, stride=stride), BasicBlock(out_channels, out_channels, act=False)
    )


class BnActConv(nn.Module):
    """y = conv(relu(bn(x)))."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, *, bias: bool = False) -> None:
        super().__init__()
        self.bn = nn.BatchNorm2d(in_channels)
        self.conv = nn.Conv2d(in_channels, out_channels, kernel_size, padding=kernel_size // 2, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, in, H, W) to (B, out, H, W)."""
        return self.conv(F.relu(self.bn(x), inplace=True))


class DAPPM(nn.Module):
    """Deep aggregation pyramid pooling: y0 = f0(x); yi = conv3x3(up(fi(pool_i(x))) + y(i-1)); y = g(cat(yi)) + h(x).

    f, g and h are 1x1 convolutions. BatchNorm and ReLU come before every convolution.
    """

    def __init__(self, in_channels: int, width: int, out_channels: int) -> None:
        super().__init__()
        self.pools = nn.ModuleList(
            [
                nn.AvgPool2d(5, 2, padding=2),  # the mean includes the zeros of the padding
                nn.AvgPool2d(9, 4, padding=4),
                nn.AvgPool2d(17, 8, padding=8),
                nn.AdaptiveAvgPool2d(1),
            ]
        )
        self.scales = nn.ModuleList(BnActConv(in_channels, width, 1) for _ in self.pools)
        self.scale0 = BnActConv(in_channels, width, 1)
        self.processes = nn.ModuleList(BnActConv(width, width, 3) for _ in self.pools)
        self.compress = BnActConv((1 + len(self.pools)) * width, out_channels, 1)
        self.shortcut = BnActConv(in_channels, out_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, in, h, w) to (B, out, h, w)."""
        ys = [self.scale0(x)]
        for pool, scale, process in zip(self.pools, self.scales, self.processes, strict=True):
            ys.append(process(upsample_to(scale(pool(x)), x) + ys[-1]))
        return self.compress(torch.cat(ys, dim=1)).add_(self.shortcut(x))


class Head(nn.Module):
    """logits = classifier(relu(bn(conv3x3(relu(bn(x)))))), where the classifier is a 1x1 convolution with bias."""

    def __init__(self, in_channels: int, width: int, num_classes: int) -> None:
        super().__init__()
        self.conv = BnActConv(in_channels, width, 3)
        self.bn = nn.BatchNorm2d(width)
        self.classifier = nn.Conv2d(width, num_classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, in, h, w) to logits (B, num_classes, h, w)."""
        return self.classifier(F.relu(self.bn(self.conv(x)), inplace=True))


class DDRNet23(nn.Module):
    """DDRNet-23: a low-resolution branch down to 1/64 and one at 1/8, fused twice in both directions.

    Attributes:
        config: plain values with which `create_model(**config)` builds the same network; set by `create_model`.
    """

    config: dict[str, object]

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.stem = nn.Sequential(conv3x3(3, 64, stride=2), conv3x3(64, 64, stride=2))
        self.layer1 = _layer(64, 64)
        self.layer2 = _layer(64, 128, stride=2)
        self.low3 = _layer(128, 256, stride=2)
        self.low4 = _layer(256, 512, stride=2)
        self.compress3 = conv1x1(256, 128, act=False)
        self.compress4 = conv1x1(512, 128, act=False)
        self.down3 = conv3x3(128, 256, stride=2, act=False)
        self.down4 = nn.Sequential(conv3x3(128, 256, stride=2), conv3x3(256, 512, stride=2, act=False))
        self.high3 = _layer(128, 128)
        self.high4 = _layer(128, 128)
        self.high5 = Bottleneck(128, 128)
        self.low5 = Bottleneck(512, 512, stride=2)
        self.dappm = DAPPM(1024, 128, 256)
        self.head = Head(256, 128, num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def low_resolution_logits(self, image: Tensor) -> Tensor:
        """Map normalized images (B, 3, H, W) to the logits before the last upsampling, (B, num_classes, H/8, W/8)."""
        x = F.relu(self.layer1(self.stem(image)), inplace=True)  # (B, 64, H/4, W/4)
        x = F.relu(self.layer2(x), inplace=True)  # (B, 128, H/8, W/8)
        low, high = self.low3(x), self.high3(x)  # (B, 256, H/16, W/16), (B, 128, H/8, W/8)
        low, high = _fuse(low, high, self.down3, self.compress3)
        low, high = self.low4(low), self.high4(high)  # (B, 512, H/32, W/32), (B, 128, H/8, W/8)
        low, high = _fuse(low, high, self.down4, self.compress4)
        low, high = self.low5(low), self.high5(high)  # (B, 1024, H/64, W/64), (B, 256, H/8, W/8)
        high += upsample_to(self.dappm(low), high)
        return self.head(high)

    def forward(self, image: Tensor) -> Tensor:
        """Map normalized images (B, 3, H, W) to logits (B, num_classes, H, W); H and W are at least 32."""
        return upsample_to(self.low_resolution_logits(image), image)


def _fuse(low: Tensor, high: Tensor, down: nn.Module, compress: ConvBnAct) -> tuple[Tensor, Tensor]:
    """Return (relu(low + down(relu(high))), relu(high + up(compress(relu(low)))))."""
    to_low = down(F.relu(high))
    to_high = upsample_to(compress(F.relu(low)), high)
    return F.relu(to_low.add_(low), inplace=True), F.relu(to_high.add_(high), inplace=True)
