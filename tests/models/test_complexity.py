"""Parameters and GFLOPs against the published ones (Tables 9 and 10, and the author's release)."""

import pytest
import torch

import regseg
from regseg.models.complexity import count_parameters, gflops

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
