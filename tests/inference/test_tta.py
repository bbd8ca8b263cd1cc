"""Flip and multi-scale testing: which probabilities are averaged."""

import pytest
import torch
from torch import nn

from regseg.inference import tta


class Columns(nn.Module):
    """Logits of two classes that depend on the column alone; remembers the sizes that it got."""

    def __init__(self):
        super().__init__()
        self.sizes = []

    def forward(self, images):
        self.sizes.append(tuple(images.shape[2:]))
        ramp = torch.arange(images.shape[3]).float().expand(len(images), 1, *images.shape[2:])
        return torch.cat([ramp, torch.zeros_like(ramp)], 1)


def test_without_augmentation_it_is_the_softmax():
    network = nn.Conv2d(3, 4, 1)
    images = torch.randn(2, 3, 5, 7)
    assert torch.allclose(tta.TestTimeAugmentation(network)(images), network(images).softmax(1))


def test_a_flip_averages_with_the_mirrored_probabilities():
    found = tta.TestTimeAugmentation(Columns(), flip=True)(torch.zeros(1, 3, 2, 4))
    columns = torch.sigmoid(torch.arange(4.0))  # softmax over (column, 0)
    wanted = (columns + columns.flip(0)) / 2
    assert torch.allclose(found[0, 0], wanted.expand(2, 4))
    assert torch.allclose(found.sum(1), torch.ones(1, 2, 4))


def test_scales_are_averaged_at_the_size_of_the_image():
    network = Columns()
    found = tta.TestTimeAugmentation(network, scales=(1.0, 0.5, 1.5))(torch.zeros(1, 3, 4, 8))
    assert network.sizes == [(4, 8), (2, 4), (6, 12)] and found.shape == (1, 2, 4, 8)
    tta.TestTimeAugmentation(network, scales=(0.1,))(torch.zeros(1, 3, 4, 8))
    assert network.sizes[-1] == (1, 1)  # a size is never 0
    assert torch.allclose(found.sum(1), torch.ones(1, 4, 8))


@pytest.mark.parametrize("scales", [(1.0,), (0.5, 1.0, 2.0)])
def test_equal_predictions_stay_as_they_are(scales):
    constant = nn.Conv2d(3, 2, 1)
    nn.init.zeros_(constant.weight)
    found = tta.TestTimeAugmentation(constant, scales, flip=True)(torch.randn(1, 3, 6, 6))
    assert torch.allclose(found, constant.bias.softmax(0).view(1, 2, 1, 1).expand(1, 2, 6, 6), atol=1e-6)
