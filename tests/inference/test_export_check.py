"""The comparison of an exported file with PyTorch."""

import pytest

from regseg.data.datasets.cityscapes import SPEC
from regseg.errors import InputError
from regseg.inference.export import report
from regseg.inference.export_check import Check, check_export
from regseg.models import create_model


@pytest.mark.parametrize(("changed", "difference"), [(0.02, 0.0), (0.0, 0.2), (0.0, float("nan"))])
def test_labels_and_logits_are_both_bounded(changed, difference):
    assert Check("real", (64, 64), 0.01, 0.05, 0.01, 0.06).passed
    with pytest.raises(InputError, match="allowed"):
        report([Check("real", (64, 64), changed, difference, 0.01, 0.06)])


def test_even_and_odd_sizes_are_compared(exported, network, photograph):
    checks = check_export(exported("torch"), network, SPEC, "f32", None, [photograph, photograph])
    assert [check.image for check in checks] == ["random", "random", "real", "real"]
    assert [check.size for check in checks] == [(128, 192), (97, 131), (90, 122), (89, 121)]
    assert all(check.passed for check in checks)


def test_a_file_of_one_size_is_compared_at_that_size(exported, network, photograph):
    checks = check_export(exported("torch"), network, SPEC, "f32", (64, 96), [photograph])
    assert [check.size for check in checks] == [(64, 96), (64, 96)]


def test_another_network_does_not_pass(exported, photograph):
    other = create_model("regseg", backbone=[[1], [1, 2], [1, 4]])
    checks = check_export(exported("torch"), other, SPEC, "f32", None, [photograph])
    assert not any(check.passed for check in checks)
