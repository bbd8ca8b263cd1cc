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

from regseg import processes
from regseg.errors import InputError, check_options

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
    if arguments.get("precision") == "16-mixed" and _runs_on_cpu(arguments.get("accelerator", "auto")):
        arguments["precision"] = "bf16-mixed"
        announce("16-mixed needs a GPU: running in bf16-mixed on the CPU.")
    # Shapes repeat in training, so cuDNN may time its algorithms once; a deterministic run must not.
    arguments.setdefault("benchmark", not arguments.get("deterministic"))
    if spawn:
        # Under Slurm, Lightning would wait for as many tasks as devices; a launcher starts one task a run.
        arguments.setdefault("plugins", [LightningEnvironment()])
    elif SLURMEnvironment.detect():
        # Its checkpoint in the middle of an epoch would not be gone on from.
        arguments.setdefault("plugins", [SLURMEnvironment(auto_requeue=False)])
    try:
        trainer = L.Trainer(**arguments)
        if spawn and trainer.world_size > 1 and arguments.get("strategy", "auto") in ("auto", "ddp"):
            trainer = L.Trainer(**(arguments | {"strategy": "ddp_spawn"}))
    except (TypeError, ValueError, L.fabric.utilities.exceptions.MisconfigurationException) as error:
        raise InputError(f"The trainer does not take this: {' '.join(str(error).split())}") from error
    if spawn and trainer.world_size > 1 and isinstance(trainer.strategy.launcher, _SubprocessScriptLauncher):
        strategy = arguments["strategy"]
        raise InputError(
            f"trainer.strategy={strategy} cannot run in a sweep; leave it out, or launch the rows one by one."
        )
    trainer._signal_connector = _NoHandlers(trainer)
    subprocess_script._launch_process_observer = processes.watch_ranks
    return trainer


class _NoHandlers(_SignalConnector):
    """No signal handlers of Lightning's, which set a flag and wait for other processes; see `regseg.processes`."""

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


def _runs_on_cpu(accelerator: Any) -> bool:
    return accelerator == "cpu" or (
        accelerator == "auto" and not torch.cuda.is_available() and not torch.backends.mps.is_available()
    )
