"""Loggers beside metrics.csv. The only training module that imports wandb."""

from __future__ import annotations

import re
import secrets
from pathlib import Path
from typing import Any

import wandb
from lightning.pytorch.loggers import WandbLogger

from regseg.errors import InputError
from regseg.system.atomic import write_text


def check_login() -> None:
    """Raise InputError where a run could not be sent because nobody is logged in."""
    if wandb.setup().settings.mode == "online" and not wandb.login(prompt=False):
        raise InputError("Nobody is logged in to Weights & Biases; run `wandb login`, or add logger.offline=true.")


def wandb_logger(
    folder: Path,
    *,
    group: str,
    name: str,
    config: dict[str, Any],
    project: str = "regseg",
    entity: str | None = None,
    offline: bool = False,
) -> WandbLogger:
    """A Weights & Biases run in ``folder``; a resumed run goes on in the same one.

    Args:
        folder: the run's folder.
        group: the experiment.
        name: the row of its table.
        config: the resolved configuration.
    """
    folder.mkdir(parents=True, exist_ok=True)
    remembered = folder / "wandb_id.txt"
    run_id = remembered.read_text(errors="replace").strip() if remembered.exists() else ""
    if not re.fullmatch(r"[\w-]{1,64}", run_id):  # none yet, or a full disk left it empty
        run_id = secrets.token_hex(4)
        write_text(remembered, run_id)
    logger = WandbLogger(
        project=project, entity=entity, group=group, name=name, id=run_id, resume="allow", save_dir=folder,
        offline=offline, config=config, allow_val_change=True,
    )  # fmt: skip
    return logger


def close() -> None:
    """Finish the open run, if any: runs merge in a sweep otherwise."""
    wandb.finish()
