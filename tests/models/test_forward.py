"""Every model at every size, in training, in bfloat16, exported and compiled."""

import shutil

import pytest
import torch
from zoo import CASES, SHORT_CASES, calibrated, name_of

import regseg

every_model = pytest.mark.parametrize("case", CASES, ids=name_of)
every_short_model = pytest.mark.parametrize("case", SHORT_CASES, ids=name_of)


@every_model
def test_logits_have_the_inputs_size(case):
    """Any size from 32 up; two images, because BatchNorm in training needs two values per channel."""
    model = regseg.create_model(**case, num_classes=5)
    for training in (True, False):
        model.train(training)
        for size in [(32, 32), (33, 47), (70, 95)]:
            with torch.no_grad():
                logits = model(torch.randn(2, 3, *size))
            assert logits.shape == (2, 5, *size)
            assert logits.isfinite().all()


@every_model
def test_a_step_reaches_every_parameter(case):
    torch.manual_seed(0)
    model = regseg.create_model(**case, num_classes=5).train()
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
    images, labels = torch.randn(2, 3, 64, 96), torch.randint(5, (2, 64, 96))
    loss = torch.nn.functional.cross_entropy(model(images), labels)
    loss.backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all(), name
    optimizer.step()
    with torch.no_grad():
        assert torch.nn.functional.cross_entropy(model(images), labels) < loss


@every_model
def test_bfloat16_agrees(case):
    """Autocast to bfloat16 changes no logit of a new model by more than 5% of their range.

    BatchNorm has its initial statistics. With statistics of noise images, a network with random weights amplifies
    rounding errors too much for a comparison.
    """
    torch.manual_seed(0)
    model = regseg.create_model(**case).eval()
    x = torch.randn(2, 3, 96, 128)
    with torch.no_grad():
        logits = model(x)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            rounded = model(x).float()
    assert (rounded - logits).abs().max() < 0.05 * (logits.max() - logits.min())


@every_model
def test_channels_last_agrees(case):
    model = calibrated(case).double()
    x = torch.randn(2, 3, 63, 65).double()
    with torch.no_grad():
        expected = model(x)
        logits = model.to(memory_format=torch.channels_last)(x.contiguous(memory_format=torch.channels_last))
    torch.testing.assert_close(logits, expected, rtol=1e-9, atol=1e-9)


# With the short models, each kind of block and every decoder is traced. Other models only repeat them, for minutes.
FULL_CASES = [
    *({"name": name} for name in regseg.list_models()),
    {"backbone": "regnety_600mf", "decoder": "sum_conv3x3"},
]


def _exports(case):
    model, x = calibrated(case), torch.randn(2, 3, 64, 96)
    exported = torch.export.export(model, (x,)).module()
    with torch.no_grad():
        torch.testing.assert_close(exported(x), model(x))


def _compiles(case, backend):
    torch.compiler.reset()  # the graphs of other models count towards a limit
    model, x = regseg.create_model(**case).eval(), torch.randn(2, 3, 64, 96)
    compiled = torch.compile(model, backend=backend, fullgraph=True)
    with torch.no_grad():
        torch.testing.assert_close(compiled(x), model(x))


@every_short_model
def test_export(case):
    _exports(case)


@pytest.mark.slow
@pytest.mark.parametrize("case", FULL_CASES, ids=name_of)
def test_export_in_full(case):
    _exports(case)


@pytest.mark.parametrize("case", [SHORT_CASES[1], SHORT_CASES[3]], ids=name_of)
def test_export_to_any_size(case):
    model = calibrated(case)
    any_size = {2: torch.export.Dim.DYNAMIC, 3: torch.export.Dim.DYNAMIC}
    exported = torch.export.export(model, (torch.randn(2, 3, 64, 96),), dynamic_shapes=(any_size,)).module()
    x = torch.randn(2, 3, 75, 101)
    with torch.no_grad():
        torch.testing.assert_close(exported(x), model(x))


@every_short_model
def test_compile(case):
    _compiles(case, "eager")


@pytest.mark.slow
@pytest.mark.parametrize("case", FULL_CASES, ids=name_of)
def test_compile_in_full(case):
    _compiles(case, "eager")


@pytest.mark.slow
@pytest.mark.skipif(not (shutil.which("g++") or shutil.which("clang++")), reason="inductor needs a C++ compiler")
def test_compile_with_inductor():
    _compiles({"backbone": [[1, 2]]}, "inductor")


@every_short_model
def test_symbolic_trace(case):
    model, x = calibrated(case), torch.randn(2, 3, 64, 96)
    with torch.no_grad():
        torch.testing.assert_close(torch.fx.symbolic_trace(model)(x), model(x))
