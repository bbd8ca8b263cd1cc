"""Checks of the parts of a training that a user may replace: loss, optimizer and scheduler."""

from __future__ import annotations

from functools import partial
from typing import Any

from regseg.errors import InputError, check_number, check_options, shortened

# Options of optimizers and schedulers that are non-negative numbers.
_NUMBERS = {"lr", "momentum", "weight_decay", "warmup_iters", "power"}


def check_part(name: str, part: Any, *arguments: Any) -> None:
    """Check a part before anything is trained with it.

    Args:
        name: ``loss``, ``optimizer`` or ``scheduler``.
        part: The part, which will be called; a `partial` has options.
        *arguments: What it will be called with.

    Raises:
        InputError: It cannot be called, an option does not fit, or the loss is a class instead of an instance.
    """
    if not callable(part):
        raise InputError(
            f"{name}={shortened(repr(part))} is not callable; choose a file of the group {name}, or set a node with a "
            "_target_ (in Python, give a function, or a partial of a class)."
        )
    made = part.func if isinstance(part, partial) else part
    if name == "loss" and isinstance(made, type):  # the call would create a loss instead of computing one
        raise InputError(f"loss={made.__name__} is a class; create the loss, such as {made.__name__}().")
    if isinstance(part, partial):
        for option in _NUMBERS & part.keywords.keys():
            check_number(f"{name}.{option}", part.keywords[option], highest=1e38)  # within float32
        check_options(name, part.keywords, part.func, *arguments)
