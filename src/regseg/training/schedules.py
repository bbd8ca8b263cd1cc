"""Learning rate schedules: factors on the initial learning rate as functions of the iteration (Sec. 4.2).

`poly`, `cosine` and `constant` are what ``scheduler=NAME`` chooses. A custom scheduler is called in the same way:
with the optimizer and the number of iterations of the whole training; it is stepped after every iteration.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from lightning.pytorch.callbacks import GradientAccumulationScheduler
from lightning.pytorch.utilities import rank_zero_only
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

EXTENSIBLE = ("poly", "cosine", "constant")  # they follow the new length if a resumed run is made longer


def warmup_factor(iteration: int, warmup_iters: int, start: float = 0.1) -> float:
    """Linear rise from ``start`` at iteration 0 to 1 at ``warmup_iters``, and 1 from there on."""
    return start + (1 - start) * iteration / warmup_iters if iteration < warmup_iters else 1.0


def poly_factor(iteration: int, total: int, power: float = 0.9) -> float:
    """Decay (1 − iteration/total)^power, 0 from ``total`` on."""
    return max(0.0, 1 - iteration / total) ** power


def cosine_factor(iteration: int, total: int) -> float:
    """Half a cosine, from 1 at iteration 0 to 0 from ``total`` on."""
    return 0.5 * (1 + math.cos(math.pi * min(iteration / total, 1.0)))


def poly(optimizer: Optimizer, total_iters: int, *, warmup_iters: float = 3000, power: float = 0.9) -> LambdaLR:
    """The schedule of Sec. 4.2: polynomial decay times warm-up, as the author's release runs it.

    Args:
        optimizer: its initial learning rates are multiplied.
        total_iters: iterations of the whole training.
        warmup_iters: iterations of the warm-up; a value below 1 is a share of the training; 0 for none.
        power: exponent of the decay.
    """
    return _with_warmup(optimizer, total_iters, warmup_iters, lambda it: poly_factor(it, total_iters, power))


def cosine(optimizer: Optimizer, total_iters: int, *, warmup_iters: float = 3000) -> LambdaLR:
    """Cosine decay times warm-up; arguments as for `poly`."""
    return _with_warmup(optimizer, total_iters, warmup_iters, lambda it: cosine_factor(it, total_iters))


def constant(optimizer: Optimizer, total_iters: int, *, warmup_iters: float = 0) -> LambdaLR:
    """The initial learning rate after a warm-up; arguments as for `poly`."""
    return _with_warmup(optimizer, total_iters, warmup_iters, lambda it: 1.0)


def _with_warmup(optimizer: Optimizer, total_iters: int, warmup: float, decay: Callable[[int], float]) -> LambdaLR:
    warmup_iters = round(warmup * total_iters) if warmup < 1 else int(warmup)
    if warmup_iters > total_iters / 2:
        _warn_of_warmup(warmup_iters, total_iters)
    return LambdaLR(optimizer, lambda iteration: decay(iteration) * warmup_factor(iteration, warmup_iters))


@rank_zero_only
def _warn_of_warmup(warmup_iters: int, total_iters: int) -> None:
    """Print that the warm-up takes most of the training, as the paper's 3000 iterations do on small datasets."""
    print(
        f"The warm-up of {warmup_iters} iterations takes most of the {total_iters}; lower scheduler.warmup_iters "
        "(in Python: scheduler=partial(poly, warmup_iters=0.05), a share of the training)."
    )


def total_iterations(trainer: Any, datamodule: Any) -> int:
    """Return the optimizer steps of the whole training of a Lightning Trainer with a limit of epochs or steps.

    Lightning's own estimate would create the first training iterator, before a resumed epoch is known.
    """
    batches = len(datamodule.train_set) // trainer.world_size // datamodule.batch_size
    limit = trainer.limit_train_batches
    batches = min(batches, limit) if isinstance(limit, int) else int(batches * limit)
    callbacks = [callback for callback in trainer.callbacks if isinstance(callback, GradientAccumulationScheduler)]
    accumulated = callbacks[0].scheduling if callbacks else {0: trainer.accumulate_grad_batches}  # from an epoch on
    starts, end = sorted(accumulated), trainer.max_epochs or 0
    lengths = [max(0, min(stop, end) - start) for start, stop in zip(starts, [*starts[1:], end], strict=True)]
    total = sum(length * -(-batches // accumulated[start]) for start, length in zip(starts, lengths, strict=True))
    return total if trainer.max_steps == -1 else min(total, trainer.max_steps)
