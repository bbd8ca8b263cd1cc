"""Reduces any training to a smoke test (``trainer=smoke``)."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf, open_dict

from regseg.config import values_of


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
    if cfg.data.get("dataset") != "streets":  # do not build a storage of thousands of images just to read a few
        values["data.storage"] = "full"
    if cfg.callbacks.get("evaluation"):
        values |= {"callbacks.evaluation.every": 1, "callbacks.evaluation.last": 1}
    if OmegaConf.select(cfg, "logger.wandb"):
        values["logger.wandb.job_type"] = "smoke"  # regseg.dashboard leaves these runs out
    with open_dict(cfg):
        for name, value in (values | _few_streets(cfg, explicit)).items():
            if name not in explicit:
                OmegaConf.update(cfg, name, value)


def _few_streets(cfg: DictConfig, explicit: Collection[str]) -> dict[str, Any]:
    """Return options for a few street scenes in a separate folder, if the dataset's scenes do not exist yet."""
    given = any(name in ("data.root", "data.options") or name.startswith("data.options.") for name in explicit)
    if given or cfg.data.get("dataset") != "streets" or Path(cfg.data.root).exists():
        return {}
    options = values_of(cfg.data).get("options") or {}
    return {
        "data.root": f"{cfg.data.root}_smoke",
        "data.options": options | {"counts": {"train": 8, "val": 4, "test": 4}},
    }


def _at_most(limit: int, value: Any) -> Any:
    # Values of other types are reported where they are used.
    return min(limit, value) if isinstance(value, int) else value
