"""What the kernels replace, that the results stay the same, and what happens if the kernels disagree."""

import pytest
import torch
from torch import nn

from regseg.inference import triton_network
from regseg.inference.folding import fold_batch_norm
from regseg.inference.triton_network import FusedDilatedConv, fuse, is_fusable, with_kernels
from regseg.inference.upsample import labels_of
from regseg.models.blocks import ConvBnAct, DBlock, DilatedConv

pytest.importorskip("triton", reason="Triton is not installed")

from regseg.inference import triton_kernels
from regseg.inference.triton_kernels import dilated_conv_relu

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


class TwoBlocks(nn.Module):
    def __init__(self):
        super().__init__()
        self.blocks = nn.Sequential(DBlock(32, 32, dilations=(1, 3)), DBlock(32, 32, stride=2), DBlock(32, 32))

    def forward(self, x):
        return self.blocks(x)


@pytest.fixture
def folded(monkeypatch):
    monkeypatch.setattr(triton_network, "_TEST_SIZES", ((5, 7),))  # the interpreter is slow
    monkeypatch.setattr(triton_network, "_CLASSES", 4)
    torch.manual_seed(0)
    network = TwoBlocks()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
            module.bias.data.normal_()
    folded = fold_batch_norm(network)
    return folded.to(DEVICE, torch.float16, memory_format=torch.channels_last)


def test_grouped_convolutions_of_stride_1_are_replaced(folded):
    names = [name for name, module in fuse(folded).named_modules() if isinstance(module, FusedDilatedConv)]
    assert names == ["blocks.0.conv2", "blocks.2.conv2"]
    assert not any(isinstance(module, FusedDilatedConv) for module in folded.modules())  # a copy was changed


def test_other_widths_and_unfolded_blocks_are_not_replaced():
    assert not is_fusable(ConvBnAct(DilatedConv(48, dilations=(1, 2), group_width=24)))
    assert not is_fusable(ConvBnAct(DilatedConv(32)))
    wide = fold_batch_norm(nn.Sequential(ConvBnAct(DilatedConv(48, dilations=(1, 2), group_width=24))))
    assert not is_fusable(wide[0])


@torch.inference_mode()
def test_the_network_computes_the_same(folded):
    x = torch.randn(2, 32, 7, 9, generator=torch.Generator().manual_seed(0)).to(DEVICE, torch.float16)
    x = x.contiguous(memory_format=torch.channels_last)
    expected, found = folded(x.clone()).float(), fuse(folded)(x.clone()).float()
    torch.testing.assert_close(found, expected, rtol=0, atol=4e-3 * expected.abs().max().item())


def test_kernels_that_agree_are_used(folded, capsys):
    network, upsample = with_kernels(folded)
    assert isinstance(network.blocks[0].conv2, FusedDilatedConv) and upsample is not labels_of
    assert not capsys.readouterr().out


def wrong_rates(images, weights, biases, rates):
    return dilated_conv_relu(images, weights, biases, torch.ones_like(rates))


@pytest.mark.parametrize(
    ("name", "kernel", "told"),
    [
        ("dilated_conv_relu", wrong_rates, "blocks.0.conv2 differs"),
        ("dilated_conv_relu", lambda images, *_: images * float("nan"), "blocks.0.conv2 differs"),
        ("upsample_argmax", lambda logits, size: labels_of(logits, size).flip(1), "upsampling differs"),
    ],
)
def test_kernels_that_disagree_are_not_used(name, kernel, told, folded, monkeypatch, capsys):
    monkeypatch.setattr(triton_kernels, name, kernel)
    assert with_kernels(folded) == (folded, labels_of)
    assert capsys.readouterr().out == f"Running without the Triton kernels ({told}).\n"


def test_an_error_of_the_compiler_is_one_line(folded, monkeypatch, capsys):
    def fail(*_):
        raise RuntimeError("PTX error\ndetails")

    monkeypatch.setattr(triton_kernels, "dilated_conv_relu", fail)
    assert with_kernels(folded)[0] is folded
    assert capsys.readouterr().out == "Running without the Triton kernels (RuntimeError: PTX error).\n"
