"""The decoders of Table 5 and their names.

A decoder is constructed from the backbone's `out_channels` (at 1/4, 1/8 and 1/16) and the number of classes. It maps
the three feature maps to logits at 1/8; RegSeg's own decoders return logits at 1/4. Every decoder ends in a 1x1
convolution with bias whose name ends in `classifier`; `load_weights` relies on this name when the number of classes
differs.
"""

from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from regseg.models.backbones import Features
from regseg.models.blocks import SqueezeExcite, YBlock, conv1x1, conv3x3, upsample_to

Channels = tuple[int, int, int]  # of the maps at 1/4, 1/8, 1/16


class RegSegDecoder(nn.Module):
    """`Sec. 3.4 decoder`: sum 1/16 and 1/8, 3x3; concatenate with 1/4, 3x3; logits at 1/4 (Fig. 5).

    Args:
        in_channels: channels of the features at 1/4, 1/8 and 1/16.
        num_classes: channels of the logits.
        head_widths: channels of the 1x1 convolutions on 1/16, 1/8 and 1/4.
        width: channels of both 3x3 convolutions.
    """

    def __init__(
        self,
        in_channels: Channels,
        num_classes: int,
        head_widths: tuple[int, int, int] = (128, 128, 8),
        width: int = 64,
    ) -> None:
        super().__init__()
        c4, c8, c16 = in_channels
        h16, h8, h4 = head_widths
        self.head16 = conv1x1(c16, h16)
        self.head8 = conv1x1(c8, h8)
        self.head4 = conv1x1(c4, h4)
        self.conv8 = conv3x3(h8, width)
        self.conv4 = conv3x3(width + h4, width)
        self.classifier = nn.Conv2d(width, num_classes, 1)

    def forward(self, features: Features) -> Tensor:
        """Map the features at 1/4, 1/8 and 1/16 to logits (B, num_classes, H/4, W/4)."""
        x4, x8, x16 = features
        x8 = upsample_to(self.head16(x16), x8).add_(self.head8(x8))
        x8 = self.conv8(x8)  # (B, 64, H/8, W/8)
        x4 = torch.cat([upsample_to(x8, x4), self.head4(x4)], dim=1)
        return self.classifier(self.conv4(x4))  # (B, num_classes, H/4, W/4)


class SumDecoder(nn.Module):
    """`sum+...`: 1x1 to 128 channels on 1/16 and 1/8; sum; `conv` 128 -> 128; logits at 1/8."""

    def __init__(self, in_channels: Channels, num_classes: int, conv: Callable[[int, int], nn.Module]) -> None:
        super().__init__()
        _, c8, c16 = in_channels
        self.head16 = conv1x1(c16, 128)
        self.head8 = conv1x1(c8, 128)
        self.conv = conv(128, 128)
        self.classifier = nn.Conv2d(128, num_classes, 1)

    def forward(self, features: Features) -> Tensor:
        """Map the features at 1/4, 1/8 and 1/16 to logits (B, num_classes, H/8, W/8)."""
        _, x8, x16 = features
        x8 = upsample_to(self.head16(x16), x8).add_(self.head8(x8))  # (B, 128, H/8, W/8)
        return self.classifier(self.conv(x8))


class ConcatDecoder(nn.Module):
    """`concat+...`: 1x1 to 32 channels on 1/8, to 128 on 1/16; concatenate; `conv` 160 -> 128; logits at 1/8."""

    def __init__(self, in_channels: Channels, num_classes: int, conv: Callable[[int, int], nn.Module]) -> None:
        super().__init__()
        _, c8, c16 = in_channels
        self.head8 = conv1x1(c8, 32)
        self.head16 = conv1x1(c16, 128)
        self.conv = conv(32 + 128, 128)
        self.classifier = nn.Conv2d(128, num_classes, 1)

    def forward(self, features: Features) -> Tensor:
        """Map the features at 1/4, 1/8 and 1/16 to logits (B, num_classes, H/8, W/8)."""
        _, x8, x16 = features
        x8 = torch.cat([self.head8(x8), upsample_to(self.head16(x16), x8)], dim=1)  # (B, 160, H/8, W/8)
        return self.classifier(self.conv(x8))


