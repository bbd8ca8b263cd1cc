"""A custom loss, optimizer or scheduler is checked before the training."""

from functools import partial

import pytest
from torch.nn import CrossEntropyLoss, Linear
from torch.optim import SGD

from regseg.errors import InputError
from regseg.training.parts import check_part


@pytest.mark.parametrize("loss", [CrossEntropyLoss, partial(CrossEntropyLoss, ignore_index=255)])
def test_a_class_is_not_a_loss(loss):
    """Calling it would create a loss instead of computing one."""
    with pytest.raises(InputError, match=r"^loss=CrossEntropyLoss is a class; create .* CrossEntropyLoss\(\)\.$"):
        check_part("loss", loss, None, None)
    check_part("loss", CrossEntropyLoss(ignore_index=255), None, None)


def test_an_optimizer_is_created_by_the_task():
    check_part("optimizer", SGD, [])
    check_part("optimizer", partial(SGD, lr=0.1), [])
    with pytest.raises(InputError, match=r"is not callable; .*in Python, give a function, or a partial of a class"):
        check_part("optimizer", SGD(Linear(1, 1).parameters()), [])
    with pytest.raises(InputError, match=r"optimizer\.lr=-1 is not a number"):
        check_part("optimizer", partial(SGD, lr=-1), [])
