"""Quotes command line values that Hydra's grammar refuses, such as paths with spaces, so that users do not have to."""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Iterator, Sequence
from typing import Any

from hydra._internal.utils import get_args_parser
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Glob, IntervalSweep, Override, Quote, QuotedString
from hydra.errors import HydraException

from regseg.errors import InputError

OUTPUT = {"hydra.run.dir", "hydra.sweep.dir"}
# Options that are paths in every command, so that 2024, true and [a] are names of folders there.
PATHS = OUTPUT | {"data.root", "source", "weights", "out", "runs", "benchmark", "picture", "pictures"}
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
_PRINTING = ("cfg", "info", "shell_completion")  # flags of Hydra that print something instead of running
_OPEN = re.compile(r"(\\*)\$\{(?![^}]+\})")  # an unclosed ${, which is not an interpolation
# Paths that Hydra changes: the two backslashes of \\server\share, that of C:\[x], and spaces at an end.
_CHANGED = re.compile(r"""\\\\|[A-Za-z]:\\|\s+[^\s'"]|[^\s'"].*\s$""", re.DOTALL)
_TOKENS = re.compile(r"'(?:\\.|[^'\\])*'(?=,|$)|\"(?:\\.|[^\"\\])*\"(?=,|$)|.", re.DOTALL)


def asks_for_sweep(arguments: Sequence[str]) -> bool:
    """Return whether these command line arguments start a sweep."""
    # argparse accepts prefixes of --multirun.
    return any(
        argument in ("-m", "hydra.mode=MULTIRUN") or (argument[:4] == "--mu" and "--multirun".startswith(argument))
        for argument in arguments
    )


def flags_first(arguments: Sequence[str]) -> list[str]:
    """Return command line arguments with Hydra's flags in front, because Hydra refuses overrides on both sides of one.

    ``--info`` without a value gets its default, so that it does not take the argument that follows then.
    """
    flags, others = _divided(arguments)
    return [part for _, *parts in flags for part in parts] + others


def one_run(arguments: Sequence[str]) -> list[str]:
    """Return command line arguments without ``-m`` if they only print a configuration, which Hydra refuses in sweeps.

    Raises:
        InputError: One of Hydra's flags has an invalid value or cannot be combined with the others.
    """
    flags = _divided(arguments)[0]
    for action, flag, *values in flags:
        name, equals, value = flag.partition("=")
        value = values[0] if values else value
        choices = ", ".join(action.choices or ())
        if action.nargs is None and not (values or equals):
            raise InputError(f"{name} needs a value; {f'choose one of {choices}' if choices else 'add it'}.")
        if choices and value not in action.choices:
            raise InputError(f"{name} takes one of {choices}, not {value}; options of this command have no dashes.")
    given = {action.dest: flag for action, flag, *_ in flags}
    if "resolve" in given and "cfg" not in given:
        raise InputError("--resolve is for --cfg; type --cfg job --resolve.")
    exclusive = [given[name] for name in (*_PRINTING, "run", "multirun") if name in given]
    prints = any(name in given for name in _PRINTING)
    if len(exclusive) > 1 + (prints and "multirun" in given):
        raise InputError(f"{exclusive[0]} and {exclusive[1]} exclude each other; leave one of them out.")
    if not prints or not asks_for_sweep(arguments):
        return list(arguments)
    overrides = [(text, _parsed(text)) for text in typed_overrides(for_hydra(arguments))]
    for text in (text for text, override in overrides if override is not None and override.is_sweep_override()):
        raise InputError(f"{exclusive[0]} is for a single run; choose one value of {text}.")
    return [text for text in arguments if not asks_for_sweep([text])]


def asks_for_help(arguments: Sequence[str]) -> bool:
    """Return whether these command line arguments ask for the command's help."""
    return any(argument in ("-h", "--help") for argument in arguments)


