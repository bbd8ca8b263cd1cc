"""The decoders of Table 5."""

import pytest
import torch

import regseg
from regseg.models.decoders import DECODERS, FlowAlign, PyramidPooling

CHANNELS = (48, 128, 320)


def features(height, width, batch=2):
    """Maps at 1/4, 1/8 and 1/16 of an image of height x width."""
    return tuple(
        torch.randn(batch, channels, -(-height // stride), -(-width // stride))
        for channels, stride in zip(CHANNELS, (4, 8, 16), strict=True)
    )


def test_names():
    assert regseg.list_decoders() == list(DECODERS)


@pytest.mark.parametrize("name", DECODERS)
@pytest.mark.parametrize("size", [(64, 96), (47, 65)])
def test_logits_are_at_a_quarter_or_an_eighth(name, size):
    decoder = DECODERS[name](CHANNELS, 5).eval()
    maps = features(*size)
    logits = decoder(maps)
    level = 0 if name in ("regseg", "regseg_large") else 1
    assert logits.shape == (2, 5, *maps[level].shape[-2:])


@pytest.mark.parametrize("name", DECODERS)
def test_the_classifier_is_named_classifier(name):
    """`load_weights` relies on this name when the number of classes differs."""
    shapes = [
        {key: tuple(value.shape) for key, value in DECODERS[name](CHANNELS, n).state_dict().items()} for n in (5, 7)
    ]
    differing = [key for key in shapes[0] if shapes[0][key] != shapes[1][key]]
    assert differing and all(key.rpartition(".")[0].endswith("classifier") for key in differing)


def test_pyramid_pooling_keeps_the_size():
    assert PyramidPooling(16, 8).eval()(torch.randn(2, 16, 7, 9)).shape == (2, 8, 7, 9)


def test_without_flow_the_coarse_map_is_sampled_on_a_grid_with_both_ends():
    """At equal sizes, grid_sample without align_corners shifts the ends outwards by half a pixel."""
    align = FlowAlign(4)
    torch.nn.init.zeros_(align.flow.weight)
    coarse = torch.ones(1, 4, 5, 6)
    aligned = align(coarse, torch.randn(1, 4, 10, 12))
    assert aligned.shape == (1, 4, 10, 12)
    torch.testing.assert_close(aligned[..., 1:-1, 1:-1], torch.ones(1, 4, 8, 10))  # zeros outside reach the border only
    assert (aligned[..., 0, :] < 1).all()
