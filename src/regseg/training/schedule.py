"""The learning rate of one iteration (Sec. 4.2)."""

from __future__ import annotations


def poly_with_warmup(iteration: int, total: int, warmup: int = 3000, power: float = 0.9, start: float = 0.1) -> float:
    """Factor on the initial learning rate: (1 − it/total)^power, times a linear rise from ``start`` to 1.

    The rise multiplies the decay, start + (1 − start)·it/warmup while it < warmup, as the author's release runs it.

    Args:
        iteration: counted from 0.
        total: iterations of the whole training.
        warmup: iterations of the rise; 0 for none.
    """
    decay = max(0.0, 1 - iteration / total) ** power
    rise = start + (1 - start) * iteration / warmup if iteration < warmup else 1.0
    return decay * rise
