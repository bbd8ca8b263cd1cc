"""Table 1: the latency of blocks of 256 channels on a 64x128 map, batch 1."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, cast

import torch
from rich.box import SIMPLE_HEAD
from rich.table import Table
from torch import nn

from regseg.benchmarks.interleaved import summary, time_in_turn
from regseg.inference.folding import fold_batch_norm
from regseg.inference.triton_network import with_kernels
from regseg.inference.upsample import labels_of
from regseg.models.blocks import DBlock, DilatedConv, YBlock
from regseg.system.cpu import num_threads

CHANNELS, GROUP_WIDTH, SIZE = 256, 16, (64, 128)
PAPER = {"Y block": 1.0, "D block(1,1)": 1.1, "D block(1,4)": 1.2, "D block(1,10)": 1.2}  # milliseconds on a T4


def benchmark_blocks(warm_up: int, iterations: int) -> list[dict[str, Any]]:
    """Time the blocks of Table 1 in one interleaved run, as the paper does: in eval mode, half precision on a GPU.

    On a GPU, each block is timed again with BatchNorm folded, with cuDNN and with the
    kernel of `regseg.inference.triton_kernels`.

    Returns:
        One mapping per row, with our time and ``paper_ms``, which is None where the paper has no value.
    """
    torch.set_num_threads(num_threads())
    torch.backends.cudnn.benchmark = True
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    dtype = torch.float16 if device.type == "cuda" else torch.float32
    x = torch.randn(1, CHANNELS, *SIZE, device=device, dtype=dtype).to(memory_format=torch.channels_last)

    def call(block: nn.Module) -> None:
        with torch.inference_mode():
            block(x)
        if device.type == "cuda":
            torch.cuda.synchronize()

    blocks = {name: block.eval().to(device, dtype, memory_format=torch.channels_last) for name, block in _blocks()}  # type: ignore[call-overload]  # PyTorch's stubs lack memory_format
    if device.type == "cuda":
        blocks |= _folded(blocks)
    times = time_in_turn({name: partial(call, block) for name, block in blocks.items()}, warm_up, iterations)
    return [{"block": name, **summary(times[name], times["Y block"]), "paper_ms": PAPER.get(name)} for name in blocks]


def blocks_table(rows: list[dict[str, Any]]) -> Table:
    """Format our latencies next to the paper's as a table of at most 80 characters."""
    title = f"Table 1: 1x{CHANNELS}x{SIZE[0]}x{SIZE[1]}, groups of {GROUP_WIDTH}"
    table = Table(title=title, box=SIMPLE_HEAD, padding=0)
    for heading in ("block", "median\nms", "quartiles\nms", "relative\nto Y", "paper\nms", "paper,\nrelative"):
        table.add_column(heading, justify="left" if heading == "block" else "right")
    base = rows[0]
    for row in rows:
        table.add_row(
            row["block"],
            f"{row['median_ms']:.2f}",
            f"{row['quartile_1_ms']:.2f}-{row['quartile_3_ms']:.2f}",
            f"{row['median_ms'] / base['median_ms']:.2f}",
            "–" if row["paper_ms"] is None else f"{row['paper_ms']:.1f}",
            "–" if row["paper_ms"] is None else f"{row['paper_ms'] / base['paper_ms']:.2f}",
        )
    return table


def draw(rows: list[dict[str, Any]], machine: str, path: Path) -> None:
    """Draw the latencies of the paper's blocks relative to the Y block, ours next to the paper's."""
    from regseg.reporting.plots import OTHERS, OURS, figure

    rows = [row for row in rows if row["paper_ms"] is not None]
    places = range(len(rows))
    with figure(path, 6.0, 3.4) as drawn:
        axes = drawn.subplots()
        for shift, key, label, color in (
            (-0.2, "median_ms", "here", OURS),
            (0.2, "paper_ms", "paper (T4)", OTHERS),
        ):
            values = [row[key] / rows[0][key] for row in rows]
            bars = axes.bar([place + shift for place in places], values, 0.4, label=label, color=color)
            axes.bar_label(bars, [f"{value:.2f}" for value in values], padding=2)
        axes.set_xticks(places, [row["block"] for row in rows])
        axes.set(ylabel="latency relative to the Y block")
        axes.margins(y=0.15)
        drawn.legend(loc="outside lower center", ncols=2)  # inside, it would cover bars
        drawn.suptitle(machine, fontsize=8)


def _blocks() -> list[tuple[str, nn.Module]]:
    blocks: list[tuple[str, nn.Module]] = [("Y block", YBlock(CHANNELS, CHANNELS, group_width=GROUP_WIDTH))]
    for rate in (1, 4, 10):
        block = DBlock(CHANNELS, CHANNELS, dilations=(1, rate), group_width=GROUP_WIDTH)
        if rate == 1:
            block.conv2.conv = _split_in_two(cast(DilatedConv, block.conv2.conv))
        blocks.append((f"D block(1,{rate})", block))
    return blocks


def _folded(blocks: Mapping[str, nn.Module]) -> dict[str, nn.Module]:
    """Return each block with BatchNorm folded, run with cuDNN and, where it works, with the kernel."""
    rows: dict[str, nn.Module] = {}
    for name, block in blocks.items():
        rows[f"{name}, folded"] = folded = fold_batch_norm(block)
        kernel, upsample = with_kernels(folded)
        if upsample is not labels_of:
            rows[f"{name}, folded, Triton"] = kernel
    return rows


def _split_in_two(conv: DilatedConv) -> DilatedConv:
    """Split a convolution of one rate into two, which `DilatedConv` avoids; Table 1 includes the time of the split."""
    halves = DilatedConv(CHANNELS, dilations=(1, 2), group_width=GROUP_WIDTH)
    for branch in halves.branches:
        assert isinstance(branch, nn.Conv2d)
        branch.dilation, branch.padding = (1, 1), (1, 1)
    halves.dilations = conv.dilations * 2
    return halves
