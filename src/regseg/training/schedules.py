"""The learning rate of one iteration (Sec. 4.2)."""

from __future__ import annotations

from typing import Any


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


def total_iterations(trainer: Any, datamodule: Any) -> int:
    """Optimizer steps of the whole training of a Lightning Trainer with a limit of epochs or steps.

    Lightning's own estimate would create the first training iterator, before a resumed epoch is known.
    """
    batches = len(datamodule.train_set) // trainer.world_size // datamodule.batch_size
    limit = trainer.limit_train_batches
    batches = min(batches, limit) if isinstance(limit, int) else int(batches * limit)
    total = (trainer.max_epochs or 0) * -(-batches // trainer.accumulate_grad_batches)
    return total if trainer.max_steps == -1 else min(total, trainer.max_steps)
