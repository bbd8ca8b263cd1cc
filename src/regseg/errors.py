"""The one exception type for a user's mistakes."""

import difflib
import inspect
import math
from collections.abc import Callable, Mapping
from typing import Any


class InputError(ValueError):
    """A wrong file, value or option given by the user.

    The message is one sentence that names the offending file or value and the remedy. Entry points print it without a
    stack trace and exit with 2, as they do with what Hydra and the system refuse; any other exception is a defect of
    this project and keeps its trace.
    """

    def __init__(self, sentence: str) -> None:
        # A DataLoader raises the error of a worker anew, with the worker's whole trace before the sentence.
        super().__init__(sentence.rpartition("InputError: ")[2].strip().rstrip(".") + ".")


class RunFailure(Exception):
    """What ended the work from outside: a folder that was removed, say. One sentence; entry points exit with 1."""


def message(error: BaseException) -> str:
    """What ``error`` says; the last line of one from another process, which holds that process's whole trace."""
    text = str(error).strip()
    last = text.splitlines()[-1] if "Traceback (most recent call last)" in text else text
    return last.rpartition("InputError: ")[2]


def check_number(
    name: str, value: object, *, lowest: float = 0, highest: float = math.inf, integer: bool = False
) -> None:
    """Raise InputError unless ``value`` is a number from ``lowest`` to ``highest``, and an integer where needed."""
    kinds = int if integer else (int, float)
    if isinstance(value, bool) or not isinstance(value, kinds) or not lowest <= value <= highest:
        kind, end = "an integer" if integer else "a number", "up" if highest == math.inf else f"to {highest}"
        raise InputError(f"{name}={value!r} is not {kind} from {lowest} {end}.")


def check_options(
    name: str, options: Mapping[str, Any] | None, function: Callable[..., Any], *args: Any
) -> dict[str, Any]:
    """``options`` as a dict, None as an empty one; raises InputError unless ``function(*args, **options)`` fits."""
    options = {} if options is None else options
    if not isinstance(options, Mapping):
        raise InputError(f"{name}={options} is not a mapping; write {name}={{OPTION: VALUE}}.")
    signature = inspect.signature(function)
    try:
        signature.bind(*args, **options)
    except TypeError as error:
        known = list(signature.parameters)[len(args) :]
        strange = next((key for key in options if key not in known), None)
        fault = f"={dict(options)} does not fit: {error}" if strange is None else f".{strange} does not exist"
        near = difflib.get_close_matches(str(strange), known, n=1)
        hint = f"did you mean {name}.{near[0]}? The" if near else "the"
        raise InputError(f"{name}{fault}; {hint} options here are {', '.join(known) or 'none'}.") from error
    return dict(options)
