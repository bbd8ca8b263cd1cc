"""`describe` and the plot of the field of view."""

import json

import cv2
import numpy as np
import pytest
import torch

import regseg
from regseg.errors import InputError
from regseg.models.summary import (
    draw_field_of_view,
    effective_field_of_view,
    noise_images,
    share_within,
    side_of,
)
from regseg.reporting.network_figures import describe_with_paper


def paper(model):
    return {row["quantity"]: row for row in describe_with_paper(model)["paper"]}


def test_regseg_compared_with_the_paper():
    described = describe_with_paper(regseg.create_model())
    assert described["parameters"] == 3_334_951
    assert round(described["gflops"], 2) == 39.08
    assert described["field_of_view"] == 3807
    assert [(row["paper"], row["where"]) for row in described["paper"]] == [
        (3.34, "Table 10"),
        (39.1, "Table 10"),
        (3807, "Table 4, row 1"),
    ]
    assert [bool(row["why"]) for row in described["paper"]] == [True, False, False]
    json.dumps(described)  # plain values


def test_all_printed_fields_of_view_but_one_are_reproduced():
    """The fields of view needed by Sec. 3.1, 2n - 1 for a side of n pixels, are compared too."""
    differing, met = {}, {}
    for name in regseg.list_backbones():
        described = describe_with_paper(regseg.create_model(backbone=name, decoder="sum_conv3x3"), (64, 64))
        assert [row["pixels"] for row in described["needed_field_of_view"]] == [447, 2 * 1024 - 1, 2 * 2048 - 1]
        met[name] = [row["met"] for row in described["needed_field_of_view"]]
        for row in described["paper"]:
            if row["ours"] != row["paper"]:
                differing[name] = row
    assert met.pop("regnety_600mf") == [True, False, False] and met.pop("dilation_1_14_gradual") == [True, True, True]
    assert all(of_network == [True, True, False] for of_network in met.values())
    assert list(differing) == ["regnety_600mf"]
    row = differing["regnety_600mf"]
    assert (row["ours"], row["paper"], row["where"]) == (479, 607, "Table 4, row 10")
    assert "RegNetX-600MF" in row["why"]


def test_ddrnet_compared_with_the_paper():
    model = regseg.create_model("ddrnet23")
    described = describe_with_paper(model)
    assert described["field_of_view"] is None and described["blocks"] == []
    assert [row["met"] for row in described["needed_field_of_view"]] == 3 * [None]
    assert round(described["gflops_convolutions"], 1) == 143.1
    assert "convolutions alone" in paper(model)["GFLOPs at 1024x2048"]["why"]


def test_custom_dilations_are_in_no_table():
    assert describe_with_paper(regseg.create_model(backbone=[[1], [1, 4]]), (64, 96))["paper"] == []
    assert "parameters (millions)" not in paper(regseg.create_model(num_classes=11))


def test_blocks():
    blocks = describe_with_paper(regseg.create_model(backbone="dilation_1_3_6_12"), (64, 96))["blocks"]
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


@pytest.mark.parametrize("count", [1, 3, 4])
def test_the_figure_is_written(count, tmp_path):
    pytest.importorskip("matplotlib")
    models = {f"{rate}": regseg.create_model(backbone=[[1], [1, rate]]) for rate in range(2, 1 + count)}
    models["DDRNet-23"] = regseg.create_model("ddrnet23")
    path = draw_field_of_view(models, tmp_path / "new" / "seen.png", images=noise_images((64, 128), 1))
    pixels = cv2.imread(str(path))
    assert pixels.shape[1] == 1440 and pixels.shape[0] > 600
    assert pixels.std() > 25  # not blank


def test_images_of_one_size_are_required():
    with pytest.raises(InputError, match="none"):
        effective_field_of_view(Window(), [])
    with pytest.raises(InputError, match=r"\(8, 8\), \(8, 9\)"):
        effective_field_of_view(Window(), [torch.zeros(1, 3, 8, 8), torch.zeros(1, 3, 8, 9)])
