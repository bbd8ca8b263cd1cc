"""The Weights & Biases logger. The only training module that imports wandb; ``logger=wandb`` imports it."""

from __future__ import annotations

import re
import secrets
from pathlib import Path
from typing import Any

import wandb
from lightning.pytorch.loggers import WandbLogger
from lightning.pytorch.loggers.logger import rank_zero_experiment
from lightning.pytorch.utilities import rank_zero_only

from regseg.errors import InputError
from regseg.system.atomic import write_text


class WandbRun(WandbLogger):
    """A Weights & Biases run for a run's folder; a resumed run continues in the same one.

    Nothing is written before the first entry is logged.

    Args:
        folder: the run's folder.
        group: the experiment.
        name: the row of its table.
        project: at W&B.
        entity: name or team at W&B; None for the user's default.
        offline: write to ``folder`` for a later ``wandb sync``.

    Raises:
        InputError: nobody is logged in, and the run is not offline.
    """

    def __init__(
        self,
        folder: str | Path,
        *,
        group: str,
        name: str,
        project: str = "regseg",
        entity: str | None = None,
        offline: bool = False,
    ) -> None:
        if not offline:
            _check_login()
        self._folder = Path(folder)
        super().__init__(
            project=project, entity=entity, group=group, name=name, save_dir=folder, offline=offline,
            allow_val_change=True,
        )  # fmt: skip

    @property
    @rank_zero_experiment
    def experiment(self) -> Any:
        if self._experiment is None:
            self._wandb_init["id"] = _remembered_id(self._folder)
        return super().experiment

    def close(self) -> None:
        """Finish the open run: the next run of a sweep would be logged into it."""
        wandb.finish()


@rank_zero_only
def _check_login() -> None:
    if wandb.setup().settings.mode == "online" and not wandb.login(prompt=False):
        raise InputError("Nobody is logged in to Weights & Biases; run `wandb login`, or add logger.offline=true.")


def _remembered_id(folder: Path) -> str:
    """The id of the W&B run of ``folder``; a new one where none is remembered."""
    folder.mkdir(parents=True, exist_ok=True)
    remembered = folder / "wandb_id.txt"
    run_id = remembered.read_text(errors="replace").strip() if remembered.exists() else ""
    if not re.fullmatch(r"[\w-]{1,64}", run_id):  # none yet, or a full disk left it empty
        run_id = secrets.token_hex(4)
        write_text(remembered, run_id)
    return run_id
