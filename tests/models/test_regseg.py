"""RegSeg: the stem, the backbone and the decoder are called in this order."""

import torch
from torch import nn

from regseg.models.regseg import RegSeg


class Decoder(nn.Module):
    """Sums the three maps of one channel at the size of the first."""

    def forward(self, features):
        return sum(torch.nn.functional.interpolate(x, size=features[0].shape[-2:]) for x in features)


class Backbone(nn.Module):
    def forward(self, x):
        return tuple(nn.functional.avg_pool2d(x, 2**level, ceil_mode=True) for level in (1, 2, 3))


def test_logits_have_the_size_of_the_image():
    model = RegSeg(nn.Conv2d(3, 1, 3, stride=2, padding=1), Backbone(), Decoder())
    for size in ((32, 32), (33, 47)):
        assert model(torch.randn(2, 3, *size)).shape == (2, 1, *size)


def test_a_constant_image_has_constant_logits():
    """Bilinear upsampling keeps constants: 2 in the stem, and the sum of three equal maps."""
    stem = nn.Conv2d(3, 1, 1, stride=2, bias=False)
    nn.init.constant_(stem.weight, 2 / 3)
    logits = RegSeg(stem, Backbone(), Decoder())(torch.ones(1, 3, 32, 48))
    torch.testing.assert_close(logits, torch.full((1, 1, 32, 48), 6.0))
