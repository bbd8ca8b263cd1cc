"""Quotes command line values that Hydra's grammar refuses, such as paths with spaces, so that users do not have to."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from typing import Any

from hydra._internal.utils import get_args_parser
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, Quote, QuotedString
from hydra.errors import HydraException

from regseg.errors import InputError

# Options that are paths in every command, so that 2024, true and [a] are names of folders there.
PATHS = {
    "data.root",
    "source",
    "weights",
    "out",
    "runs",
    "benchmark",
    "picture",
    "pictures",
    "hydra.run.dir",
    "hydra.sweep.dir",
}
# Options of earlier versions and their present names.
RENAMED = {
    "root": "data.root",
    "optimizer.warmup_iters": "scheduler.warmup_iters",
    "optimizer.power": "scheduler.power",
    "loss.name": "loss",
    "logger.name": "logger",
    "logger.project": "logger.wandb.project",
    "logger.entity": "logger.wandb.entity",
    "logger.offline": "logger.wandb.offline",
}
_HELP = ("-h", "--help", "--hydra-help", "--version")
_OPEN = re.compile(r"(\\*)\$\{(?![^}]+\})")  # an unclosed ${, which is not an interpolation
_TOKENS = re.compile(r"'(?:\\.|[^'\\])*'(?=,|$)|\"(?:\\.|[^\"\\])*\"(?=,|$)|.", re.DOTALL)


def asks_for_sweep(arguments: Sequence[str]) -> bool:
    """Return whether these command line arguments start a sweep."""
    # argparse accepts prefixes of --multirun.
    return any(
        argument in ("-m", "hydra.mode=MULTIRUN") or (argument[:4] == "--mu" and "--multirun".startswith(argument))
        for argument in arguments
    )


def flags_first(arguments: Sequence[str]) -> list[str]:
    """Return command line arguments with ``-m`` in front, because Hydra refuses overrides on both sides of it."""
    return sorted(arguments, key=lambda text: not asks_for_sweep([text]))


def asks_for_help(arguments: Sequence[str]) -> bool:
    """Return whether these command line arguments ask for the command's help."""
    return any(argument in ("-h", "--help") for argument in arguments)


def overrides_of(arguments: Sequence[str], open_groups: Sequence[str]) -> list[str]:
    """Return the overrides among command line arguments that Hydra can read, quoted as it needs them."""
    return [text for text in typed_overrides(for_hydra(arguments, open_groups)) if is_assignment(text)]


def for_hydra(arguments: Sequence[str], open_groups: Sequence[str] = ()) -> list[str]:
    """Quote every value that Hydra's grammar refuses, so that it is read as plain text.

    Values that the grammar accepts keep their meaning: numbers, lists, sweeps, quoted strings, interpolations. A
    leading ``~`` is expanded to the home folder.

    Args:
        arguments: The command line without the program's name.
        open_groups: Groups that accept options which their files do not list, without a ``+``.

    Returns:
        The command line for Hydra.

    Raises:
        InputError: An option was renamed.
    """
    sweeps = asks_for_sweep(arguments)
    overrides = set(typed_overrides(arguments))
    for key in (text.lstrip("+").partition("=")[0] for text in overrides):
        if key in RENAMED:
            raise InputError(f"{key} was renamed; use {RENAMED[key]}=VALUE.")
    opened = tuple(f"{group}." for group in open_groups)
    return [
        ("++" if argument.startswith(opened) else "") + _quoted(argument, sweeps) if argument in overrides else argument
        for argument in arguments
    ]


def dashed_options(arguments: Sequence[str]) -> Iterator[tuple[str, str, str | None]]:
    """Yield (argument, name, value or None) of every option that is written with dashes and is not Hydra's."""
    unknown = get_args_parser().parse_known_args([text for text in arguments if text not in _HELP])[1]
    for text in unknown:
        name, equals, value = text.lstrip("-").partition("=")
        if text.startswith("-") and name:
            following = arguments[arguments.index(text) + 1 :][:1]
            given = [other for other in following if "=" not in other and not other.startswith("-")]
            yield text, name, value if equals else next(iter(given), None)


