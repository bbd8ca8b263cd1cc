"""Field of view, parameters and GFLOPs compared with the published ones (Tables 4, 9 and 10, author's release)."""

import warnings

import pytest
import torch

import regseg
from regseg.models.backbones import BACKBONES
from regseg.models.complexity import blocks_with_holes, compose, count_parameters, field_of_view_by_block, gflops

PARAMETERS = {
    ("regseg", None, None): 3_334_951,
    ("regseg_large", None, None): 6_131_579,
    ("ddrnet23", None, None): 20_148_819,
    ("regseg", "dilation_1_14", "sum_conv3x3"): 3_368_023,
    ("regseg", "regnety_600mf", "sum_conv3x3"): 5_688_995,
    ("regseg", "dilation_1_12", "regseg"): 3_334_951,
    ("regseg", "dilation_1_12", "concat_yblock"): 3_295_039,
    ("regseg", "dilation_1_12", "concat_conv3x3"): 3_392_407,
    ("regseg", "dilation_1_12", "sum_conv1x1"): 3_236_951,
    ("regseg", "dilation_1_12", "concat_conv1x1"): 3_228_567,
    ("regseg", "dilation_1_12", "lraspp"): 3_247_082,
    ("regseg", "dilation_1_12", "sfnet"): 3_405_079,
    ("regseg", "dilation_1_12", "bisenet"): 3_926_007,
}


@pytest.mark.parametrize("key", PARAMETERS, ids=lambda key: "+".join(filter(None, key)))
def test_parameters(key):
    name, backbone, decoder = key
    assert count_parameters(regseg.create_model(name, backbone=backbone, decoder=decoder)) == PARAMETERS[key]


@pytest.mark.parametrize("backbone", [name for name in regseg.list_backbones() if name.startswith("dilation")])
def test_dilation_costs_nothing(backbone):
    """Every dilated backbone of Table 4 has the parameters and operations of the first (Sec. 3.2)."""
    model = regseg.create_model(backbone=backbone)
    assert count_parameters(model) == 3_334_951
    assert gflops(model, (64, 128)) == gflops(regseg.create_model(), (64, 128))


@pytest.mark.parametrize(
    ("name", "backbone", "expected", "convolutions"),
    [
        ("regseg", None, 39.08, 38.35),
        ("regseg_large", None, 87.45, 86.46),
        ("regseg", "regnety_600mf", 53.99, None),
        ("ddrnet23", None, 143.68, 143.06),  # the paper's 143.1 is the convolutions alone
    ],
)
def test_gflops_of_a_cityscapes_image(name, backbone, expected, convolutions):
    model = regseg.create_model(name, backbone=backbone).train()
    assert round(gflops(model), 2) == expected
    if convolutions is not None:
        assert round(gflops(model, convolutions_only=True), 2) == convolutions
    assert model.training and next(model.parameters()).device.type == "cpu"  # the model itself is left alone


@pytest.mark.parametrize("name", ["regseg", "ddrnet23", *(f"+{decoder}" for decoder in regseg.list_decoders())])
def test_gflops_are_fvcores(name):
    """Our count is that of fvcore, which the paper used, for every model and decoder."""
    fvcore = pytest.importorskip("fvcore.nn")
    model = regseg.create_model(decoder=name[1:]) if name.startswith("+") else regseg.create_model(name)
    analysis = fvcore.FlopCountAnalysis(model.eval(), torch.randn(1, 3, 64, 96))
    analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False).tracer_warnings("none")
    assert gflops(model, (64, 96)) * 1e9 == pytest.approx(analysis.total(), rel=1e-12)


def test_field_of_view_by_hand():
    assert compose([]) == (1, 1)
    assert compose([(3, 1), (3, 1)]) == (5, 1)  # two 3x3 see 5x5 (Sec. 3.1)
    assert compose([(3, 2), (3, 2), (3, 1)]) == (15, 4)
    assert compose([(2 * 14 + 1, 1)], start=(671, 16)) == (1119, 16)


def test_the_papers_607_follows_from_other_depths():
    """The paper's value for RegNetY-600MF follows from the stage depths of RegNetX-600MF: 1, 3, 5, 7."""
    strides = [2] + [2] + [2, 1, 1] + [2] + [1] * 4
    last_stage = [(3, 1)] + [(5, 1)] * 6
    assert compose([(3, stride) for stride in strides] + last_stage)[0] == 607


def test_field_of_view_after_each_block():
    rows = field_of_view_by_block(regseg.create_model())
    assert [(name, k, s) for name, _, k, s in rows[:6]] == [
        ("stem", 3, 2),
        ("stage4.0", 7, 4),
        ("stage8.0", 15, 8),
        ("stage8.1", 31, 8),
        ("stage8.2", 47, 8),
        ("stage16.0", 63, 16),
    ]
    assert [k for _, _, k, _ in rows[6:]] == [95, 159, 287, 415, 543, 671, 1119, 1567, 2015, 2463, 2911, 3359, 3807]


def test_ddrnet_has_no_field_of_view():
    assert regseg.field_of_view(regseg.create_model("ddrnet23")) is None


def test_dilations_with_holes_cause_a_warning():
    """k/s >= r (Sec. 3.1): 63/16 before the first block, 95/16 before the second."""
    with pytest.warns(UserWarning, match=r"Block 2 .* rate 6, above the bound k/s = 5.9") as found:
        model = regseg.create_model(backbone=[[1], [1, 6]])
    assert found[0].filename == __file__  # the caller's line, not one of this package
    assert blocks_with_holes(model) == [("stage16.2", 6, 95 / 16)]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        regseg.create_model(backbone=[[1], [1, 5]])


def test_one_backbone_of_the_paper_exceeds_its_bound():
    """Table 4, row 8 starts with rate 4 where k/s is 3.94."""
    over = {name for name in BACKBONES if blocks_with_holes(regseg.create_model(backbone=name))}
    assert over == {"dilation_1_4_1_10"}


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_gflops_of_any_dtype(dtype):
    model = regseg.create_model(backbone=[[1]]).to(dtype)
    assert gflops(model, (64, 128)) == gflops(regseg.create_model(backbone=[[1]]), (64, 128))
    assert next(model.parameters()).dtype == dtype


def test_the_field_of_view_of_a_name():
    with pytest.raises(TypeError, match="create_model"):
        regseg.field_of_view("regseg")
