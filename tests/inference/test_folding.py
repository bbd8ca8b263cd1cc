"""A folded network has the results of the original network."""

import pytest
import torch
from random_weights import fill

from regseg.inference.folding import BranchedConvs, ExportNetwork, fold_batch_norm, split_branches
from regseg.models import create_model
from regseg.models.blocks import ConvBnAct

MODELS = [
    {"name": "regseg"},
    {"name": "ddrnet23"},
    {"backbone": "dilation_1_6_12_18", "decoder": "bisenet"},
    {"backbone": "regnety_600mf", "decoder": "sfnet"},
]


@pytest.mark.parametrize("options", MODELS, ids=lambda options: "-".join(options.values()))
def test_same_logits(options):
    network = fill(create_model(**options)).double()
    image = torch.randn(1, 3, 75, 97, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    folded = split_branches(fold_batch_norm(network))
    with torch.inference_mode():
        expected, found = network(image), folded(image)
        low = network.low_resolution_logits(image)
    assert torch.allclose(found, expected, rtol=1e-9, atol=1e-9 * expected.abs().max())
    upsampled = torch.nn.functional.interpolate(low, image.shape[2:], mode="bilinear", align_corners=False)
    assert torch.equal(upsampled, expected)
    assert not any(isinstance(m, ConvBnAct) and not isinstance(m.bn, torch.nn.Identity) for m in folded.modules())
    assert any(isinstance(module, ConvBnAct) and hasattr(module.bn, "running_var") for module in network.modules())


def test_blocks_of_several_rates_are_branched():
    folded = split_branches(fold_batch_norm(create_model("regseg")))
    assert sum(isinstance(module, BranchedConvs) for module in folded.modules()) == 12  # of 13 blocks, (1, 1) is one


def test_the_graph_normalizes_bytes(network, photograph):
    from regseg.data.augment.transforms import normalize

    images = torch.from_numpy(photograph[None])
    with torch.inference_mode():
        expected = network(normalize(images))
        logits, low = ExportNetwork(network, "logits")(images)
        labels, _ = ExportNetwork(network)(images)
    assert torch.allclose(logits, expected, atol=1e-4 * expected.abs().max())
    assert low.shape == (1, 19, 23, 31) and labels.dtype == torch.uint8
    assert (labels == expected.argmax(1)).float().mean() > 0.9999
