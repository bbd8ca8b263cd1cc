"""Lightning's Trainer as this project runs it."""

from __future__ import annotations

import logging
import signal
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.plugins.environments import LightningEnvironment, SLURMEnvironment
from lightning.pytorch.strategies.launchers import _SubprocessScriptLauncher, subprocess_script
from lightning.pytorch.trainer.connectors.signal_connector import _SignalConnector
from lightning.pytorch.utilities import rank_zero_only

from regseg.errors import InputError, check_options
from regseg.system import processes
from regseg.system.cpu import computes_in_bfloat16
from regseg.training.checkpoint_io import WholeCheckpointIO

# What the Trainer's `precision` may be, and the short forms that Lightning takes too.
PRECISIONS = ("16-mixed", "bf16-mixed", "32-true", "16-true", "bf16-true", "64-true")
_SHORT_FORMS = {"16": "16-mixed", "bf16": "bf16-mixed", "32": "32-true", "64": "64-true"}

announce = rank_zero_only(print)  # one line, however many processes train


def make_trainer(
    arguments: Mapping[str, Any], folder: Path, callbacks: Sequence[L.Callback] = (), *, spawn: bool = False
) -> L.Trainer:
    """A Trainer that writes into ``folder``; ``arguments`` are Lightning's, ``smoke`` apart.

    Samplers are the DataModule's own, there is no sanity check before training, and a CPU's half precision is bfloat16.

    Args:
        arguments: of `lightning.Trainer`.
        folder: of the run.
        callbacks: beside those that Lightning adds.
        spawn: in a sweep. Lightning starts the other processes of a distributed run by the same command line, and each
            would start the whole sweep; they are spawned instead.

    Raises:
        InputError: an argument that Lightning's Trainer does not take, or takes otherwise, or not in a sweep.
    """
    own = {
        "default_root_dir": folder,
        "callbacks": list(callbacks),
        "logger": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "num_sanity_val_steps": 0,
        "use_distributed_sampler": False,
    }
    given = {key: value for key, value in arguments.items() if key != "smoke"}
    arguments = own | check_options("trainer", given, L.Trainer)
    if (precision := arguments.get("precision")) is not None:
        arguments["precision"] = _SHORT_FORMS.get(str(precision), precision)
        if arguments["precision"] not in PRECISIONS:
            raise InputError(f"trainer.precision={precision} does not exist; choose one of {', '.join(PRECISIONS)}.")
    if arguments.get("precision") == "16-mixed" and _runs_on_cpu(arguments.get("accelerator", "auto")):
        arguments["precision"] = "bf16-mixed" if computes_in_bfloat16() else "32-true"
        announce(f"16-mixed needs a GPU: running in {arguments['precision']} on the CPU.")
    # Shapes repeat in training, so cuDNN may time its algorithms once; a deterministic run must not.
    arguments.setdefault("benchmark", not arguments.get("deterministic"))
    arguments["plugins"] = _plugins(arguments.get("plugins"), spawn)
    try:
        trainer = L.Trainer(**arguments)
        if spawn and trainer.world_size > 1 and arguments.get("strategy", "auto") in ("auto", "ddp"):
            trainer = L.Trainer(**(arguments | {"strategy": "ddp_spawn"}))
    except (TypeError, ValueError, L.fabric.utilities.exceptions.MisconfigurationException) as error:
        raise InputError(f"The trainer does not take this: {' '.join(str(error).split())}") from error
    if trainer.max_steps != -1:
        # Resumed from the end of an epoch, Lightning would run an epoch of no batches with this option.
        trainer.fit_loop._iteration_based_training = _false
    if spawn and trainer.world_size > 1 and isinstance(trainer.strategy.launcher, _SubprocessScriptLauncher):
        strategy = arguments["strategy"]
        raise InputError(
            f"trainer.strategy={strategy} cannot run in a sweep; leave it out, or launch the rows one by one."
        )
    trainer._signal_connector = _NoHandlers(trainer)
    subprocess_script._launch_process_observer = processes.watch_ranks
    return trainer


def _plugins(given: Any, spawn: bool) -> list[Any]:
    """The plugins that a user gives, or those for Slurm; and the one that writes checkpoints."""
    plugins = list(given) if isinstance(given, Sequence) and not isinstance(given, str) else [given] if given else []
    if not plugins and spawn:
        # Under Slurm, Lightning would wait for as many tasks as devices; a launcher starts one task per run.
        plugins = [LightningEnvironment()]
    elif not plugins and SLURMEnvironment.detect():
        # Its checkpoint in the middle of an epoch cannot be resumed from.
        plugins = [SLURMEnvironment(auto_requeue=False)]
    return [*plugins, WholeCheckpointIO()]


def check_limits(trainer: L.Trainer, stage: str) -> None:
    """Check that a limit that is a share leaves at least one batch, which Lightning takes for a defect.

    Args:
        trainer: with its DataModule set up.
        stage: ``fit`` or ``validate``.

    Raises:
        InputError: names the limit and the number of batches.
    """
    data = trainer.datamodule
    batches = {"limit_val_batches": -(-len(data.val_set) // trainer.world_size)}
    if stage == "fit":
        batches["limit_train_batches"] = data.batches_per_epoch
    for name, count in batches.items():
        limit = getattr(trainer, name)
        if isinstance(limit, float) and limit > 0 and int(limit * count) == 0:
            raise InputError(
                f"trainer.{name}={limit} is less than one of {count} batches; use a larger share, or a number of "
                "batches."
            )


class _NoHandlers(_SignalConnector):
    """Disables Lightning's signal handlers, which only set a flag; `regseg.system.processes` has ours."""

    def register_signal_handlers(self) -> None:
        pass


def end_ranks(trainer: L.Trainer, *, interrupted: bool) -> None:
    """End the processes that this one started for a distributed run, before each tells of a lost connection.

    One that failed by itself is waited for, as it may still tell why.
    """
    launcher = trainer.strategy.launcher
    if launcher is not None:
        if not interrupted:
            processes.failed_rank(wait=2.0)
        launcher.kill(signal.SIGKILL)


def quiet() -> None:
    """Keep Lightning's hints, which are for those who write a program, from those who run one."""
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    for pattern in (
        ".*does not have many workers.*",  # what num_workers=0 means is the user's to know
        ".*Checkpoint directory .* exists and is not empty.*",  # so it is after a resume
        ".*smaller than the logging interval.*",
        ".*The dataloader.*does not have.*",
        ".*but have no `val_dataloader`.*",
        ".*use `self.log\\(.*sync_dist=True.*",  # the scores are equal on all processes
        ".*Grad strides do not match bucket view strides.*",  # 1x1 kernels, whose strides mean nothing
        ".*in eval mode at the start of training.*",
        ".*`isinstance\\(treespec, LeafSpec\\)` is deprecated.*",  # inside Lightning
    ):
        warnings.filterwarnings("ignore", pattern)


def _false() -> bool:  # a name that other processes know too
    return False


def _runs_on_cpu(accelerator: Any) -> bool:
    return accelerator == "cpu" or (
        accelerator == "auto" and not torch.cuda.is_available() and not torch.backends.mps.is_available()
    )
