"""The rows of Table 1, the split into branches (even if both have rate 1), and the rows that a GPU adds."""

import importlib.util
import json
from contextlib import contextmanager

import pytest
import torch
from omegaconf import OmegaConf
from tables import fits
from torch import nn

from regseg import benchmark
from regseg.benchmarks import blocks
from regseg.benchmarks.blocks import PAPER, _blocks, benchmark_blocks, blocks_table, draw
from regseg.errors import InputError
from regseg.inference import triton_network
from regseg.inference.triton_network import FusedDilatedConv
from regseg.models.blocks import ConvBnAct, DBlock, YBlock
from regseg.reporting import plots
from regseg.reporting.speeds import read_speeds


@pytest.fixture
def small(monkeypatch):
    for name, value in (("CHANNELS", 32), ("SIZE", (4, 6))):
        monkeypatch.setattr(blocks, name, value)
    monkeypatch.setattr(triton_network, "_TEST_SIZES", ((3, 4),))
    monkeypatch.setattr(triton_network, "_CLASSES", 3)


def test_rows_of_table_1(small):
    rows = benchmark_blocks(1, 2)
    assert [(row["block"], row["paper_ms"]) for row in rows][:4] == list(blocks.PAPER.items())
    assert all(row["median_ms"] > 0 for row in rows)


def test_the_file_has_the_form_of_other_benchmarks(small, tmp_path):
    benchmark.blocks(OmegaConf.create({"warm_up": 1, "iterations": 2, "out": str(tmp_path)}))
    content = json.loads((tmp_path / "blocks.json").read_text())
    assert list(content) == ["machine", "iterations", "results"] and content["iterations"] == 2
    assert [row["block"] for row in content["results"]][:4] == list(PAPER)
    with pytest.raises(InputError, match="contains no speeds"):  # they are of blocks, not of networks
        read_speeds(tmp_path / "blocks.json")


def test_a_row_that_the_paper_lacks():
    times = {"quartile_1_ms": 1.0, "quartile_3_ms": 3.0}
    rows = [{"block": "Y block", "median_ms": 2.0, "paper_ms": 1.0, **times}]
    rows += [{"block": "Y block, folded", "median_ms": 1.0, "paper_ms": None, **times}]
    columns = {str(column.header): list(column.cells) for column in blocks_table(rows).columns}
    assert columns["paper\nms"] == ["1.0", "–"] and columns["relative\nto Y"] == ["1.00", "0.50"]
    rows[0]["block"] = "D block(1,10), folded, Triton"
    assert fits(blocks_table(rows))


def test_the_legend_covers_no_bar(tmp_path, monkeypatch):
    drawn, original = [], plots.figure

    @contextmanager
    def keeping(*arguments):
        with original(*arguments) as figure:
            yield figure
            drawn.append(figure)

    monkeypatch.setattr(plots, "figure", keeping)
    rows = [{"block": name, "median_ms": ms, "paper_ms": ms} for name, ms in PAPER.items()]
    draw(rows, "a machine", tmp_path / "blocks.png")
    drawn[0].draw_without_rendering()
    (axes,), (legend,) = drawn[0].axes, drawn[0].legends
    assert axes.get_legend() is None and not legend.get_window_extent().overlaps(axes.bbox)


@pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="Triton is not installed")
def test_folded_blocks_by_both(small):
    pair: dict[str, nn.Module] = {"Y": YBlock(32, 32), "D": DBlock(32, 32, dilations=(1, 2))}
    rows = blocks._folded({name: block.eval() for name, block in pair.items()})
    assert list(rows) == ["Y, folded", "Y, folded, Triton", "D, folded", "D, folded, Triton"]
    assert isinstance(rows["D, folded"].conv2, ConvBnAct)
    assert isinstance(rows["D, folded, Triton"].conv2, FusedDilatedConv)
    x = torch.randn(1, 32, 4, 5).contiguous(memory_format=torch.channels_last)
    with torch.inference_mode():
        torch.testing.assert_close(rows["D, folded, Triton"](x), pair["D"](x), rtol=1e-4, atol=1e-4)


def test_the_block_of_two_equal_rates_is_split():
    found = dict(_blocks())
    assert list(found) == list(PAPER)
    whole, split = DBlock(256, 256, dilations=(1, 1), group_width=16), found["D block(1,1)"]
    assert len(split.conv2.conv.branches) == 2 and split.conv2.conv.dilations == (1, 1)
    assert [branch.dilation for branch in split.conv2.conv.branches] == [(1, 1), (1, 1)]
    # The same function: the branches hold the halves of the whole convolution's weights.
    x = torch.randn(1, 256, 9, 11)
    weights = torch.cat([branch.weight for branch in split.conv2.conv.branches])
    expected = torch.nn.functional.conv2d(x, weights, padding=1, groups=16)
    torch.testing.assert_close(split.conv2.conv(x), expected, rtol=1e-4, atol=1e-5)
    assert sum(p.numel() for p in whole.parameters()) == sum(p.numel() for p in split.parameters())


def test_the_plot(tmp_path):
    rows = [{"block": name, "median_ms": value + 1, "paper_ms": value} for name, value in PAPER.items()]
    draw(rows, "a machine", tmp_path / "blocks.png")
    assert (tmp_path / "blocks.png").stat().st_size > 1000
