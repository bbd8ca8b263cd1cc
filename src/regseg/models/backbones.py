"""The backbones of Table 4 and the backbone of the larger RegSeg: dilation rates as data, and two classes.

A backbone takes the stem's 32 channels at 1/2 resolution and returns feature maps at 1/4, 1/8 and 1/16. Its attribute
`out_channels` contains their numbers of channels.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from torch import Tensor, nn

from regseg.errors import InputError, shortened
from regseg.models.blocks import DBlock, YBlock

Dilations = Sequence[Sequence[int]]
Features = tuple[Tensor, Tensor, Tensor]  # maps at 1/4, 1/8, 1/16

STEM_CHANNELS = 32
LARGEST_RATE = 2**16  # of a dilation; larger than any feature map at 1/16 in practice

# Dilation rates of the stride-1 blocks at 1/16, in the order and notation of Table 4.
DILATIONS: dict[str, list[tuple[int, ...]]] = {
    "dilation_1_14": [(1, 1), (1, 2), *4 * [(1, 4)], *7 * [(1, 14)]],
    "dilation_1_12": [(1, 1), (1, 2), (1, 4), (1, 6), (1, 8), (1, 10), *7 * [(1, 12)]],
    "dilation_1_3_6_12": [(1, 1), (1, 2), (1, 4), (1, 6), (1, 8), (1, 10), *7 * [(1, 3, 6, 12)]],
    "dilation_1_10": [(1, 1), (1, 2), (1, 4), (1, 6), (1, 8), *8 * [(1, 10)]],
    "dilation_1_6_12_18": [(1, 1), (1, 2), *6 * [(1, 4)], *5 * [(1, 6, 12, 18)]],
    "dilation_1_6": [(1, 1), (1, 2), (1, 4), *10 * [(1, 6)]],
    "dilation_1_14_gradual": [(1, 1), (1, 2), (1, 4), (1, 6), (1, 8), (1, 10), (1, 12), *6 * [(1, 14)]],
    "dilation_1_4_1_10": [*5 * [(1, 4)], *8 * [(1, 10)]],
    "dilation_1_4_8_12": [(1, 1), (1, 2), (1, 4), (1, 6), (1, 8), (1, 10), *7 * [(1, 4, 8, 12)]],
    "regnety_600mf": [*8 * [(1, 1)], *3 * [(2, 2)]],  # includes the strided block at 1/16, which comes first
    "regseg_large": [(1, 1), (1, 2), *4 * [(1, 4)], *7 * [(1, 14)]],
}


@dataclass(frozen=True)
class BackboneConfig:
    """Widths and depths of a dilated backbone (Table 2); the dilation rates set the depth at 1/16.

    Attributes:
        widths: channels at 1/4, at 1/8, at 1/16, and of the last block.
        depths: number of blocks at 1/4 and at 1/8.
        group_width: channels per group of the 3x3 convolutions.
    """

    widths: tuple[int, int, int, int]
    depths: tuple[int, int]
    group_width: int


REGSEG = BackboneConfig(widths=(48, 128, 256, 320), depths=(1, 3), group_width=16)
REGSEG_LARGE = BackboneConfig(widths=(48, 120, 336, 384), depths=(2, 6), group_width=24)


class DilatedBackbone(nn.Module):
    """RegSeg's backbone (Sec. 3.3, Table 2).

    Args:
        dilations: the dilation rates of each stride-1 block at 1/16. The last of these blocks is wider than the
            others. All other blocks have rate 1.
        config: widths and depths.

    Raises:
        InputError: the dilations are invalid; see `check_dilations`.
    """

    def __init__(self, dilations: Dilations, config: BackboneConfig = REGSEG) -> None:
        super().__init__()
        check_dilations(dilations, config)
        w4, w8, w16, last = config.widths
        d4, d8 = config.depths
        block = partial(DBlock, group_width=config.group_width)
        widths16 = [w16] * len(dilations) + [last]
        self.config = config
        self.out_channels = (w4, w8, last)
        self.stage4 = _stage(block, STEM_CHANNELS, [w4] * d4)
        self.stage8 = _stage(block, w4, [w8] * d8)
        self.stage16 = _stage(block, w8, widths16, [{"dilations": rates} for rates in ((1,), *dilations)])

    def forward(self, x: Tensor) -> Features:
        """Map (B, 32, H/2, W/2) to the features at 1/4, 1/8 and 1/16."""
        x4 = self.stage4(x)  # (B, 48, H/4, W/4)
        x8 = self.stage8(x4)  # (B, 128, H/8, W/8)
        x16 = self.stage16(x8)  # (B, 320, H/16, W/16)
        return x4, x8, x16


class RegNetY(nn.Module):
    """RegNetY-600MF with output stride 16 (Table 4, row 10).

    The stage widths are 48, 112, 256 and 608; the depths are 1, 3, 7 and 4. The last stage has stride 1 and rate 2
    instead of stride 2. The first block of that stage keeps rate 1, because the removed stride would have affected only
    the blocks after it.
    """

    def __init__(self) -> None:
        super().__init__()
        rates = [{"dilation": pair[0]} for pair in DILATIONS["regnety_600mf"]]
        self.out_channels = (48, 112, 608)
        self.stage4 = _stage(YBlock, STEM_CHANNELS, [48])
        self.stage8 = _stage(YBlock, 48, [112] * 3)
        self.stage16 = _stage(YBlock, 112, [256] * 7 + [608] * 4, rates)

    def forward(self, x: Tensor) -> Features:
        """Map (B, 32, H/2, W/2) to the features at 1/4, 1/8 and 1/16."""
        x4 = self.stage4(x)  # (B, 48, H/4, W/4)
        x8 = self.stage8(x4)  # (B, 112, H/8, W/8)
        x16 = self.stage16(x8)  # (B, 608, H/16, W/16)
        return x4, x8, x16


def _stage(
    block: Callable[..., nn.Module], in_channels: int, widths: Sequence[int], options: Sequence[dict] | None = None
) -> nn.Sequential:
    """Return a sequence of blocks whose first one has stride 2; `options` are further keywords of each block."""
    options = options or [{}] * len(widths)
    inputs = [in_channels, *widths[:-1]]
    strides = [2] + [1] * (len(widths) - 1)
    return nn.Sequential(
        *(block(i, o, stride=s, **more) for i, o, s, more in zip(inputs, widths, strides, options, strict=True))
    )


def check_dilations(dilations: Dilations, config: BackboneConfig = REGSEG) -> None:
    """Check the dilation rates of the blocks at 1/16.

    Args:
        dilations: the rates of each block.
        config: the widths, from which the number of groups follows.

    Raises:
        InputError: a block does not have 1, 2 or 4 positive integer rates, or their number does not divide its groups.
    """
    if not _is_list(dilations) or not len(dilations) or not all(_is_list(rates) for rates in dilations):
        raise InputError(
            f"The dilations {shortened(dilations)} are not a list of blocks; give the rates of each block as a list, "
            "such as [[1], [1, 2], [1, 4]]."
        )
    for number, rates in enumerate(dilations, 1):
        if not all(type(rate) is int and 1 <= rate <= LARGEST_RATE for rate in rates):
            raise InputError(
                f"Block {number} of the dilations has rates {shortened(list(rates))}; give integers from 1 to "
                f"{LARGEST_RATE}."
            )
        width = config.widths[3] if number == len(dilations) else config.widths[2]
        groups = width // config.group_width
        choices = [count for count in (1, 2, 4) if groups % count == 0]
        if len(rates) not in choices:
            raise InputError(
                f"Block {number} of the dilations has {len(rates)} rates {shortened(list(rates))}; its "
                f"{groups} groups can be divided among {' or '.join(map(str, choices))}."
            )


def _is_list(value: object) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)


# Name -> constructor. The constructors of dilated backbones accept custom `dilations`.
BACKBONES: dict[str, Callable[..., DilatedBackbone | RegNetY]] = {
    name: partial(DilatedBackbone, dilations=dilations, config=REGSEG_LARGE if name == "regseg_large" else REGSEG)
    for name, dilations in DILATIONS.items()
    if name != "regnety_600mf"
} | {"regnety_600mf": RegNetY}
