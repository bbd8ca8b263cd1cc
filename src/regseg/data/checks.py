"""Checks of options; each error names the option, its value and the remedy."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from regseg.errors import InputError


def check_count(name: str, value: Any, least: int = 1) -> int:
    """``value`` if it is an integer and at least ``least``.

    Raises:
        InputError: it is not.
    """
    if not _is_integer(value) or value < least:
        raise InputError(f"{name}={value} is not an integer of at least {least}; write one, such as {name}={least + 1}.")
    return value


def check_pair(name: str, values: Any) -> tuple[int, int]:
    """``values`` as a tuple if it is a pair of positive integers.

    Raises:
        InputError: it is not.
    """
    fits = isinstance(values, Sequence) and len(values) == 2
    if not fits or not all(_is_integer(value) and value > 0 for value in values):
        raise InputError(f"{name}={values} is not a pair of positive integers; write {name}=[240,320].")
    return values[0], values[1]


def check_arguments(name: str, function: Callable[..., Any], *args: Any, options: Mapping[str, Any] | None) -> dict:
    """``options`` as a dict if ``function`` can be called with ``*args`` and them.

    Raises:
        InputError: an option is unknown, lacking, or the whole is no mapping.
    """
    if not isinstance(options or {}, Mapping):
        raise InputError(f"{name}={options} is not a mapping; write {name}={{OPTION: VALUE}}.")
    options = dict(options or {})
    parameters = inspect.signature(function)
    try:
        parameters.bind(*args, **options)
    except TypeError as error:
        known = ", ".join(list(parameters.parameters)[len(args) :]) or "none"
        raise InputError(f"{name}={options} does not fit: {error}; the options here are {known}.") from error
    return options


def _is_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
