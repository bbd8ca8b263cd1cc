"""The configuration files, the names of run folders, and smoke tests."""

from __future__ import annotations

import hashlib
import math
import os
import re
import shlex
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Any, cast

import yaml
from omegaconf import DictConfig, ListConfig, OmegaConf, open_dict

from regseg.arguments import plain, swept_values
from regseg.multirun import command_of_sweep

# Options that are not part of a run's name unless a sweep varies them, so that a moved dataset keeps its runs.
_UNNAMED = {"resume", "overwrite", "trainer", "logger", "data.root", "data.num_workers"}
_OUTPUT = ("hydra.run.dir", "hydra.sweep.dir")
_LONGEST_DATASET = 60  # characters of a dataset's folder in a group's name
_LONGEST = 160  # bytes of a name without its hash; file names are limited to 255, and the seed follows


def config_dir() -> Path:
    """Return the folder of the YAML files: ``regseg/conf`` in a wheel, ``conf/`` in a checkout."""
    installed = Path(__file__).parent / "conf"
    return installed if installed.is_dir() else Path(__file__).parents[2] / "conf"


def group_names() -> list[str]:
    """Return the groups of all commands, such as ``data`` and ``model/backbone``."""
    folders = (path for path in config_dir().rglob("*") if path.is_dir())
    return sorted(folder.relative_to(config_dir()).as_posix() for folder in folders)


def open_groups(config_name: str) -> list[str]:
    """Return the groups of a command that accept options which their files do not list: ``trainer``."""
    text = (config_dir() / f"{config_name}.yaml").read_text(encoding="utf-8")
    return ["trainer"] if re.search(r"^  - trainer:", text, re.MULTILINE) else []


def sweep_dir(config_name: str, arguments: Sequence[str]) -> Path | None:
    """Return the folder in which a command's sweep puts its jobs; None if it depends on other options."""
    key = "hydra.sweep.dir="
    typed = [text.removeprefix(key) for text in arguments if text.startswith(key)]
    content = yaml.safe_load((config_dir() / f"{config_name}.yaml").read_text(encoding="utf-8"))
    folder = typed[-1] if typed else content["hydra"]["sweep"]["dir"]
    return None if "${" in folder else Path(folder).expanduser().absolute()


def output_folders(config_name: str, arguments: Sequence[str]) -> list[str]:
    """Return the folders in which a command creates folders: the default one without resolvers, and those given."""
    content = yaml.safe_load((config_dir() / f"{config_name}.yaml").read_text(encoding="utf-8"))
    typed = [value for text in arguments for key, _, value in [text.partition("=")] if key in _OUTPUT]
    return [str(content["hydra"][part]["dir"]).partition("/${")[0] for part in ("run", "sweep")] + typed


def values_of(cfg: DictConfig) -> dict[str, Any]:
    """Return a node of a configuration as plain values."""
    values = OmegaConf.to_container(cfg)
    assert isinstance(values, dict)
    return cast(dict[str, Any], values)


def register_resolvers() -> None:
    """Register the resolvers of a run's folder and tags: ``run_group``, ``run_name``, ``run_aside``, ``run_tags``."""
    for resolver in (_run_group, _run_name, _run_aside, _run_tags):
        name = resolver.__name__.lstrip("_")
        OmegaConf.register_new_resolver(name, resolver, replace=True)


def shrink(cfg: DictConfig, explicit: Collection[str] = ()) -> None:
    """Reduce any composed training to a smoke test, in place: two epochs of two small steps on a CPU.

    This happens after composition because an experiment overrides the trainer group.

    Args:
        cfg: The configuration.
        explicit: Dotted names of the options that the command line sets, which keep their values.
    """
    values: dict[str, Any] = {
        "data.batch_size": _at_most(2, cfg.data.batch_size),
        "data.short_side": [48, 96],
        "data.val_size": 64,
        "data.num_workers": 0,
        "trainer.accelerator": "cpu",
        "trainer.limit_train_batches": 2,
        "trainer.limit_val_batches": 2,
        "trainer.max_epochs": _at_most(2, cfg.trainer.max_epochs),
    }
    if OmegaConf.is_list(cfg.data.crop_size):  # otherwise the DataModule reports the error
        values["data.crop_size"] = [_at_most(64, side) for side in cfg.data.crop_size]
    if "warmup_iters" in cfg.scheduler:
        values["scheduler.warmup_iters"] = _at_most(1, cfg.scheduler.warmup_iters)
    if cfg.callbacks.evaluation:
        values |= {"callbacks.evaluation.every": 1, "callbacks.evaluation.last": 1}
    with open_dict(cfg):
        for name, value in (values | _few_streets(cfg, explicit)).items():
            if name not in explicit:
                OmegaConf.update(cfg, name, value)


def _few_streets(cfg: DictConfig, explicit: Collection[str]) -> dict[str, Any]:
    """Return the options of a few street scenes in a separate folder, if all would have to be created first."""
    given = any(name in ("data.root", "data.options") or name.startswith("data.options.") for name in explicit)
    if given or cfg.data.get("dataset") != "streets" or Path(cfg.data.root).exists():
        return {}
    options = values_of(cfg.data).get("options") or {}
    return {
        "data.root": f"{cfg.data.root}_smoke",
        "data.options": options | {"counts": {"train": 8, "val": 4, "test": 4}},
    }


