"""The name of the first tensor that is not finite."""

import pytest
import torch

from regseg.models.finite import first_not_finite


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_the_first_tensor_that_is_not_finite_is_named(value, dtype):
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 2, 1), torch.nn.BatchNorm2d(2)).to(dtype)
    assert first_not_finite(network.state_dict()) is None
    network[1].running_var[1] = value
    assert first_not_finite(network.state_dict()) == "1.running_var"
    with torch.no_grad():
        network[0].bias[0] = value
    assert first_not_finite(network.state_dict()) == "0.bias"


def test_integers_and_an_empty_state_are_finite():
    assert first_not_finite({}) is None
    assert first_not_finite({"count": torch.tensor(3), "none": torch.empty(0)}) is None
