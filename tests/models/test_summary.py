"""`describe` and the effective field of view."""

import numpy as np
import pytest
import torch

import regseg
from regseg.errors import InputError
from regseg.models.summary import describe, effective_field_of_view, noise_images, share_within, side_of


def test_blocks():
    blocks = describe(regseg.create_model(backbone="dilation_1_3_6_12"), (64, 96))["blocks"]
    assert len(blocks) == 1 + 1 + 3 + 14
    assert blocks[0] == {
        "name": "stem", "channels": 32, "stride": 2, "rates": [1], "field_of_view": 3, "bound": 1.0
    }  # fmt: skip
    assert blocks[-1] == {
        "name": "stage16.13",
        "channels": 320,
        "stride": 16,
        "rates": [1, 3, 6, 12],
        "field_of_view": 3743,
        "bound": (3743 - 24 * 16) / 16,
    }


class Window(torch.nn.Module):
    """A model whose centre pixel sees a 5x3 window."""

    def __init__(self):
        super().__init__()
        self.conv = torch.nn.Conv2d(3, 2, (5, 3), padding=(2, 1))

    def forward(self, image):
        return self.conv(image)


def test_effective_field_of_view_is_the_window_of_a_convolution():
    seen = effective_field_of_view(Window(), [torch.randn(2, 3, 16, 20), torch.randn(1, 3, 16, 20)])
    assert seen.shape == (16, 20)
    assert seen.sum() == pytest.approx(1)
    rows, columns = np.nonzero(seen)
    assert (rows.min(), rows.max()) == (8 - 2, 8 + 2)
    assert (columns.min(), columns.max()) == (10 - 1, 10 + 1)


def test_measuring_does_not_change_the_model():
    model = regseg.create_model(backbone=[[1], [1, 2]]).train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    effective_field_of_view(model, noise_images((64, 96), 1))
    assert model.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())


def test_shares_by_hand():
    seen = np.zeros((5, 7))
    seen[2, 3] = 0.5
    seen[2, 4] = 0.3
    seen[0, 0] = 0.2
    np.testing.assert_allclose(share_within(seen), [0.5, 0.8, 0.8, 1.0])
    assert [side_of(share, seen) for share in (0.4, 0.6, 0.9)] == [1, 3, 7]


def test_larger_rates_have_a_larger_effective_field_of_view():
    torch.manual_seed(0)
    sides = []
    for backbone in ("regnety_600mf", "dilation_1_14"):
        seen = effective_field_of_view(regseg.create_model(backbone=backbone), noise_images((256, 512), 1))
        sides.append(side_of(0.5, seen))
    assert sides[0] < 200 < sides[1]


def test_images_of_one_size_are_required():
    with pytest.raises(InputError, match="none"):
        effective_field_of_view(Window(), [])
    with pytest.raises(InputError, match=r"\(8, 8\), \(8, 9\)"):
        effective_field_of_view(Window(), [torch.zeros(1, 3, 8, 8), torch.zeros(1, 3, 8, 9)])