def is_typed(name: str) -> bool:
    """Return whether the command line of this job sets the option ``name``."""
    from hydra.core.hydra_config import HydraConfig

    return HydraConfig.initialized() and name in {_key(text) for text in HydraConfig.get().overrides.task}


def _at_most(limit: int, value: Any) -> Any:
    # Values of other types are reported where they are used.
    return min(limit, value) if isinstance(value, int) else value


def _run_group(*, _root_: DictConfig) -> str:
    """Return the experiment, or else dataset and model: ``table4``, ``camvid_dilation_1_14_regseg``.

    With ``data=folder`` the name of the dataset's folder is part of it: ``finetune_mine``, ``folder_mine_ddrnet23``.
    """
    from hydra.core.hydra_config import HydraConfig

    choices, dataset = HydraConfig.get().runtime.choices, _dataset_name(_root_)
    if choices.get("experiment"):
        return choices["experiment"] + dataset.removeprefix(choices["data"])
    custom = any(text.lstrip("+").startswith("model.backbone.dilations=") for text in HydraConfig.get().overrides.task)
    model = ("own_schedule" if custom else choices.get("model/backbone"), choices.get("model/decoder"))
    return "_".join([dataset, *([part for part in model if part] or [choices["model"]])])


def _dataset_name(cfg: DictConfig) -> str:
    """Return the choice of ``data``; for ``data=folder`` with its folder's name, unless a sweep varies the root."""
    from hydra.core.hydra_config import HydraConfig
    from hydra.types import RunMode

    hydra_cfg = HydraConfig.get()
    choice, root = hydra_cfg.runtime.choices["data"], OmegaConf.select(cfg, "data.root")
    if choice != "folder" or not root or (hydra_cfg.mode == RunMode.MULTIRUN and "data.root" in _swept()):
        return choice
    last = Path(os.path.abspath(Path(str(root)).expanduser())).name
    clean = re.sub(r"[^\w.+-]+", "_", last, flags=re.ASCII).strip("_.-")[:_LONGEST_DATASET]
    parts = [choice, clean, "" if clean == last else _hash(last)]
    return choice if last == choice else "_".join(part for part in parts if part)


def _run_tags(*, _root_: DictConfig) -> ListConfig:
    """Return a run's W&B tags: table and row, dataset, backbone and decoder, each at most 64 characters."""
    from hydra.core.hydra_config import HydraConfig

    choices = HydraConfig.get().runtime.choices
    parts = [_root_.table, _root_.run.name] if _root_.table else []
    parts += [_dataset_name(_root_), choices.get("model/backbone") or choices["model"], choices.get("model/decoder")]
    return ListConfig(list(dict.fromkeys(str(part)[:64] for part in parts if part)))


def _run_name() -> str:
    """Return the table's row, or in a sweep the overrides that distinguish its runs, or ``run``."""
    from hydra.core.hydra_config import HydraConfig
    from hydra.types import RunMode

    cfg = HydraConfig.get()
    if row := cfg.runtime.choices.get("row"):
        return row.rpartition("/")[2]
    if cfg.mode != RunMode.MULTIRUN:
        return "run"
    unnamed = {"experiment", "seed"}
    if not cfg.runtime.choices.get("experiment"):
        unnamed |= {"data", "model", "model/backbone", "model/decoder"}
    named = [text for text in cfg.overrides.task if not (_key(text) in unnamed or _is_unnamed(_key(text)))]
    return name_of(text for text in named if not text.startswith("run.")) or "run"


def jobs_of_sweep() -> int | None:
    """In a job of a sweep, return the number of its jobs; None for a sweeper other than Hydra's."""
    from hydra.core.hydra_config import HydraConfig

    if not str(HydraConfig.get().sweeper.get("_target_")).endswith("BasicSweeper"):
        return None
    return math.prod(len(values) for values in _swept().values())


def _swept() -> dict[str, list[str]]:
    """In a job of a sweep, return the values of every option that the sweep varies."""
    from hydra.core.hydra_config import HydraConfig

    params = [f"{key}={value}" for key, value in (HydraConfig.get().sweeper.get("params") or {}).items()]
    return swept_values(["-m", *params]) | swept_values(shlex.split(command_of_sweep() or "")[3:])


def _run_aside() -> str:
    """Return what distinguishes a sweep's runs besides their names: ``-root_fold1`` in a sweep over ``data.root``."""
    from hydra.core.hydra_config import HydraConfig
    from hydra.types import RunMode

    cfg = HydraConfig.get()
    if cfg.mode != RunMode.MULTIRUN:
        return ""
    swept = _swept()
    named = [text for text in cfg.overrides.task if _key(text) in swept and _is_unnamed(_key(text))]
    return "".join(f"-{_root_name(text, swept) or name_of([text])}" for text in named)


def _root_name(text: str, swept: dict[str, list[str]]) -> str | None:
    """Return ``root_<last part of the path>`` for ``data.root``, hashed if paths of the sweep share it."""
    if _key(text) != "data.root":
        return None
    path = plain(text.partition("=")[2])
    last = Path(path).name
    alike = sum(Path(other).name == last for other in swept[_key(text)]) > 1
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


def _key(text: str) -> str:
    return text.lstrip("+~").partition("=")[0]


def _is_unnamed(key: str) -> bool:
    return key in _UNNAMED or key.startswith(("logger.", "logger@"))
