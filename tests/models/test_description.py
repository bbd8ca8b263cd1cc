"""The config and the title of a model."""

from torch import nn

import regseg
from regseg.models import title_of
from regseg.models.description import config_of


def test_the_config_builds_the_same_model():
    model = regseg.create_model(backbone="dilation_1_6", decoder="lraspp", num_classes=5)
    assert config_of(model) == {
        "name": "regseg", "backbone": "dilation_1_6", "decoder": "lraspp", "num_classes": 5,
    }  # fmt: skip
    assert config_of(nn.Linear(1, 1)) == {}


def test_titles():
    assert title_of(regseg.create_model()) == "dilation_1_14 + regseg"
    assert title_of(regseg.create_model(backbone=[[1]])) == "custom dilations + regseg"
    assert title_of(regseg.create_model("ddrnet23")) == "ddrnet23"