class LRASPP(nn.Module):
    """`LRASPP` [19]: 1x1 to 128 channels on 1/16, times a gate from its global mean; sum of logits of both, at 1/8."""

    def __init__(self, in_channels: Channels, num_classes: int) -> None:
        super().__init__()
        _, c8, c16 = in_channels
        self.conv = conv1x1(c16, 128)
        self.gate = nn.Conv2d(c16, 128, 1, bias=False)
        self.low_classifier = nn.Conv2d(c8, num_classes, 1)  # on the features at 1/8
        self.high_classifier = nn.Conv2d(128, num_classes, 1)  # on the gated features at 1/16

    def forward(self, features: Features) -> Tensor:
        """Map the features at 1/4, 1/8 and 1/16 to logits (B, num_classes, H/8, W/8)."""
        _, x8, x16 = features
        gate = torch.sigmoid(self.gate(F.adaptive_avg_pool2d(x16, 1)))  # (B, 128, 1, 1)
        high = upsample_to(self.conv(x16) * gate, x8)  # (B, 128, H/8, W/8)
        return self.high_classifier(high).add_(self.low_classifier(x8))


class PyramidPooling(nn.Module):
    """Average pooling to 1x1, 2x2, 3x3 and 6x6, a 1x1 on each; concatenation with the input; 1x1 (PSPNet [49])."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.cells = (1, 2, 3, 6)
        self.stages = nn.ModuleList(conv1x1(in_channels, out_channels, act=False) for _ in self.cells)
        self.conv = conv1x1(in_channels + len(self.cells) * out_channels, out_channels)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, in, h, w) to (B, out, h, w)."""
        pooled = [stage(F.adaptive_avg_pool2d(x, n)) for n, stage in zip(self.cells, self.stages, strict=True)]
        return self.conv(torch.cat([x, *(upsample_to(p, x) for p in pooled)], dim=1))


