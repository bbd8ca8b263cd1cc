"""What was probably meant by an argument that is not OPTION=VALUE, and by a value for a whole group of options.

Hydra would answer the first with an error of its grammar, and compose a configuration that fails elsewhere from the
second.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from regseg.arguments import dashed_options, is_assignment, is_name, is_plain, key_of, typed_overrides
from regseg.config import composed, config_dir, config_dirs, default_groups, group_names, names_of, values_of
from regseg.errors import InputError, near_names
from regseg.help_text import lines_of, option_comments, package_of
from regseg.malformed_lists import check_brackets
from regseg.system.weights_files import list_weights

# The options that take a path in each command, in the order in which people write paths without an option.
_PATHS = {
    "train": ("data.root",),
    "evaluate": ("weights", "data.root"),
    "predict": ("source", "out"),
    "export": ("weights", "out"),
    "benchmark": ("data.root", "out"),
    "describe": ("weights", "picture"),
    "prepare": ("data.root", "out"),
    "report": ("runs", "out"),
    "dashboard": ("runs", "out"),
}
_WEIGHTS = (".ckpt", ".pth", ".pt", ".safetensors", ".onnx", ".xml")


def check_arguments(config_name: str, arguments: Sequence[str]) -> None:
    """Check the form of a command line before Hydra reads it.

    Args:
        config_name: The command.
        arguments: The command line without the program's name.

    Raises:
        InputError: An argument is not OPTION=VALUE, or is a value for a group of options, or for an option below an
            option; the sentence says what to type.
    """
    overrides = typed_overrides(arguments)
    if "" in overrides:
        raise InputError("An argument is empty, perhaps because a variable of the shell is not set; leave it out.")
    for text, name, value in dashed_options(arguments):
        meant = _Suggestions(config_name, arguments).dashed(name, value)
        raise InputError(f"{text} is not an option; did you mean {meant}? Options are written without dashes.")
    if spaced := _with_spaces(overrides):
        raise InputError(f"Spaces around = divide an argument; type {_quoted(spaced)}.")
    if overrides and overrides[0].startswith("="):
        raise InputError(f"{overrides[0]} names no option; type OPTION{overrides[0]}.")
    check_brackets(overrides)
    if bare := [text for text in overrides if not is_assignment(text)]:
        raise InputError(_Suggestions(config_name, arguments).sentence(bare))
    _check_levels(config_name, arguments)


def _with_spaces(overrides: Sequence[str]) -> str | None:
    """Return ``a=b`` if it was typed as ``a = b``, ``a= b`` or ``a =b``."""
    for number, text in enumerate(overrides):
        after = [one for one in overrides[number + 1 : number + 2] if not is_assignment(one)]
        if text.startswith("=") and number > 0:
            return "".join([overrides[number - 1], text, *(after if text == "=" else [])])
        if text.endswith("=") and after:
            return text + after[0]
    return None


class _Suggestions:
    """What arguments without ``=`` may mean.

    Args:
        command: The command.
        arguments: Its command line without the program's name.
    """

    def __init__(self, command: str, arguments: Sequence[str]) -> None:
        # A configuration of a user's own may not exist, which Hydra reports once the arguments are well-formed.
        cfg = _composed(command, arguments, []) or composed(command, [], [])
        choices, folders = dict(cfg.hydra.runtime.choices), config_dirs(cfg)
        self.command = command
        self.given = {key_of(text) for text in typed_overrides(arguments) if is_assignment(text)}
        self.groups = {group: names_of(group, folders) for group in choices if not group.startswith("hydra/")}
        self.options = dict(_flat(values_of(cfg)))
        self.comments = option_comments(command, choices, folders)

    def sentence(self, bare: Sequence[str]) -> str:
        """Return the sentence that says what to type instead of the arguments ``bare``."""
        first = bare[0]
        if first in _PATHS and first != self.command:
            return f"{first} is a command of its own; type python -m regseg.{first}."
        if first.strip("-") in ("help", "h", "?"):
            return f"{first} is not OPTION=VALUE; type python -m regseg.{self.command} --help to see the options."
        files = [Path(text) for text in bare if _is_source(text)]
        if self.command == "predict" and files and len(files) + ("source" in self.given) > 1:
            return _of_several_images(files[0])
        if len(bare) == 2 and first in self.options:  # source photo.jpg
            return f"{' '.join(bare)} is not OPTION=VALUE; type {_quoted('='.join(bare))}."
        meant = [self._meant(text) for text in bare]
        if len(bare) == 1:
            return f"{first} is not OPTION=VALUE; type {' or '.join(map(_quoted, meant[0][:3]))}."
        return f"{', '.join(bare)} are not OPTION=VALUE; type {' '.join(_quoted(one[0]) for one in meant)}."

    def dashed(self, name: str, value: str | None) -> str:
        """Return what ``--name value`` may mean."""
        names = [*self.options, *self.groups]
        name = name if name in names else next(iter(near_names(name, names)), name)
        return self._with_value(name) if value is None else _quoted(f"{name}={value}")

    def _meant(self, text: str) -> list[str]:
        """Return what ``text`` may stand for, the most probable first."""
        key, colon, value = text.partition(":")
        if colon and key in self.options:
            return [f"{key}={value}"]
        found = [self._with_value(text)] if text in self.options or text in self.groups else self._choices(text)
        if not found and not _looks_like_path(text):
            found = [self._with_value(name) for name in near_names(text, [*self.options, *self.groups])]
        if not found:
            option = self._path_option(Path(text))
            self.given.add(option)
            found = [f"{option}={text}"]
        return found

    def _with_value(self, name: str) -> str:
        """Return ``name`` with the opposite of its default, if that is a boolean, or with a placeholder."""
        default = self.options.get(name)
        placeholder = "NAME" if name in self.groups else "VALUE"
        return f"{name}={str(not default).lower() if isinstance(default, bool) else placeholder}"

    def _choices(self, text: str) -> list[str]:
        """Return the options and groups of which ``text`` is a value that the help lists."""
        found = [f"{group}={text}" for group in self.groups if text in self.groups[group]]
        if self.command == "report" and (number := re.fullmatch(r"(?:table)?(\d+)|fig6", text)):
            found.append(f"table={number[1] or text}")
        for name, default in self.options.items():
            if text in _listed(self.comments.get(name, "")) or (name == "weights" and text in list_weights()):
                found.append(f"{name}=[{text}]" if isinstance(default, list) else f"{name}={text}")
        return found

    def _path_option(self, path: Path) -> str:
        """Return the option that a path is for."""
        is_weights = path.suffix in _WEIGHTS or (path / "checkpoints").is_dir()
        if is_weights and "weights" in self.options and "weights" not in self.given:
            return "weights"
        options = _PATHS[self.command]
        return next((name for name in options if name not in self.given), options[0])


def _is_source(text: str) -> bool:
    suffix = Path(text).suffix
    return bool(suffix) and suffix not in _WEIGHTS


def _of_several_images(first: Path) -> str:
    """Return the sentence for several files as source, which a shell makes of an unquoted pattern."""
    pattern = shlex.quote(f"source={first.with_name('*' + first.suffix)}")
    return (
        f"source is one image, folder, pattern, list or video; type {pattern} in quotes for several images, or "
        f"{_quoted(f'source={first.parent}')} for their folder."
    )


def _check_levels(config_name: str, arguments: Sequence[str]) -> None:
    """Raise InputError for a value of a group of options (``run=x``) and for an option below a value (``seed.x=1``)."""
    overrides, files, (groups, leaves) = typed_overrides(arguments), group_names(), _known_names(config_name)
    for text in overrides:
        key, value = key_of(text), text.partition("=")[2]
        if key in files and not is_name(text):
            raise InputError(f"{key}/{value} does not exist; choose one of {', '.join(names_of(key))}.")
        if key in files and key != "logger" and re.fullmatch(r"\[\s*\]", value):
            raise InputError(f"{key}=[] chooses nothing; choose one of {', '.join(names_of(key))}.")
        if key in files and value.lower() == "null":
            if key.partition("/")[0] not in (*default_groups(config_name), "hydra"):
                raise InputError(f"This command has no group {key}; --help lists its groups and options.")
            raise InputError(f"{key} cannot be null; choose one of {', '.join(names_of(key))}.")
        above = [name for name in _parents(key) if name in leaves - groups]
        if key in files or not (above or (key in groups and is_plain(text))):
            continue
        cfg = _composed(config_name, arguments, [other for other in overrides if key_of(other) in files])
        if cfg is None:
            continue  # a mistake in another argument, which Hydra reports
        node = None if above else OmegaConf.select(cfg, key)
        removes = value in ("null", "false") and (key.startswith("data.") or "_target_" in (node or {}))
        if isinstance(node, DictConfig) and not removes:
            raise InputError(_chosen_by_group(key, value) or _of_group(key, value, values_of(node)))
        if node is None and value not in ("null", "false") and (sentence := _chosen_by_group(key, value)):
            raise InputError(sentence)
        if above and above[0] in dict(_flat(values_of(cfg))):
            raise InputError(f"{above[0]} has no options below it; type {_quoted(f'{above[0]}={value}')}.")


def _of_group(key: str, value: str, node: Mapping[str, Any]) -> str:
    """Return the sentence for ``key=value`` where ``key`` contains the options of ``node``."""
    options = {name: default for name, default in node.items() if not name.startswith("_")}
    kind = _type_of(value)
    alike = [name for name, default in options.items() if type(default) is kind and "${" not in str(default)]
    child = next((name for name in ("name", *alike, *options) if name in options), "OPTION")
    remedy = f"type {_quoted(f'{key}.{child}={value}')}" if value not in ("null", "false") else "set one of them"
    if "_target_" in node:
        remedy += f", or {key}=null to remove it"
    listed = ", ".join(f"{key}.{name}" for name in options) or "none yet"
    return f"{key} is a group of options ({listed}); {remedy}."


def _type_of(value: str) -> type:
    """Return the type that YAML gives to a value; text if it is not YAML."""
    try:
        return type(yaml.safe_load(value)) if value else str
    except (yaml.YAMLError, ValueError):
        return str


def _known_names(config_name: str) -> tuple[set[str], set[str]]:
    """Return the dotted names of groups of options and of single options in all files of a command."""
    files = [(config_dir() / f"{config_name}.yaml", "")]
    for group in group_names():
        files += [(path, f"{package_of(path, group)}.") for path in (config_dir() / group).glob("*.yaml")]
    groups: set[str] = set()
    leaves: set[str] = set()
    for path, package in files:
        for name, value, _ in lines_of(path):
            groups.update(_parents(package + name))
            (leaves if value else groups).add(package + name)
    return groups, leaves


def _parents(name: str) -> list[str]:
    """Return the names above a dotted name: ``a`` and ``a.b`` for ``a.b.c``."""
    return [name[: found.start()] for found in re.finditer(r"\.", name)]


def _chosen_by_group(key: str, value: str) -> str:
    """Return the sentence for ``key=value`` where files of a group are composed into ``key``; empty if none are."""
    for group in group_names():
        names = [name for name in names_of(group) if package_of(config_dir() / group / f"{name}.yaml", group) == key]
        if names:
            name = value if value in names else names[0] if len(names) == 1 else "NAME"
            choices = f", where NAME is one of {', '.join(names)}" if name == "NAME" else ""
            return f"{key} is chosen by the group {group}; type {group}={name}{choices}."
    return ""


def _composed(config_name: str, arguments: Sequence[str], overrides: Sequence[str]) -> DictConfig | None:
    """Return the configuration of a command; None if it cannot be composed."""
    paths = [text for text in typed_overrides(arguments) if key_of(text) == "hydra.searchpath"]
    try:
        return composed(config_name, arguments, [*paths, *overrides])
    except (HydraException, OmegaConfBaseException):
        return None


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield (dotted name, value) of every single option, without Hydra's."""
    for key, value in values.items():
        if isinstance(value, Mapping) and key != "hydra":
            yield from _flat(value, f"{prefix}{key}.")
        elif not str(key).startswith(("_", "hydra")):
            yield f"{prefix}{key}", value


def _listed(comment: str) -> set[str]:
    """Return the single words that a comment lists as values: ``train, val or test; more`` -> train, val, test."""
    text = re.sub(r"\([^)]*\)", "", comment.partition(";")[0]).removeprefix("any of ")
    return {part for part in re.split(r",\s*(?:or\s+)?|\s+or\s+", text.strip()) if re.fullmatch(r"\w+", part)}


def _looks_like_path(text: str) -> bool:
    return "/" in text or bool(Path(text).suffix) or Path(text).exists()


def _quoted(text: str) -> str:
    """Return ``text`` in quotes if a shell would change it."""
    return text if re.fullmatch(r"[\w@%+=:,./-]*", text) else shlex.quote(text)
