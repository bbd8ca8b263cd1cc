"""Dilations, field of view and widths: Secs. 3.1 and 3.3, Tables 2 and 4."""

import re
import warnings

import pytest
import torch

import regseg
from regseg.errors import InputError
from regseg.models.backbones import BACKBONES, DILATIONS

# Table 4 in the paper's notation, with the field of view as eqs. 1 and 2 give it; the paper prints 607 in the last row.
TABLE_4 = {
    "dilation_1_14": ("(1,1)+(1,2)+4*(1,4)+7*(1,14)", 3807),
    "dilation_1_12": ("(1,1)+(1,2)+(1,4)+(1,6)+(1,8)+(1,10)+7*(1,12)", 3743),
    "dilation_1_3_6_12": ("(1,1)+(1,2)+(1,4)+(1,6)+(1,8)+(1,10)+7*(1,3,6,12)", 3743),
    "dilation_1_10": ("(1,1)+(1,2)+(1,4)+(1,6)+(1,8)+8*(1,10)", 3295),
    "dilation_1_6_12_18": ("(1,1)+(1,2)+6*(1,4)+5*(1,6,12,18)", 3807),
    "dilation_1_6": ("(1,1)+(1,2)+(1,4)+10*(1,6)", 2207),
    "dilation_1_14_gradual": ("(1,1)+(1,2)+(1,4)+(1,6)+(1,8)+(1,10)+(1,12)+6*(1,14)", 4127),
    "dilation_1_4_1_10": ("5*(1,4)+8*(1,10)", 3263),
    "dilation_1_4_8_12": ("(1,1)+(1,2)+(1,4)+(1,6)+(1,8)+(1,10)+7*(1,4,8,12)", 3743),
    "regnety_600mf": ("8*(1,1)+3*(2,2)", 479),
    "regseg_large": ("(1,1)+(1,2)+4*(1,4)+7*(1,14)", 3863),
}


def parse(notation):
    terms = re.findall(r"(?:(\d+)\*)?\(([\d,]+)\)", notation)
    return [tuple(map(int, rates.split(","))) for count, rates in terms for _ in range(int(count or 1))]


@pytest.mark.parametrize("name", TABLE_4)
def test_dilations_and_field_of_view_of_table_4(name):
    notation, field_of_view = TABLE_4[name]
    assert DILATIONS[name] == parse(notation)
    assert regseg.field_of_view(regseg.create_model(backbone=name)) == field_of_view


def test_names():
    assert regseg.list_backbones() == list(TABLE_4)
    assert sorted(BACKBONES) == sorted(TABLE_4)


@pytest.mark.parametrize("name", TABLE_4)
def test_out_channels_are_those_of_the_features(name):
    backbone = BACKBONES[name]().eval()
    maps = backbone(torch.randn(1, 32, 24, 33))  # of an image of 47x65
    assert tuple(x.shape[1] for x in maps) == backbone.out_channels
    assert [tuple(x.shape[2:]) for x in maps] == [(12, 17), (6, 9), (3, 5)]


def test_table_2():
    backbone = regseg.create_model().backbone
    assert backbone.out_channels == (48, 128, 320)
    assert [len(stage) for stage in (backbone.stage4, backbone.stage8, backbone.stage16)] == [1, 3, 14]
    assert [block.conv2.conv.dilations for block in backbone.stage16][:4] == [(1,), (1,), (1, 2), (1, 4)]
    assert {block.conv2.conv.branches[0].weight.shape[1] for block in backbone.stage16} == {16}  # group width


@pytest.mark.parametrize(
    ("dilations", "words"),
    [
        ([], "list of blocks"),
        ([1, 2], "list of blocks"),
        ("dilated", "no backbone 'dilated'"),
        ([[1], []], "Block 2 .* 0 rates"),
        ([[1], [1, 2, 4]], "Block 2 .* 3 rates"),
        ([[1], [0]], r"Block 2 .* \[0\]"),
        ([[1.5], [1]], r"Block 1 .* \[1.5\]"),
        ([[True]], r"Block 1 .* \[True\]"),
        (7, "backbone is 7"),
    ],
)
def test_invalid_dilations_are_refused(dilations, words):
    with pytest.raises(InputError, match=words):
        regseg.create_model(backbone=dilations)


def test_rates_must_divide_the_groups():
    """The larger RegSeg has 14 groups at 1/16 and 16 in the last block."""
    with pytest.raises(InputError, match=r"Block 1 .* 14 groups can be divided among 1 or 2"):
        regseg.create_model("regseg_large", backbone=[[1, 2, 3, 4], [1]])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        regseg.create_model("regseg_large", backbone=[[1], [1, 2, 3, 4]])
