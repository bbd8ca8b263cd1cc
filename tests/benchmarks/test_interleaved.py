"""Functions that are timed alternately."""

import pytest

from regseg.benchmarks import interleaved
from regseg.benchmarks.interleaved import summary, time_in_turn


def test_every_function_runs_once_per_round_in_random_order(monkeypatch):
    monkeypatch.setattr(interleaved, "PAUSE", 0)
    called = []
    times = time_in_turn({name: lambda name=name: called.append(name) for name in "abc"}, warm_up=2, iterations=6)
    rounds = ["".join(called[start : start + 3]) for start in range(0, len(called), 3)]
    assert len(rounds) == 8 and all(sorted(order) == list("abc") for order in rounds) and len(set(rounds)) > 1
    assert all(len(times[name]) == 6 and min(times[name]) >= 0 for name in "abc")


def test_a_summary_by_hand():
    """The speedups of the rounds are 4, 2 and 1; those of the means would be 7/4."""
    found = summary([1.0, 1.0, 2.0], [4.0, 2.0, 2.0])
    assert found["median_ms"] == 1 and found["minimum_ms"] == 1 and found["images_per_s"] == 1000
    assert found["speedup"] == 2


def test_a_single_round_has_equal_quartiles():
    found = summary([5.0], [10.0])
    assert found["quartile_1_ms"] == found["quartile_3_ms"] == found["median_ms"] == 5
    assert found["speedup"] == pytest.approx(2)
