"""The fused operations compute what the folded network computes."""

import pytest
import torch
from random_weights import fill

from regseg.data.datasets.cityscapes import SPEC
from regseg.inference import onednn
from regseg.inference.folding import fold_batch_norm
from regseg.inference.torch_runtime import TorchRuntime
from regseg.models import create_model
from regseg.models.blocks import ConvBnAct, DBlock

pytestmark = pytest.mark.skipif(not onednn.is_available(), reason="PyTorch has no fused operations on this machine")
MODELS = [
    {"name": "regseg"},
    {"name": "ddrnet23"},
    {"backbone": [[1], [1, 2, 4, 8]], "decoder": "lraspp"},
    {"backbone": [[1], [1, 2]], "decoder": "bisenet"},
    {"backbone": "regnety_600mf", "decoder": "sfnet"},
]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["f32", "bf16"])
@pytest.mark.parametrize("options", MODELS, ids=lambda options: str(options.get("name", options.get("decoder"))))
def test_same_logits(options, dtype):
    network = fill(create_model(**options))
    images = torch.randn(2, 3, 75, 97, generator=torch.Generator().manual_seed(0))
    images = images.to(dtype, memory_format=torch.channels_last)
    folded = fold_batch_norm(network).to(dtype, memory_format=torch.channels_last)
    before = images.clone()
    with torch.inference_mode():
        expected = folded(images).float()
        found = onednn.fuse(folded)(images).float()
    error = (found - expected).abs().max() / expected.abs().max()
    assert error < (2e-5 if dtype == torch.float32 else 0.06)
    assert torch.equal(images, before)
    assert not any(isinstance(m, (DBlock, ConvBnAct)) for m in _without_norms(folded))


def _without_norms(network):
    """All modules except blocks whose BatchNorm precedes the convolution, because these are not folded."""
    return [m for m in network.modules() if not (isinstance(m, ConvBnAct) and isinstance(m.bn, torch.nn.BatchNorm2d))]


def test_a_processor_without_bfloat16_uses_pytorchs_convolutions_in_that_type(network, monkeypatch):
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: False)
    for precision in ("f32", "bf16"):
        modules = TorchRuntime(network, SPEC, precision, "cpu").network.modules()
        assert any(isinstance(module, onednn.FusedConv) for module in modules) == (precision == "f32")


def test_the_runtime_uses_them(network):
    runtime = TorchRuntime(network, SPEC, "f32", "cpu")
    assert any(isinstance(module, onednn.FusedConv) for module in runtime.network.modules())
    assert any(isinstance(module, ConvBnAct) for module in network.modules())  # it was copied
