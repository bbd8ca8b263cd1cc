"""DDRNet-23: the blocks by hand, and the resolutions of its branches."""

import torch
import torch.nn.functional as F

from regseg.models.ddrnet import DAPPM, BasicBlock, Bottleneck, DDRNet23


def test_basic_block_by_hand():
    block = BasicBlock(4, 4).eval()
    x = torch.randn(2, 4, 6, 7)
    torch.testing.assert_close(block(x), F.relu(x + block.conv2(block.conv1(x))))
    block.act = False
    assert (block(x) < 0).any()


def test_bottleneck_doubles_the_width_and_rounds_up():
    assert Bottleneck(8, 4, stride=2).eval()(torch.randn(1, 8, 5, 7)).shape == (1, 8, 3, 4)
    assert Bottleneck(8, 8).eval()(torch.randn(1, 8, 5, 7)).shape == (1, 16, 5, 7)


def test_pyramid_keeps_the_size():
    assert DAPPM(16, 4, 8).eval()(torch.randn(1, 16, 3, 5)).shape == (1, 8, 3, 5)


def test_branches():
    model, shapes = DDRNet23(5).eval(), {}
    for name in ("layer2", "low4", "high4", "low5", "high5"):
        module = getattr(model, name)
        module.register_forward_hook(lambda _m, _i, out, name=name: shapes.update({name: tuple(out.shape)}))
    with torch.no_grad():
        assert model(torch.randn(1, 3, 64, 128)).shape == (1, 5, 64, 128)
    assert shapes == {
        "layer2": (1, 128, 8, 16),
        "low4": (1, 512, 2, 4),
        "high4": (1, 128, 8, 16),
        "low5": (1, 1024, 1, 2),
        "high5": (1, 256, 8, 16),
    }
