"""The blocks (Sec. 3.2, Figs. 3 and 4, Table 1)."""

import pytest
import torch
import torch.nn.functional as F

from regseg.models.blocks import DBlock, DilatedConv, SqueezeExcite, YBlock
from regseg.models.complexity import count_parameters, gflops


class OnImage(torch.nn.Module):
    """Wraps a block so that `gflops` can count it."""

    def __init__(self, block):
        super().__init__()
        self.block = block

    def forward(self, image):
        return self.block(image.new_empty(1, 256, *image.shape[2:]))


def test_blocks_of_table_1_differ_in_speed_only():
    """At w = 256, g = 16 the Y block and the D blocks have equal parameters and operations (1x256x64x128)."""
    blocks = [YBlock(256, 256), *(DBlock(256, 256, dilations=rates) for rates in [(1, 1), (1, 4), (1, 10)])]
    assert len({count_parameters(block) for block in blocks}) == 1
    assert len({gflops(OnImage(block), (64, 128)) for block in blocks}) == 1


@pytest.mark.parametrize("rates", [(1,), (1, 1), (3, 3), (2, 2, 2, 2)])
def test_equal_rates_are_one_convolution(rates):
    conv = DilatedConv(64, dilations=rates)
    assert len(conv.branches) == 1
    calls = {node.target for node in torch.fx.symbolic_trace(conv).graph.nodes if node.op != "placeholder"}
    assert calls == {"branches.0", "output"}


def test_d_block_of_rate_one_is_the_y_block():
    d, y = DBlock(64, 64, dilations=(1, 1)).eval(), YBlock(64, 64).eval()
    y.load_state_dict(d.state_dict())
    x = torch.randn(2, 64, 9, 11)
    assert torch.equal(d(x), y(x))


@pytest.mark.parametrize("rates", [(1, 4), (1, 3, 6, 12)])
def test_each_part_of_the_channels_has_its_rate(rates):
    conv = DilatedConv(128, dilations=rates, group_width=16)
    x = torch.randn(2, 128, 20, 24)
    step = 128 // len(rates)
    y = conv(x)
    for i, rate in enumerate(rates):
        part = slice(i * step, (i + 1) * step)
        weight = conv.branches[i].weight
        expected = F.conv2d(x[:, part], weight, padding=rate, dilation=rate, groups=step // 16)
        torch.testing.assert_close(y[:, part], expected)


@pytest.mark.parametrize("block", [DBlock, YBlock])
@pytest.mark.parametrize(("size", "half"), [((8, 12), (4, 6)), ((9, 13), (5, 7)), ((1, 2), (1, 1))])
def test_stride_two_halves_and_rounds_up(block, size, half):
    assert block(32, 48, stride=2).eval()(torch.randn(2, 32, *size)).shape == (2, 48, *half)


def test_strided_shortcuts():
    """A D block pools existing pixels before the 1x1 (Fig. 4); in a Y block the 1x1 has the stride."""
    d, y = DBlock(32, 48, stride=2), YBlock(32, 48, stride=2)
    assert d.pool and d.shortcut.conv.stride == (1, 1)
    assert not y.pool and y.shortcut.conv.stride == (2, 2)
    with torch.no_grad():
        for parameter in d.conv3.parameters():
            parameter.zero_()  # what is left is relu(shortcut)
    x = torch.rand(1, 32, 3, 5)
    pooled = torch.stack(
        [torch.stack([x[0, :, i : i + 2, j : j + 2].mean((1, 2)) for j in (0, 2, 4)], -1) for i in (0, 2)], -2
    )[None]
    torch.testing.assert_close(d.eval()(x), F.relu(d.shortcut(pooled)))


def test_squeeze_is_a_quarter_of_the_blocks_input():
    block = DBlock(32, 48, stride=2)
    assert block.se.conv1.weight.shape == (8, 48, 1, 1)
    assert block.se.conv1.bias is not None and block.se.conv2.bias is not None


def test_squeeze_excite_by_hand():
    se = SqueezeExcite(6, 2)
    x = torch.randn(2, 6, 4, 5)
    w1, w2 = se.conv1.weight[:, :, 0, 0], se.conv2.weight[:, :, 0, 0]
    gate = torch.sigmoid(F.relu(x.mean((2, 3)) @ w1.T + se.conv1.bias) @ w2.T + se.conv2.bias)
    torch.testing.assert_close(se(x), x * gate[:, :, None, None])


def test_blocks_do_not_change_their_input():
    """In-place ReLU and sums must not change the caller's tensor."""
    for block in (DBlock(32, 32, dilations=(1, 2)), DBlock(32, 48, stride=2), YBlock(32, 32)):
        x = torch.randn(2, 32, 6, 6)
        before = x.clone()
        block(x)
        assert torch.equal(x, before)
