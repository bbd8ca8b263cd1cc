import pytest

from regseg.training.schedules import poly_with_warmup


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
    assert poly_with_warmup(iteration, 185500) == pytest.approx(expected)


def test_without_warmup_it_starts_at_one():
    assert poly_with_warmup(0, 100, warmup=0) == 1


def test_it_rises_then_falls():
    values = [poly_with_warmup(i, 1000, warmup=100) for i in range(1000)]
    peak = values.index(max(values))
    assert peak == 100
    assert values[:peak] == sorted(values[:peak]) and values[peak:] == sorted(values[peak:], reverse=True)