def swept_values(arguments: Sequence[str]) -> dict[str, list[str]]:
    """Return the values of every key that these command line arguments sweep over."""
    swept = {}
    for text in typed_overrides(for_hydra(arguments)):
        override = _parsed(text)
        if override is not None and override.is_sweep_override():
            swept[override.get_key_element().lstrip("+")] = [plain(value) for value in override.sweep_string_iterator()]
    return swept


def is_plain(text: str) -> bool:
    """Return whether an override's value is no mapping."""
    override = _parsed(text)
    return override is None or not isinstance(override.value(), dict)


def is_name(text: str) -> bool:
    """Return whether an override's value can be the name of a file of a group, or a list or a sweep of names."""
    override = _parsed(text)
    return override is None or not isinstance(override.value(), (bool, int, float, dict))


def plain(value: str) -> str:
    """Return a value as plain text, without Hydra's quotes."""
    override = _parsed(f"key={value}")
    found = None if override is None else override.value()
    return found if isinstance(found, str) else value


def is_assignment(text: str) -> bool:
    """Return whether an argument is ``OPTION=VALUE`` or ``~OPTION``."""
    return "=" in text or text.startswith("~")


def key_of(text: str) -> str:
    """Return the option that an override such as ``+data.root=FOLDER`` sets."""
    return text.lstrip("+~").partition("=")[0]


def typed(value: Any) -> str:
    """Return the text of a plain value in a command or a YAML file: ``[0.5,1]``, ``true``, ``null``."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return f"[{','.join(map(typed, value))}]" if isinstance(value, list) else str(value)


def typed_overrides(arguments: Sequence[str]) -> list[str]:
    """Return the overrides among command line arguments, as typed."""
    # Without --help and similar flags, for which argparse would print and exit.
    return get_args_parser().parse_known_args([text for text in arguments if text not in _HELP])[0].overrides


def _parsed(text: str) -> Override | None:
    try:
        return OverridesParser.create().parse_override(text)
    except (HydraException, ValueError):
        return None


def _quoted(text: str, sweeps: bool) -> str:
    """Return an override in Hydra's grammar."""
    key, equals, value = text.partition("=")
    override, is_path = _parsed(text), key.lstrip("+") in PATHS
    if not equals or key.startswith("~") or (override is not None and not is_path):
        return text
    if override is None and not is_path and value.startswith(("{", "[")):
        return text  # a mistake in a mapping or a list; Hydra reports where it is
    functions = override is not None and override.is_sweep_override() and not _is_simple_choice(override)
    parts = _split(value) if sweeps and not functions else [value]
    quoted = f"{key}={','.join(_element(part, is_path) for part in parts)}"
    return text if _parsed(quoted) is None else quoted


def _element(value: str, is_path: bool) -> str:
    override = _parsed(f"key={value}")
    if override is None or (is_path and _is_simple_choice(override)):
        return _as_text(value)
    no_path = is_path and isinstance(override.value(), (bool, int, float, list, dict))
    return _as_text(value) if no_path else value


def _is_simple_choice(override: Override) -> bool:
    return override.is_sweep_override() and getattr(override.value(), "simple_form", False)


def _as_text(value: str) -> str:
    text = os.path.expanduser(value) if value.startswith("~") else value
    # OmegaConf parses the string again: an unclosed ${ must be escaped, and so must the backslashes before it.
    text = _OPEN.sub(lambda match: 2 * match[1] + "\\${", text)
    return QuotedString(text, Quote.single).with_quotes()


def _split(value: str) -> list[str]:
    """Split ``value`` at commas that are neither quoted nor in brackets."""
    parts = [""]
    for token in _TOKENS.findall(value):
        if token == "," and all(parts[-1].count(a) == parts[-1].count(b) for a, b in ("()", "[]", "{}")):
            parts.append("")
        else:
            parts[-1] += token
    return [part.strip() for part in parts]
