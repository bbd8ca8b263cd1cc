"""The Weights & Biases logger. The only training module that imports wandb; ``logger=wandb`` imports it."""

from __future__ import annotations

import contextlib
import re
import secrets
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import wandb
from lightning.pytorch.loggers import WandbLogger
from lightning.pytorch.loggers.logger import rank_zero_experiment
from lightning.pytorch.utilities import rank_zero_only

from regseg.errors import InputError, typed
from regseg.system.atomic import write_text
from regseg.system.console import shown
from regseg.system.records import read_text


class WandbRun(WandbLogger):
    """A Weights & Biases run for a run's folder; a resumed run continues the same W&B run.

    Nothing is written before the first entry is logged. A step of its history is an optimizer step. Thus the steps of a
    resumed run follow the earlier ones, and the files of an offline run, one per start, are uploaded as one run.

    Args:
        folder: the run's folder.
        group: the experiment.
        name: the row of its table.
        tags: tags of the W&B run.
        job_type: what kind of run it is, such as ``train``.
        project: the W&B project.
        entity: W&B user or team; None for the user's default.
        offline: write to ``folder`` for a later ``wandb sync``.

    Raises:
        InputError: no user is logged in, and the run is not offline.
    """

    def __init__(
        self,
        folder: str | Path,
        *,
        group: str,
        name: str,
        tags: Sequence[str] | str = (),
        job_type: str = "train",
        project: str = "regseg",
        entity: str | None = None,
        offline: bool = False,
    ) -> None:
        if not isinstance(tags, (str, Sequence)):
            raise InputError(f"logger.wandb.tags={typed(tags)} is not a list of tags; use 'logger.wandb.tags=[NAME]'.")
        tags = [tags] if isinstance(tags, str) else list(tags)
        if not offline:
            _check_login()
        self._folder, self._last_step, self._failed = Path(folder), 0, False
        super().__init__(
            project=project, entity=entity, group=group, name=name, save_dir=folder, offline=offline,
            tags=tags, job_type=job_type, allow_val_change=True, settings=wandb.Settings(silent=True),
        )  # fmt: skip
        del self._wandb_init["anonymous"]  # wandb warns about any value of it

    @property
    @rank_zero_experiment
    def experiment(self) -> Any:
        if self._experiment is not None or hasattr(self, "_attach_id"):  # the latter in a spawned process
            return super().experiment
        self._wandb_init["id"] = _remembered_id(self._folder)
        run = super().experiment
        if run.settings.mode == "online":
            print(f"W&B: {run.url}")
        elif run.settings.mode in ("offline", "dryrun"):
            print(f"W&B: offline; upload it with `{sync_command(Path(run.settings.sync_dir))}`")
        return run

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        # W&B drops earlier steps, such as an epoch's means after the evaluation of the final weights.
        self._last_step = max(self._last_step, step or 0)
        values = {**metrics, "trainer/global_step": self._last_step}
        self.experiment.log(values, step=self._last_step)

    @rank_zero_only
    def finalize(self, status: str) -> None:
        """Remember how the run ended; Lightning calls this for a run that failed or was interrupted, too."""
        self._failed = status == "failed"
        super().finalize(status)

    def close(self) -> None:
        """Finish the open run, as failed if it was: the next run of a sweep would be logged into it."""
        wandb.finish(exit_code=int(self._failed))


def sync_command(folder: Path) -> str:
    """Return the command that uploads the offline run in ``folder``, with the parts written before it was resumed."""
    parts = "offline-run-*" if len([*folder.parent.glob("offline-run-*")]) > 1 else folder.name
    return f"wandb sync {shlex.quote(shown(folder.parent))}/{parts}"


@rank_zero_only
def _check_login() -> None:
    settings = wandb.setup(wandb.Settings(silent=True)).settings
    if settings.mode == "online" and not wandb.login(prompt=False):
        raise InputError("Not logged in to W&B; run `wandb login`, or add logger.wandb.offline=true.")


def _remembered_id(folder: Path) -> str:
    """Return the stored id of the W&B run of ``folder``, or a new one."""
    folder.mkdir(parents=True, exist_ok=True)
    remembered = folder / "wandb_id.txt"
    run_id = ""
    with contextlib.suppress(OSError, UnicodeDecodeError):  # none yet, damaged, or not a file
        run_id = read_text(remembered).strip()
    if not re.fullmatch(r"[\w-]{1,64}", run_id):
        run_id = secrets.token_hex(4)
        write_text(remembered, run_id)
    return run_id
