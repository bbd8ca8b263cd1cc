"""What ``--help`` prints: a command's groups and options, each option with the comment of its line in ``conf/``."""

from __future__ import annotations

import re
import shutil
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from regseg.arguments import overrides_of
from regseg.config import composed, config_dir, config_dirs, names_of, open_groups, values_of
from regseg.errors import typed

_LINE = re.compile(r"^( *)([\w.]+):(?: +(?P<value>(?:'[^']*'|\"[^\"]*\"|[^#'\"])*?))?(?: *# *(?P<comment>.*))?$")
_PACKAGE = re.compile(r"# @package (\S+)")
_HIDDEN = ("_target_", "_partial_", "_convert_", "_recursive_", "_args_")
_COLUMN = 38  # where comments start


def print_help(config_name: str, arguments: Sequence[str]) -> None:
    """Print the help of the command ``config_name`` under the overrides among the ``arguments`` of its command line."""
    cfg = composed(config_name, arguments, overrides_of(arguments, open_groups(config_name)))
    HydraConfig.instance().set_config(cfg)
    chosen, folders = _chosen(cfg), config_dirs(cfg)
    print(cfg.hydra.help.header.rstrip())
    if chosen:
        print("\nGroups (GROUP=NAME; the chosen name in brackets)\n")
        for name, choice in sorted(chosen.items()):
            if names := _choices(name, choice, folders):
                print(_wrapped(f"  {name}", names))
    print("\nOptions (OPTION=VALUE)\n")
    comments = option_comments(config_name, chosen, folders)
    for name, value in _options({key: node for key, node in values_of(cfg).items() if key != "hydra"}):
        required = "required: " if value == "???" else ""
        print(_wrapped(f"  {name}=" + ("…" if required else value), required + comments.get(name, "")))
    print("\n-m sweeps over comma-separated values.\n--cfg job prints the composed configuration.")


def _chosen(cfg: DictConfig) -> dict[str, str | None]:
    """Return group -> name, or several names separated by commas, as in ``logger=[tensorboard,wandb]``."""
    chosen = {name: choice for name, choice in cfg.hydra.runtime.choices.items() if not name.startswith("hydra/")}
    for text in cfg.hydra.overrides.task:  # Hydra's choices lack groups with several chosen names
        group, _, value = text.lstrip("+").partition("=")
        if value.startswith("[") and (config_dir() / group).is_dir():
            chosen[group] = value.strip("[]").replace(" ", "")
    return chosen


def option_comments(config_name: str, chosen: Mapping[str, str | None], folders: Sequence[Path] = ()) -> dict[str, str]:
    """Return dotted option -> comment, from the primary configuration and the files of the ``chosen`` groups.

    Args:
        config_name: The command.
        chosen: The names that were chosen for its groups.
        folders: What `config_dirs` returns; by default only the folder of this project.
    """
    comments: dict[str, str] = {}
    for group, choice in chosen.items():
        names = (choice or "").split(",")
        found = [path for folder in folders or [config_dir()] for path in sorted((folder / group).glob("*.yaml"))]
        files = sorted(found, key=lambda path: (path.stem not in names, not path.stem.startswith("_")))
        for path in files:
            package = package_of(path, group)
            for name, _, comment in lines_of(path):
                if comment:
                    comments.setdefault(f"{package}.{name}", comment)
    primary = lines_of(config_dir() / f"{config_name}.yaml")
    return comments | {name: comment for name, _, comment in primary if comment}


def package_of(path: Path, group: str) -> str:
    """Return where Hydra puts a group's file: at the group's name, or at the package that its first line names."""
    found = _PACKAGE.match(path.read_text(encoding="utf-8"))
    return found[1] if found and found[1] != "_global_" else group.replace("/", ".")


def lines_of(path: Path) -> Iterator[tuple[str, str, str]]:
    """Yield (dotted name, value, comment) of the lines ``name: value  # comment`` of a YAML file; any may be empty."""
    parents: list[tuple[int, str]] = []
    for line in path.read_text(encoding="utf-8").splitlines():
        found = _LINE.match(line)
        if found is None:
            continue
        indent, name = len(found[1]), found[2]
        parents = [parent for parent in parents if parent[0] < indent] + [(indent, name)]
        yield ".".join(part for _, part in parents), found["value"] or "", found["comment"] or ""


def _choices(group: str, choice: str | None, folders: Sequence[Path]) -> str:
    found = names_of(group, folders)
    names = [name for name in found if "/" not in name] or found  # those of `row` are in folders by table
    return ", ".join(f"[{name}]" if name in (choice or "").split(",") else name for name in names)


def _options(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yield (dotted name, value as typed) of every option, without Hydra's own options."""
    for key, value in values.items():
        name = f"{prefix}{key}"
        if key in _HIDDEN:
            continue
        if isinstance(value, Mapping):
            yield from _options(value, f"{name}.")
        else:
            yield name, typed(value)


def _wrapped(left: str, right: str) -> str:
    """Return ``left`` and, from a fixed column on, ``right``, wrapped to the terminal's width."""
    if not right:
        return left
    width = max(60, shutil.get_terminal_size((100, 24)).columns)
    lines = textwrap.wrap(right, width - _COLUMN, break_long_words=False) or [""]
    first = f"{left:<{_COLUMN - 2}}  " if len(left) <= _COLUMN - 2 else f"{left}\n{' ' * _COLUMN}"
    return first + f"\n{' ' * _COLUMN}".join(lines)
