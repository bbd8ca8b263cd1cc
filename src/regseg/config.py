"""Composed configurations: where the files are, resolvers, and the shrinking of a run to a smoke test."""

from __future__ import annotations

import re
from pathlib import Path

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
        cfg.data.batch_size = min(cfg.data.batch_size, 2)
        if OmegaConf.is_list(cfg.data.crop_size):  # else it is wrong, and said to be where it is used
            cfg.data.crop_size = [min(side, 64) for side in cfg.data.crop_size]
        cfg.data.short_side = [48, 96]
        cfg.data.val_size = 64
        cfg.data.num_workers = 0
        cfg.trainer.update({"accelerator": "cpu", "limit_train_batches": 2, "limit_val_batches": 2})
        cfg.trainer.max_epochs = min(cfg.trainer.max_epochs, 2)
        cfg.optimizer.warmup_iters = min(cfg.optimizer.warmup_iters, 1)
        cfg.callbacks.evaluation.update({"every": 1, "last": 1})


def _run_group() -> str:
    """The experiment, or else data and model: ``table4``, ``camvid_dilation_1_14_regseg``."""
    choices = _choices()
    if choices.get("experiment"):
        return choices["experiment"]
    model = (choices.get(key) for key in ("model/backbone", "model/decoder"))
    return "_".join([choices["data"], *([part for part in model if part] or [choices["model"]])])


def _run_name() -> str:
    """``run``; in a sweep over other things than experiments and seeds, the overrides that tell its runs apart."""
    from hydra.core.hydra_config import HydraConfig
    from hydra.types import RunMode

    cfg = HydraConfig.get()
    if cfg.mode != RunMode.MULTIRUN:
        return "run"
    told_elsewhere = ("experiment", "data", "model", "model/backbone", "model/decoder", "seed", "resume", "overwrite")
    aside = ("trainer", "logger", "hydra", "data.root", "data.num_workers", "run.")
    overrides = [
        text
        for text in cfg.overrides.task
        if text.split("=")[0].lstrip("+~") not in told_elsewhere and not text.lstrip("+~").startswith(aside)
    ]
    return re.sub(r"[^\w.,=\[\]-]+", "_", ",".join(overrides)) or "run"


def _choices() -> dict[str, str]:
    from hydra.core.hydra_config import HydraConfig

    return HydraConfig.get().runtime.choices
