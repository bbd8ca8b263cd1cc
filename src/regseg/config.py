"""Composed configurations: where the files are, resolvers, and the shrinking of a run to a smoke test."""

from __future__ import annotations

import hashlib
import re
import shlex
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf, open_dict

from regseg.arguments import plain, swept_values
from regseg.multirun import command_of_sweep

# Options that are no part of a run's name, unless a sweep runs over them: moving a dataset does not move its runs.
_ASIDE = {"resume", "overwrite", "trainer", "logger", "data.root", "data.num_workers"}
_LONGEST = 160  # bytes of a name without its hash: a file name has 255 at most, and a seed follows


def config_dir() -> Path:
    """The folder of the YAML files: ``regseg/conf`` in an installed wheel, ``conf/`` in a checkout."""
    installed = Path(__file__).parent / "conf"
    return installed if installed.is_dir() else Path(__file__).parents[2] / "conf"


def open_groups(config_name: str) -> list[str]:
    """Groups of a command that take options which their files do not list: the arguments of Lightning's Trainer."""
    text = (config_dir() / f"{config_name}.yaml").read_text(encoding="utf-8")
    return ["trainer"] if re.search(r"^  - trainer:", text, re.MULTILINE) else []


def register_resolvers() -> None:
    """Make the parts of a run folder's name known: ``${run_group:}``, ``${run_name:}`` and ``${run_aside:}``."""
    for name, resolver in (("run_group", _run_group), ("run_name", _run_name), ("run_aside", _run_aside)):
        OmegaConf.register_new_resolver(name, resolver, replace=True)


def shrink(cfg: DictConfig) -> None:
    """Make any composed training a smoke test, in place: two epochs of two tiny steps on a CPU.

    It is applied after composition, because an experiment overrides the trainer group.
    """
    with open_dict(cfg):
        cfg.data.batch_size = _at_most(2, cfg.data.batch_size)
        if OmegaConf.is_list(cfg.data.crop_size):  # else it is wrong, and said to be where it is used
            cfg.data.crop_size = [_at_most(64, side) for side in cfg.data.crop_size]
        cfg.data.short_side = [48, 96]
        cfg.data.val_size = 64
        cfg.data.num_workers = 0
        cfg.trainer.update({"accelerator": "cpu", "limit_train_batches": 2, "limit_val_batches": 2})
        cfg.trainer.max_epochs = _at_most(2, cfg.trainer.max_epochs)
        if "warmup_iters" in cfg.scheduler:
            cfg.scheduler.warmup_iters = _at_most(1, cfg.scheduler.warmup_iters)
        if cfg.callbacks.evaluation:
            cfg.callbacks.evaluation.update({"every": 1, "last": 1})


def _at_most(limit: int, value: Any) -> Any:
    # What is no number is wrong, and said to be where it is used.
    return min(limit, value) if isinstance(value, int) else value


def _run_group() -> str:
    """The experiment, or else data and model: ``table4``, ``camvid_dilation_1_14_regseg``."""
    from hydra.core.hydra_config import HydraConfig

    choices = HydraConfig.get().runtime.choices
    if choices.get("experiment"):
        return choices["experiment"]
    own = any(text.lstrip("+").startswith("model.backbone.dilations=") for text in HydraConfig.get().overrides.task)
    model = ("own_schedule" if own else choices.get("model/backbone"), choices.get("model/decoder"))
    return "_".join([choices["data"], *([part for part in model if part] or [choices["model"]])])


def _run_name() -> str:
    """``run``; a table's row; in a sweep the overrides that tell its runs apart, but for group and seed."""
    from hydra.core.hydra_config import HydraConfig
    from hydra.types import RunMode

    cfg = HydraConfig.get()
    if row := cfg.runtime.choices.get("row"):
        return row.rpartition("/")[2]
    if cfg.mode != RunMode.MULTIRUN:
        return "run"
    aside = {"experiment", "seed"}
    if not cfg.runtime.choices.get("experiment"):
        aside |= {"data", "model", "model/backbone", "model/decoder"}
    told = [text for text in cfg.overrides.task if not (_key(text) in aside or _is_aside(_key(text)))]
    return name_of(text for text in told if not text.startswith("run.")) or "run"


def _run_aside() -> str:
    """What tells a sweep's runs apart beside their names: ``-root_fold1`` in a sweep over ``data.root``."""
    from hydra.core.hydra_config import HydraConfig
    from hydra.types import RunMode

    cfg = HydraConfig.get()
    if cfg.mode != RunMode.MULTIRUN:
        return ""
    swept = swept_values(shlex.split(command_of_sweep() or "")[3:])
    params = [f"{key}={value}" for key, value in (cfg.sweeper.get("params") or {}).items()]
    swept = swept_values(["-m", *params]) | swept
    told = [text for text in cfg.overrides.task if _key(text) in swept and _is_aside(_key(text))]
    return "".join(f"-{_root_name(text, swept) or name_of([text])}" for text in told)


def _root_name(text: str, swept: dict[str, list[str]]) -> str | None:
    """``root_<last part of the path>`` for the dataset's folder, with a hash where two of the sweep's end alike."""
    if _key(text) != "data.root":
        return None
    path = plain(text.partition("=")[2])
    last = Path(path).name
    alike = sum(Path(other).name == last for other in swept[_key(text)]) > 1
    return name_of([f"root={last}"]) + (f"-{_hash(path)}" if alike else "")


def name_of(overrides: Iterable[str]) -> str:
    """A folder's name for ``overrides`` that is typed without quotes: ``optimizer.lr_0.02-loss_ohem``.

    Where characters are left out, or the name is too long, a hash tells it from others.
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


def _key(text: str) -> str:
    return text.lstrip("+~").partition("=")[0]


def _is_aside(key: str) -> bool:
    return key in _ASIDE or key.startswith(("logger.", "logger@"))
