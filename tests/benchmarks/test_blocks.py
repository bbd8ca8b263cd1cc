"""Table 1 times the split into branches, also where both have rate 1."""

import torch

from regseg.benchmarks.blocks import PAPER, _blocks, draw
from regseg.models.blocks import DBlock


def test_the_block_of_two_equal_rates_is_split():
    blocks = dict(_blocks())
    assert list(blocks) == list(PAPER)
    whole, split = DBlock(256, 256, dilations=(1, 1), group_width=16), blocks["D block(1,1)"]
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
