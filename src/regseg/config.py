"""Composed configurations: where the files are, resolvers, and the shrinking of a run to a smoke test."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf, open_dict


def config_dir() -> Path:
    """The folder of the YAML files: ``regseg/conf`` in an installed wheel, ``conf/`` in a checkout."""
    installed = Path(__file__).parent / "conf"
    return installed if installed.is_dir() else Path(__file__).parents[2] / "conf"


def register_resolvers() -> None:
    """Make ``${run_group:}`` and ``${run_name:}`` known: the two parts of a run folder's name."""
    OmegaConf.register_new_resolver("run_group", _run_group, replace=True)
    OmegaConf.register_new_resolver("run_name", _run_name, replace=True)


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
        cfg.optimizer.warmup_iters = _at_most(1, cfg.optimizer.warmup_iters)
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
    aside = {"experiment", "seed", "resume", "overwrite", "trainer", "logger", "data.root", "data.num_workers"}
    if not cfg.runtime.choices.get("experiment"):
        aside |= {"data", "model", "model/backbone", "model/decoder"}
    told = [text.lstrip("+~") for text in cfg.overrides.task]
    told = [text for text in told if text.split("=")[0] not in aside and not text.startswith(("run.", "logger."))]
    name = re.sub(r"[^\w.,=\[\]-]+", "_", ",".join(told)) or "run"
    # A file name has 255 bytes at most; what is cut off still tells runs apart.
    return name if len(name) <= 200 else f"{name[:190]}_{hashlib.sha1(name.encode()).hexdigest()[:8]}"
