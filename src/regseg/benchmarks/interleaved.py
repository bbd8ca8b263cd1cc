"""Times alternatives in turn, so that other load on the machine slows all of them equally."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping, Sequence
from statistics import median, quantiles
from typing import Any

PAUSE = 0.02  # seconds before each call, because threads of the previous call may still spin


def time_in_turn(ways: Mapping[str, Callable[[], Any]], warm_up: int, iterations: int) -> dict[str, list[float]]:
    """Call each way once per round, in a new random order each round.

    Args:
        ways: name -> a call that returns when its work is done.
        warm_up: rounds that do not count (Sec. 4.7: 10).
        iterations: rounds that count (Sec. 4.7: 100).

    Returns:
        name -> milliseconds of every call.
    """
    order = list(ways)
    milliseconds: dict[str, list[float]] = {name: [] for name in ways}
    generator = random.Random(0)
    for number in range(warm_up + iterations):
        generator.shuffle(order)
        for name in order:
            time.sleep(PAUSE)
            began = time.perf_counter()
            ways[name]()
            if number >= warm_up:
                milliseconds[name].append(1000 * (time.perf_counter() - began))
    return milliseconds


def summary(milliseconds: Sequence[float], baseline: Sequence[float]) -> dict[str, float]:
    """Median, spread and rate of a way, and how many times as fast as the baseline it is.

    The ratio is the median of the ratios of each round, in which both were measured under equal conditions.
    """
    low, _, high = quantiles(milliseconds, n=4) if len(milliseconds) > 1 else [milliseconds[0]] * 3
    ratio = median(base / own for base, own in zip(baseline, milliseconds, strict=True))
    middle = median(milliseconds)
    return {
        "median_ms": middle,
        "quartile_1_ms": low,
        "quartile_3_ms": high,
        "minimum_ms": min(milliseconds),
        "images_per_s": 1000 / middle,
        "times_as_fast": ratio,
    }
