"""The backbones of Table 4 and that of the larger RegSeg: their dilation rates as data, and two classes.

A backbone takes the stem's 32 channels at 1/2 and gives its last maps at 1/4, 1/8 and 1/16, whose channels it tells
as `out_channels`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from torch import Tensor, nn

from regseg.errors import InputError
from regseg.models.blocks import DBlock, YBlock

Schedule = Sequence[Sequence[int]]
Features = tuple[Tensor, Tensor, Tensor]  # maps at 1/4, 1/8, 1/16

STEM_CHANNELS = 32

# Dilation rates of the stride-1 blocks at 1/16, in the order and notation of Table 4.
SCHEDULES: dict[str, list[tuple[int, ...]]] = {
    "dilation_1_14": [(1, 1), (1, 2), *4 * [(1, 4)], *7 * [(1, 14)]],
    "dilation_1_12": [(1, 1), (1, 2), (1, 4), (1, 6), (1, 8), (1, 10), *7 * [(1, 12)]],
    "dilation_1_3_6_12": [(1, 1), (1, 2), (1, 4), (1, 6), (1, 8), (1, 10), *7 * [(1, 3, 6, 12)]],
    "dilation_1_10": [(1, 1), (1, 2), (1, 4), (1, 6), (1, 8), *8 * [(1, 10)]],
    "dilation_1_6_12_18": [(1, 1), (1, 2), *6 * [(1, 4)], *5 * [(1, 6, 12, 18)]],
    "dilation_1_6": [(1, 1), (1, 2), (1, 4), *10 * [(1, 6)]],
    "dilation_1_14_gradual": [(1, 1), (1, 2), (1, 4), (1, 6), (1, 8), (1, 10), (1, 12), *6 * [(1, 14)]],
    "dilation_1_4_1_10": [*5 * [(1, 4)], *8 * [(1, 10)]],
    "dilation_1_4_8_12": [(1, 1), (1, 2), (1, 4), (1, 6), (1, 8), (1, 10), *7 * [(1, 4, 8, 12)]],
    "regnety_600mf": [*8 * [(1, 1)], *3 * [(2, 2)]],  # its strided block at 1/16 is the first of these
    "regseg_large": [(1, 1), (1, 2), *4 * [(1, 4)], *7 * [(1, 14)]],
}


@dataclass(frozen=True)
class Shape:
    """How wide and deep a dilated backbone is beside its schedule (Table 2)."""

    widths: tuple[int, int, int, int]  # at 1/4, 1/8, 1/16, and of the last block
    depths: tuple[int, int]  # blocks at 1/4 and at 1/8
    group_width: int


REGSEG = Shape(widths=(48, 128, 256, 320), depths=(1, 3), group_width=16)
REGSEG_LARGE = Shape(widths=(48, 120, 336, 384), depths=(2, 6), group_width=24)


class DilatedBackbone(nn.Module):
    """RegSeg's backbone (Sec. 3.3, Table 2): (B, 32, H/2, W/2) -> maps at 1/4, 1/8 and 1/16.

    `schedule` holds the dilation rates of the stride-1 blocks at 1/16, a tuple each; the last of them is the wider
    one. Every other block has rate 1. Raises InputError on a schedule that cannot be built.
    """

    def __init__(self, schedule: Schedule, shape: Shape = REGSEG) -> None:
        super().__init__()
        check_schedule(schedule, shape)
        w4, w8, w16, last = shape.widths
        d4, d8 = shape.depths
        block = partial(DBlock, group_width=shape.group_width)
        widths16 = [w16] * len(schedule) + [last]
        self.shape = shape
        self.out_channels = (w4, w8, last)
        self.stage4 = _stage(block, STEM_CHANNELS, [w4] * d4, stride=2)
        self.stage8 = _stage(block, w4, [w8] * d8, stride=2)
        self.stage16 = _stage(
            block, w8, widths16, stride=2, options=[{"dilations": rates} for rates in ((1,), *schedule)]
        )

    def forward(self, x: Tensor) -> Features:
        x4 = self.stage4(x)  # (B, 48, H/4, W/4)
        x8 = self.stage8(x4)  # (B, 128, H/8, W/8)
        x16 = self.stage16(x8)  # (B, 320, H/16, W/16)
        return x4, x8, x16


class RegNetY(nn.Module):
    """RegNetY-600MF kept at output stride 16 (Table 4, row 10): (B, 32, H/2, W/2) -> maps at 1/4, 1/8 and 1/16.

    Stage widths 48, 112, 256, 608 and depths 1, 3, 7, 4. The last stage keeps stride 1; its first block still has
    rate 1, since the stride it lost would have taken effect only after it.
    """

    def __init__(self) -> None:
        super().__init__()
        rates = [{"dilation": pair[0]} for pair in SCHEDULES["regnety_600mf"]]
        self.out_channels = (48, 112, 608)
        self.stage4 = _stage(YBlock, STEM_CHANNELS, [48], stride=2)
        self.stage8 = _stage(YBlock, 48, [112] * 3, stride=2)
        self.stage16 = _stage(YBlock, 112, [256] * 7 + [608] * 4, stride=2, options=rates)

    def forward(self, x: Tensor) -> Features:
        x4 = self.stage4(x)  # (B, 48, H/4, W/4)
        x8 = self.stage8(x4)  # (B, 112, H/8, W/8)
        x16 = self.stage16(x8)  # (B, 608, H/16, W/16)
        return x4, x8, x16


def _stage(
    block: Callable[..., nn.Module],
    in_channels: int,
    widths: Sequence[int],
    *,
    stride: int,
    options: Sequence[dict] | None = None,
) -> nn.Sequential:
    """Blocks one after the other: the first takes the stride; `options` adds keywords for each."""
    options = options or [{}] * len(widths)
    inputs = [in_channels, *widths[:-1]]
    strides = [stride] + [1] * (len(widths) - 1)
    return nn.Sequential(
        *(block(i, o, stride=s, **more) for i, o, s, more in zip(inputs, widths, strides, options, strict=True))
    )


def check_schedule(schedule: Schedule, shape: Shape = REGSEG) -> None:
    """Raises InputError unless every block of `schedule` has 1, 2 or 4 positive rates that divide its groups."""
    if not _is_list(schedule) or not len(schedule) or not all(_is_list(rates) for rates in schedule):
        raise InputError(
            f"the dilation schedule {schedule!r} is not a list of blocks: give the rates of each block as a list, "
            "such as [[1], [1, 2], [1, 4]]"
        )
    for number, rates in enumerate(schedule, 1):
        if not all(isinstance(rate, int) and not isinstance(rate, bool) and rate >= 1 for rate in rates):
            raise InputError(
                f"block {number} of the dilation schedule has rates {list(rates)}: give integers from 1 up"
            )
        width = shape.widths[3] if number == len(schedule) else shape.widths[2]
        groups = width // shape.group_width
        choices = [count for count in (1, 2, 4) if groups % count == 0]
        if len(rates) not in choices:
            raise InputError(
                f"block {number} of the dilation schedule has {len(rates)} rates {list(rates)}: its {groups} groups "
                f"can be shared among {' or '.join(map(str, choices))}"
            )


def _is_list(value: object) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)


# Name -> a call that builds it; the dilated ones accept another `schedule=`.
BACKBONES: dict[str, Callable[..., nn.Module]] = {
    name: partial(DilatedBackbone, schedule=schedule, shape=REGSEG_LARGE if name == "regseg_large" else REGSEG)
    for name, schedule in SCHEDULES.items()
    if name != "regnety_600mf"
} | {"regnety_600mf": RegNetY}