class FlowAlign(nn.Module):
    """Sampling of a coarse map at the size of a fine map, at positions shifted by a predicted flow (SFNet [26])."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.coarse = nn.Conv2d(channels, channels // 2, 1, bias=False)
        self.fine = nn.Conv2d(channels, channels // 2, 1, bias=False)
        self.flow = nn.Conv2d(channels, 2, 3, padding=1, bias=False)

    def forward(self, coarse: Tensor, fine: Tensor) -> Tensor:
        """Resample `coarse` (B, C, h, w) to (B, C, H, W), the size of `fine` (B, C, H, W)."""
        height, width = fine.shape[-2], fine.shape[-1]
        flow = self.flow(torch.cat([upsample_to(self.coarse(coarse), fine), self.fine(fine)], dim=1))
        # Positions are at least float32, because bfloat16 cannot distinguish neighbouring pixels. Channel 0 of the flow
        # is x, channel 1 is y. The grid equals torch.linspace(-1, 1), which would fix the size in an exported graph.
        exact = torch.promote_types(flow.dtype, torch.float32)
        xs = torch.arange(width, dtype=exact, device=fine.device) * 2 / (width - 1) - 1  # (W/8,)
        ys = torch.arange(height, dtype=exact, device=fine.device)[:, None] * 2 / (height - 1) - 1  # (H/8, 1)
        grid = torch.stack([xs + flow[:, 0] / width, ys + flow[:, 1] / height], dim=-1)  # (B, H/8, W/8, 2)
        aligned = F.grid_sample(coarse.to(exact), grid, mode="bilinear", padding_mode="zeros", align_corners=False)
        return aligned.to(coarse.dtype)


class SFNetDecoder(nn.Module):
    """`SFNetDecoder` [26]: pyramid pooling on 1/16, flow-aligned to 1/8 and summed; concatenated; logits at 1/8.

    It differs from the author's release in mixed precision: the release computes the sampling positions in float16,
    which shifts them by up to 0.016 pixels of the map at 1/16; here they are at least float32. Without mixed precision
    both compute the same.
    """

    def __init__(self, in_channels: Channels, num_classes: int) -> None:
        super().__init__()
        _, c8, c16 = in_channels
        self.head16 = PyramidPooling(c16, 64)
        self.head8 = conv1x1(c8, 64)
        self.align = FlowAlign(64)
        self.conv = conv3x3(64, 64)
        self.fuse = conv3x3(64 + 64, 64)
        self.classifier = nn.Conv2d(64, num_classes, 1)

    def forward(self, features: Features) -> Tensor:
        """Map the features at 1/4, 1/8 and 1/16 to logits (B, num_classes, H/8, W/8)."""
        _, x8, x16 = features
        x16 = self.head16(x16)  # (B, 64, H/16, W/16)
        x8 = self.head8(x8)  # (B, 64, H/8, W/8)
        x8 = self.conv(x8 + self.align(x16, x8))
        x16 = F.interpolate(x16, size=x8.shape[-2:], mode="bilinear", align_corners=True)
        return self.classifier(self.fuse(torch.cat([x8, x16], dim=1)))


class AttentionRefinement(nn.Module):
    """y * sigmoid(bn(conv1x1(mean(y)))) where y = relu(bn(conv3x3(x))) (BiSeNet [47])."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv = conv3x3(in_channels, out_channels)
        self.gate = conv1x1(out_channels, out_channels, act=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, in, h, w) to (B, out, h, w)."""
        y = self.conv(x)
        return y * torch.sigmoid(self.gate(F.adaptive_avg_pool2d(y, 1)))


class BiSeNetDecoder(nn.Module):
    """`BiSeNetDecoder` [47]: refined 1/16 plus its global mean, nearest to 1/8; fused with 1/8; logits at 1/8.

    It differs from the author's release in training: the release exempts from weight decay the parameters whose
    names contain "bn", which misses one BatchNorm of this decoder; here no BatchNorm has weight decay (Sec. 4.2).
    """

    def __init__(self, in_channels: Channels, num_classes: int) -> None:
        super().__init__()
        _, c8, c16 = in_channels
        self.refine16 = AttentionRefinement(c16, 128)
        self.head16 = conv3x3(128, 128)
        self.head_mean = conv1x1(c16, 128)
        self.fuse = conv1x1(c8 + 128, 128)
        self.se = SqueezeExcite(128, 128 // 4)
        self.conv = conv3x3(128, 128)
        self.classifier = nn.Conv2d(128, num_classes, 1)

    def forward(self, features: Features) -> Tensor:
        """Map the features at 1/4, 1/8 and 1/16 to logits (B, num_classes, H/8, W/8)."""
        _, x8, x16 = features
        mean = self.head_mean(F.adaptive_avg_pool2d(x16, 1))  # (B, 128, 1, 1); broadcasting is nearest upsampling
        context = F.interpolate(self.refine16(x16).add_(mean), size=x8.shape[-2:], mode="nearest")
        z = self.fuse(torch.cat([x8, self.head16(context)], dim=1))  # (B, 128, H/8, W/8)
        return self.classifier(self.conv(z + self.se(z)))


# Name -> constructor that takes (in_channels, num_classes).
DECODERS: dict[str, Callable[[Channels, int], nn.Module]] = {
    "regseg": RegSegDecoder,  # "Sec. 3.4 decoder"
    "sum_conv3x3": partial(SumDecoder, conv=conv3x3),  # "sum+3x3 conv"
    "concat_yblock": partial(ConcatDecoder, conv=YBlock),  # "concat+Y block"
    "concat_conv3x3": partial(ConcatDecoder, conv=conv3x3),  # "concat+3x3 conv"
    "sum_conv1x1": partial(SumDecoder, conv=conv1x1),  # what the author ran for the row "concat+1x1 conv"
    "concat_conv1x1": partial(ConcatDecoder, conv=conv1x1),  # what that row says; the author did not run it
    "lraspp": LRASPP,
    "sfnet": SFNetDecoder,
    "bisenet": BiSeNetDecoder,
    "regseg_large": partial(RegSegDecoder, head_widths=(256, 256, 16), width=128),  # the larger RegSeg
}
