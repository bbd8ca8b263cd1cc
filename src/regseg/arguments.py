"""The command line as Hydra reads it: values that its grammar refuses, paths above all, are quoted for it."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence

from hydra._internal.utils import get_args_parser
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, Quote, QuotedString
from hydra.errors import HydraException

# Options that hold a path in every command that has them: 2024, true or [a] are names of folders there.
PATHS = {
    *("data.root", "root", "weights", "source", "out", "runs", "picture", "pictures"),
    *("hydra.run.dir", "hydra.sweep.dir"),
}
_HELP = ("-h", "--help", "--hydra-help", "--version")
_OPEN = re.compile(r"(\\*)\$\{(?![^}]+\})")  # a ${ that is not closed, and so is no interpolation of OmegaConf's
_TOKENS = re.compile(r"'(?:\\.|[^'\\])*'(?=,|$)|\"(?:\\.|[^\"\\])*\"(?=,|$)|.", re.DOTALL)


def asks_for_sweep(arguments: Sequence[str]) -> bool:
    """Whether these command line arguments launch a sweep."""
    # argparse takes beginnings of --multirun, too.
    return any(
        argument in ("-m", "hydra.mode=MULTIRUN") or (argument[:4] == "--mu" and "--multirun".startswith(argument))
        for argument in arguments
    )


def for_hydra(arguments: Sequence[str]) -> list[str]:
    """``arguments`` with every value that Hydra's grammar refuses quoted as the plain text that it is.

    Values that the grammar takes keep their meaning: numbers, lists, sweeps, quoted strings, interpolations. ``~`` at
    the begin of a value is the home folder.
    """
    sweeps = asks_for_sweep(arguments)
    overrides = set(_overrides(arguments))
    return [_quoted(argument, sweeps) if argument in overrides else argument for argument in arguments]


def swept_values(arguments: Sequence[str]) -> dict[str, list[str]]:
    """The values of every key over which these command line arguments sweep."""
    swept = {}
    for text in _overrides(for_hydra(arguments)):
        override = _parsed(text)
        if override is not None and override.is_sweep_override():
            swept[override.get_key_element().lstrip("+")] = [plain(value) for value in override.sweep_string_iterator()]
    return swept


def plain(value: str) -> str:
    """A value as its text: without the quotes that Hydra needs."""
    override = _parsed(f"key={value}")
    found = None if override is None else override.value()
    return found if isinstance(found, str) else value


def _overrides(arguments: Sequence[str]) -> list[str]:
    # Without --help and its like, at which argparse would print and exit.
    return get_args_parser().parse_known_args([text for text in arguments if text not in _HELP])[0].overrides


def _parsed(text: str) -> Override | None:
    try:
        return OverridesParser.create().parse_override(text)
    except (HydraException, ValueError):
        return None


def _quoted(text: str, sweeps: bool) -> str:
    """One override as Hydra reads it."""
    key, equals, value = text.partition("=")
    override, is_path = _parsed(text), key.lstrip("+") in PATHS
    if not equals or key.startswith("~") or (override is not None and not is_path):
        return text
    if override is None and not is_path and value.startswith(("{", "[")):
        return text  # a slip in a mapping or a list, at which Hydra points
    functions = override is not None and override.is_sweep_override() and not override.value().simple_form
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
    # OmegaConf reads the string anew: a ${ without its } is escaped there, and so are the backslashes before it.
    text = _OPEN.sub(lambda match: 2 * match[1] + "\\${", text)
    return QuotedString(text, Quote.single).with_quotes()


def _split(value: str) -> list[str]:
    """The parts of ``value`` between commas that are neither quoted nor within brackets."""
    parts = [""]
    for token in _TOKENS.findall(value):
        if token == "," and all(parts[-1].count(a) == parts[-1].count(b) for a, b in ("()", "[]", "{}")):
            parts.append("")
        else:
            parts[-1] += token
    return [part.strip() for part in parts]
