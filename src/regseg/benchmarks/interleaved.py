"""Times functions alternately, so that other load on the machine slows all of them equally."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping, Sequence
from statistics import median, quantiles
from typing import Any

PAUSE = 0.02  # seconds before each call, because threads of the previous call may still spin


def time_in_turn(calls: Mapping[str, Callable[[], Any]], warm_up: int, iterations: int) -> dict[str, list[float]]:
    """Call each function once per round, in a new random order each round.

    Args:
        calls: name -> a function that returns when its work is done.
        warm_up: uncounted warm-up rounds (Sec. 4.7: 10).
        iterations: counted rounds (Sec. 4.7: 100).

    Returns:
        name -> milliseconds of every call.
    """
    order = list(calls)
    milliseconds: dict[str, list[float]] = {name: [] for name in calls}
    generator = random.Random(0)
    for number in range(warm_up + iterations):
        generator.shuffle(order)
        for name in order:
            time.sleep(PAUSE)
            began = time.perf_counter()
            calls[name]()
            if number >= warm_up:
                milliseconds[name].append(1000 * (time.perf_counter() - began))
    return milliseconds


def summary(milliseconds: Sequence[float], baseline: Sequence[float]) -> dict[str, float]:
    """Return the median, the quartiles and the rate of a function, and its speedup over the baseline.

    The speedup is the median of the ratios of each round, in which both were measured under equal conditions.
    """
    low, _, high = quantiles(milliseconds, n=4) if len(milliseconds) > 1 else [milliseconds[0]] * 3
    speedup = median(base / own for base, own in zip(baseline, milliseconds, strict=True))
    middle = median(milliseconds)
    return {
        "median_ms": middle,
        "quartile_1_ms": low,
        "quartile_3_ms": high,
        "minimum_ms": min(milliseconds),
        "images_per_s": 1000 / middle,
        "speedup": speedup,
    }
