"""The names of run folders and W&B runs, from the command line and the chosen groups: resolvers in ``conf/``."""

from __future__ import annotations

import hashlib
import math
import os
import re
import shlex
from collections.abc import Iterable
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, ListConfig, OmegaConf

from regseg.arguments import key_of, plain, swept_values
from regseg.multirun import command_of_sweep
from regseg.system.folders import expanded

# Options that are not part of a run's name unless a sweep varies them, so that a moved dataset keeps its runs.
_UNNAMED = {"resume", "overwrite", "trainer", "logger", "data.root", "data.num_workers"}
_LONGEST_DATASET = 60  # characters of a dataset's folder in a group's name
_LONGEST = 160  # bytes of a name without its hash; file names are limited to 255, and the seed follows


def register_resolvers() -> None:
    """Register the resolvers of a run's folder and tags: ``run_group``, ``run_name``, ``run_aside``, ``run_tags``."""
    for resolver in (_run_group, _run_name, _run_aside, _run_tags):
        name = resolver.__name__.lstrip("_")
        OmegaConf.register_new_resolver(name, resolver, replace=True)


def _run_group(*, _root_: DictConfig) -> str:
    """Return the experiment, or else dataset and model: ``table4``, ``camvid_dilation_1_14_regseg``.

    With ``data=folder`` the name of the dataset's folder is part of it: ``finetune_mine``, ``folder_mine_ddrnet23``.
    """
    choices, dataset = HydraConfig.get().runtime.choices, _dataset_name(_root_)
    if choices.get("experiment"):
        return choices["experiment"] + dataset.removeprefix(choices["data"])
    return "_".join([dataset, *_model_choices()])


def _model_choices() -> list[str]:
    """Return the choices of backbone and decoder, or of ``model`` for a network without them."""
    choices = HydraConfig.get().runtime.choices
    custom = any(text.lstrip("+").startswith("model.backbone.dilations=") for text in HydraConfig.get().overrides.task)
    model = ("custom_dilations" if custom else choices.get("model/backbone"), choices.get("model/decoder"))
    return [part for part in model if part] or [choices["model"]]


def _dataset_name(cfg: DictConfig) -> str:
    """Return the choice of ``data``; for ``data=folder`` with its folder's name, unless a sweep varies the root."""
    hydra_cfg = HydraConfig.get()
    choice, root = hydra_cfg.runtime.choices["data"], OmegaConf.select(cfg, "data.root")
    if choice != "folder" or not root or (hydra_cfg.mode == RunMode.MULTIRUN and "data.root" in _swept()):
        return choice
    last = Path(os.path.abspath(expanded(str(root)))).name
    clean = re.sub(r"[^\w.+-]+", "_", last, flags=re.ASCII).strip("_.-")[:_LONGEST_DATASET]
    parts = [choice, clean, "" if clean == last else _hash(last)]
    return choice if last == choice else "_".join(part for part in parts if part)


def _run_tags(*, _root_: DictConfig) -> ListConfig:
    """Return a run's W&B tags: table and row, dataset, backbone and decoder, each at most 64 characters."""
    parts = [_root_.table, _root_.run.name] if _root_.table else []
    parts += [_dataset_name(_root_), *_model_choices()]
    return ListConfig(list(dict.fromkeys(str(part)[:64] for part in parts if part)))


def _run_name() -> str:
    """Return the table's row, or in a sweep the overrides that distinguish its runs, or ``run``."""
    cfg = HydraConfig.get()
    if row := cfg.runtime.choices.get("row"):
        return row.rpartition("/")[2]
    if cfg.mode != RunMode.MULTIRUN:
        return "run"
    unnamed = {"experiment", "seed"}
    if not cfg.runtime.choices.get("experiment"):
        unnamed |= {"data", "model", "model/backbone", "model/decoder"}
    named = [text for text in cfg.overrides.task if not (key_of(text) in unnamed or _is_unnamed(key_of(text)))]
    return name_of(text for text in named if not text.startswith("run.")) or "run"


def jobs_of_sweep() -> int | None:
    """In a job of a sweep, return the number of jobs of the sweep; None for a sweeper other than Hydra's."""
    if not str(HydraConfig.get().sweeper.get("_target_")).endswith("BasicSweeper"):
        return None
    return math.prod(len(values) for values in _swept().values())


def _swept() -> dict[str, list[str]]:
    """In a job of a sweep, return the values of every option that the sweep varies.

    The command line replaces values of the experiment's ``hydra.sweeper.params``, also by a single one.
    """
    arguments = shlex.split(command_of_sweep() or "")[3:]
    typed, params = {key_of(text) for text in arguments}, HydraConfig.get().sweeper.get("params") or {}
    kept = [f"{key}={value}" for key, value in params.items() if key not in typed]
    return swept_values(["-m", *kept]) | swept_values(arguments)


def _run_aside() -> str:
    """Return what distinguishes a sweep's runs besides their names: ``-root_fold1`` in a sweep over ``data.root``."""
    cfg = HydraConfig.get()
    if cfg.mode != RunMode.MULTIRUN:
        return ""
    swept = _swept()
    named = [text for text in cfg.overrides.task if key_of(text) in swept and _is_unnamed(key_of(text))]
    return "".join(f"-{_root_name(text, swept) or name_of([text])}" for text in named)


def _root_name(text: str, swept: dict[str, list[str]]) -> str | None:
    """Return ``root_<last part of the path>`` for ``data.root``, hashed if paths of the sweep share it."""
    if key_of(text) != "data.root":
        return None
    path = plain(text.partition("=")[2])
    last = Path(path).name
    alike = sum(Path(other).name == last for other in swept[key_of(text)]) > 1
    return name_of([f"root={last}"]) + (f"-{_hash(path)}" if alike else "")


def name_of(overrides: Iterable[str]) -> str:
    """Return a folder name for ``overrides`` that needs no quotes: ``optimizer.lr_0.02-loss_ohem``.

    If characters are replaced or the name is too long, a hash makes it unique.
    """
    texts = [text.lstrip("+") for text in overrides]
    plain_text = all(re.fullmatch(r"[\w./]+=([\w.]+|-?[\d.]+(e[+-]?\d+)?)", text, re.ASCII) for text in texts)
    parts = [re.sub(r"[^\w.+-]+", "_", text, flags=re.ASCII).strip("_") for text in texts]
    name = "-".join(parts)
    if plain_text and len(name) <= _LONGEST:
        return name
    return f"{name[:_LONGEST].rstrip('_-.')}-{_hash(','.join(texts))}"


def _hash(text: str) -> str:
    return hashlib.sha1(text.encode(errors="surrogateescape")).hexdigest()[:8]


def _is_unnamed(key: str) -> bool:
    return key in _UNNAMED or key.startswith(("logger.", "logger@"))