def overrides_of(arguments: Sequence[str], open_groups: Sequence[str]) -> list[str]:
    """Return the overrides among command line arguments that Hydra can read, with the first value of each sweep.

    Sweeps whose values only Hydra knows are left out.
    """
    found = []
    for text in filter(is_assignment, typed_overrides(for_hydra(arguments, open_groups))):
        override = _parsed(text)
        if override is None or not override.is_sweep_override():
            found.append(text)
        elif not isinstance(override.value(), (Glob, IntervalSweep)):
            found.append(f"{override.get_key_element()}={next(override.sweep_string_iterator())}")
    return found


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
    others = _divided(arguments)[1]
    for number, text in enumerate(others):
        name, equals, value = text.lstrip("-").partition("=")
        if text.startswith("-") and name:
            following = others[number + 1 :][:1]
            given = [other for other in following if "=" not in other and not other.startswith("-")]
            yield text, name, value if equals else next(iter(given), None)


def swept_values(arguments: Sequence[str]) -> dict[str, list[str]]:
    """Return the values of every key that these command line arguments sweep over."""
    swept = {}
    for text in typed_overrides(for_hydra(arguments)):
        override = _parsed(text)
        if override is not None and override.is_sweep_override():
            if GlobalHydra.instance().is_initialized():  # which lists what glob(*) means
                override.config_loader = GlobalHydra.instance().config_loader()
            swept[override.get_key_element().lstrip("+")] = [plain(value) for value in override.sweep_string_iterator()]
    return swept


def is_readable(text: str) -> bool:
    """Return whether Hydra can read an override once `for_hydra` has quoted its value."""
    return _parsed(_quoted(text, sweeps=True)) is not None


def is_plain(text: str) -> bool:
    """Return whether an override's value is not a mapping."""
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


def config_flags(arguments: Sequence[str]) -> dict[str, str]:
    """Return the values of ``config_name`` and ``config_dir``, with which Hydra finds a user's own configuration."""
    flags = _divided(arguments)[0]
    given = {action.dest: flag.partition("=")[2] or "".join(value) for action, flag, *value in flags}
    return {name: given[name] for name in ("config_name", "config_dir") if given.get(name)}


def typed_overrides(arguments: Sequence[str]) -> list[str]:
    """Return the overrides among command line arguments, as typed."""
    return [text for text in _divided(arguments)[1] if not text.startswith("-")]


def _divided(arguments: Sequence[str]) -> tuple[list[tuple[Any, ...]], list[str]]:
    """Return Hydra's flags as (argparse's action, flag, its value if it takes one), and the other arguments."""
    flags: list[tuple[Any, ...]] = []
    others: list[str] = []
    known, left = get_args_parser()._option_string_actions, list(arguments)
    while left:
        text = left.pop(0)
        action = _flag(text, known)
        if action is None:
            others.append(text)
        elif action.nargs == 0 or "=" in text:
            flags.append((action, text))
        elif action.nargs == "?":
            flags.append((action, text, left.pop(0) if left and left[0] in (action.choices or ()) else action.const))
        else:
            flags.append((action, text, *([left.pop(0)] if left else [])))
    return flags, others


def _flag(text: str, known: dict[str, argparse.Action]) -> argparse.Action | None:
    """Return the flag that a text is, or of which it is the beginning, as argparse accepts it."""
    name = text.partition("=")[0]
    meant = [action for flag, action in known.items() if name[:2] == "--" != name and flag.startswith(name)]
    return known.get(name) or (meant[0] if len(meant) == 1 else None)


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
    if override is None and not is_path and value.startswith(("{", "[")) and not _only_begins_with_brackets(value):
        return text  # a mistake in a mapping or a list, which `regseg.malformed_lists` reports
    functions = override is not None and override.is_sweep_override() and not _is_simple_choice(override)
    parts = _split(value) if sweeps and not functions else [value]
    quoted = f"{key}={','.join(_element(part, is_path) for part in parts)}"
    return text if _parsed(quoted) is None else quoted


def _only_begins_with_brackets(value: str) -> bool:
    """Return whether a value that begins with a bracket is text, such as ``[x]y``, and no mistyped list or mapping."""
    depth = 0
    for number, character in enumerate(value):
        depth += (character in "[{") - (character in "]}")
        if depth == 0:
            return bool(value[number + 1 :].strip("[]{}"))
    return False


def _element(value: str, is_path: bool) -> str:
    override = _parsed(f"key={value}")
    if override is None or (is_path and _is_simple_choice(override)):
        return _as_text(value)
    no_path = isinstance(override.value(), (bool, int, float, list, dict))
    return _as_text(value) if is_path and (no_path or _CHANGED.match(value)) else value


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
