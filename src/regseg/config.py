"""The configuration files of a command, and what its command line sets."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import yaml
from hydra import compose, initialize_config_dir
from hydra._internal.hydra import Hydra
from hydra._internal.utils import create_config_search_path
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from regseg.arguments import OUTPUT, PATHS, config_flags, key_of, plain
from regseg.errors import InputError
from regseg.system.folders import expanded


def config_dir() -> Path:
    """Return the folder of the YAML files: ``regseg/conf`` in a wheel, ``conf/`` in a checkout."""
    installed = Path(__file__).parent / "conf"
    return installed if installed.is_dir() else Path(__file__).parents[2] / "conf"


def composed(config_name: str, arguments: Sequence[str], overrides: Sequence[str]) -> DictConfig:
    """Compose the configuration of a command without running it.

    Args:
        config_name: The command.
        arguments: Its command line, of which ``--config-dir`` and ``--config-name`` count.
        overrides: The overrides to apply.

    Raises:
        InputError: The folder of ``--config-dir`` does not exist.
    """
    flags = config_flags(arguments)
    if not os.path.isdir(folder := flags.get("config_dir", ".")):
        raise InputError(f"--config-dir={folder} is not a folder; choose the folder of your own configuration files.")
    with initialize_config_dir(str(config_dir()), version_base="1.3"):
        if "config_dir" in flags:  # as Hydra adds it to the search path of a run
            path = create_config_search_path(str(config_dir()))
            path.prepend("command-line", f"file://{os.path.abspath(folder)}", anchor="schema")
            GlobalHydra.instance().clear()
            Hydra.create_main_hydra2("regseg", path)
        name = flags.get("config_name", config_name)
        return compose(name, overrides=list(overrides), return_hydra_config=True)


def config_dirs(cfg: DictConfig) -> list[Path]:
    """Return the folders of YAML files that a composed configuration was searched in: ours, then a user's own."""
    sources = [source.path for source in cfg.hydra.runtime.config_sources if source.schema == "file"]
    return [Path(path) for path in sources]


def group_names() -> list[str]:
    """Return the groups of all commands, such as ``data`` and ``model/backbone``."""
    folders = (path for path in config_dir().rglob("*") if path.is_dir())
    return sorted(folder.relative_to(config_dir()).as_posix() for folder in folders)


def names_of(group: str, folders: Sequence[Path] = ()) -> list[str]:
    """Return the names that a group may be set to; those of ``row`` are in folders by table: ``table10/regseg``.

    Args:
        group: The group.
        folders: What `config_dirs` returns; by default only the folder of this project.
    """
    names: set[str] = set()
    for folder in (one / group for one in folders or [config_dir()]):
        files = list(folder.glob("*.yaml")) or list(folder.rglob("*.yaml"))
        names.update(path.relative_to(folder).with_suffix("").as_posix() for path in files if path.stem[0] != "_")
    return sorted(names)


def default_groups(config_name: str) -> dict[str, str | None]:
    """Return the groups of a command with the names that it chooses by default."""
    defaults = [one for one in _content(config_name)["defaults"] if isinstance(one, dict)]
    return {group: name for one in defaults for group, name in one.items() if not group.startswith("override ")}


def without_null_groups(config_name: str, arguments: Sequence[str]) -> list[str]:
    """Return a command line without ``row=null`` for groups of which nothing is chosen by default.

    Hydra refuses this value, although it writes such defaults in this way. Earlier choices of the group are void too.
    """
    kept: list[str] = []
    for text in arguments:
        group, _, value = text.partition("=")
        if value.lower() == "null" and default_groups(config_name).get(group, "") is None:
            kept = [other for other in kept if other.partition("=")[0] != group]
        else:
            kept.append(text)
    return kept


def open_groups(config_name: str) -> list[str]:
    """Return the groups of a command that accept options which their files do not list: ``trainer``."""
    text = (config_dir() / f"{config_name}.yaml").read_text(encoding="utf-8")
    return ["trainer"] if re.search(r"^  - trainer:", text, re.MULTILINE) else []


def sweep_dir(config_name: str, arguments: Sequence[str]) -> Path | None:
    """Return the folder in which a command's sweep puts its jobs; None if it depends on more than plain options."""
    key = "hydra.sweep.dir="
    typed = [text.removeprefix(key) for text in arguments if text.startswith(key)]
    content = _content(config_name)
    folder = typed[-1] if typed else content["hydra"]["sweep"]["dir"]
    for name in re.findall(r"\$\{(\w+)\}", folder):
        values = [text.partition("=")[2] for text in arguments if text.startswith(f"{name}=")]
        if values or name in content:
            folder = folder.replace(f"${{{name}}}", plain(values[-1]) if values else str(content[name]))
    return None if "${" in folder else expanded(folder).absolute()


def output_folders(config_name: str, arguments: Sequence[str]) -> list[str]:
    """Return the folders in which a command creates folders: the default one without resolvers, and those given."""
    node = _content(config_name)["hydra"]
    typed = [value for text in arguments for key, _, value in [text.partition("=")] if key in OUTPUT]
    sweep = sweep_dir(config_name, arguments)
    typed += [] if sweep is None else [str(sweep)]
    return [str(node[part]["dir"]).partition("/${")[0] for part in ("run", "sweep")] + typed


def check_paths(config_name: str, cfg: DictConfig) -> None:
    """Raise InputError if a path is null whose default is not null, or if a path is empty.

    `Path("")` is the current folder, which nobody means by ``source=$PHOTOS`` with an unset variable.
    """
    needed = {name for name, default in _content(config_name).items() if default is not None}
    if OmegaConf.is_dict(data := cfg.get("data")) and "_target_" in data:  # elsewhere, null: the dataset of the weights
        needed.add("data.root")
    for name in sorted(PATHS - OUTPUT):
        parent, _, key = name.rpartition(".")
        node = cfg.get(parent) if parent else cfg
        if not OmegaConf.is_dict(node) or key not in node or OmegaConf.is_missing(node, key):
            continue
        if node[key] == "":
            raise InputError(f"{name} is empty; set {name}=PATH, where . is the current folder.")
        if node[key] is None and name in needed:
            raise InputError(f"{name}=null is not a path; set {name}=PATH.")


def _content(config_name: str) -> dict[str, Any]:
    return yaml.safe_load((config_dir() / f"{config_name}.yaml").read_text(encoding="utf-8"))


def values_of(cfg: DictConfig) -> dict[str, Any]:
    """Return a node of a configuration as plain values."""
    values = OmegaConf.to_container(cfg)
    assert isinstance(values, dict)
    return cast(dict[str, Any], values)


def is_typed(name: str) -> bool:
    """Return whether the command line of this job sets the option ``name``."""
    return HydraConfig.initialized() and name in {key_of(text) for text in HydraConfig.get().overrides.task}
