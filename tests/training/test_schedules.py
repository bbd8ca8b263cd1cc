import math
from types import SimpleNamespace

import pytest
import torch
from lightning.pytorch.callbacks import GradientAccumulationScheduler

from regseg.training.schedules import (
    constant,
    cosine,
    cosine_factor,
    poly,
    poly_factor,
    total_iterations,
    warmup_factor,
)


def rates(scheduler, total, iterations, **options):
    """Factors of the first ``iterations`` learning rates."""
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    schedule, found = scheduler(optimizer, total, **options), []
    for _ in range(iterations):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return found


@pytest.mark.parametrize(
    ("iteration", "expected"),
    [
        (0, 0.1),
        (1500, (1 - 1500 / 185500) ** 0.9 * 0.55),
        (2999, (1 - 2999 / 185500) ** 0.9 * (0.1 + 0.9 * 2999 / 3000)),
        (3000, (1 - 3000 / 185500) ** 0.9),
        (92750, 0.5**0.9),
        (185500, 0.0),
    ],
)
def test_hand_computed_values(iteration, expected):
    # 500 epochs of floor(2975 / 8) = 371 iterations, as in Table 4.
    assert poly_factor(iteration, 185500) * warmup_factor(iteration, 3000) == pytest.approx(expected)


def test_poly_rises_then_falls():
    values = rates(poly, 1000, 1000, warmup_iters=100)
    assert values == pytest.approx([(1 - i / 1000) ** 0.9 * min(1, 0.1 + 0.9 * i / 100) for i in range(1000)])
    assert values.index(max(values)) == 100


def test_without_warmup_it_starts_at_one():
    for scheduler in (poly, cosine, constant):
        assert rates(scheduler, 100, 1, warmup_iters=0) == [1]


def test_cosine():
    assert [cosine_factor(i, 100) for i in (0, 50, 100, 101)] == pytest.approx([1, 0.5, 0, 0])
    values = rates(cosine, 8, 8, warmup_iters=2)
    warmup = [0.1, 0.55, 1, 1, 1, 1, 1, 1]
    assert values == pytest.approx([w * (1 + math.cos(math.pi * i / 8)) / 2 for i, w in enumerate(warmup)])


@pytest.mark.parametrize(
    ("accumulated", "max_steps", "total"),
    [(1, -1, 6 * 5), (3, -1, 6 * 2), ({0: 1, 2: 5, 4: 2}, -1, 2 * 5 + 2 * 1 + 2 * 3), ({0: 5, 3: 1}, 9, 9)],
)
def test_the_length_counts_optimizer_steps(accumulated, max_steps, total):
    """Six epochs of five batches; gradients are accumulated over some, and over the rest of an epoch."""
    changing = isinstance(accumulated, dict)
    trainer = SimpleNamespace(
        world_size=2, limit_train_batches=1.0, max_epochs=6, max_steps=max_steps,
        accumulate_grad_batches=1 if changing else accumulated,
        callbacks=[GradientAccumulationScheduler(accumulated)] if changing else [],
    )  # fmt: skip
    assert total_iterations(trainer, SimpleNamespace(train_set=range(41), batch_size=4)) == total


def test_the_length_of_an_endless_training_takes_no_time():
    trainer = SimpleNamespace(
        world_size=1, limit_train_batches=1.0, max_epochs=10**15, max_steps=-1, accumulate_grad_batches=1, callbacks=[]
    )
    assert total_iterations(trainer, SimpleNamespace(train_set=range(9), batch_size=4)) == 2 * 10**15


def test_constant():
    assert rates(constant, 8, 5, warmup_iters=2) == pytest.approx([0.1, 0.55, 1, 1, 1])


def test_a_warmup_of_most_of_the_training_is_reported(capsys):
    rates(poly, 100, 1, warmup_iters=50)
    assert capsys.readouterr().out == ""
    rates(poly, 100, 1, warmup_iters=51)
    assert "scheduler.warmup_iters" in capsys.readouterr().out


def test_the_warm_up_may_be_a_share_of_the_training():
    tenth = rates(poly, 200, 30, warmup_iters=10)
    assert rates(poly, 200, 30, warmup_iters=0.05) == tenth != rates(poly, 200, 30, warmup_iters=11)
