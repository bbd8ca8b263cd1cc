"""Creates Lightning's Trainer with the settings of this project."""

from __future__ import annotations

import logging
import math
import os
import signal
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, cast, get_args, get_origin, get_type_hints

import lightning as L
import torch
from lightning.fabric.plugins.environments import ClusterEnvironment
from lightning.pytorch.callbacks import EarlyStopping
from lightning.pytorch.plugins.environments import LightningEnvironment, SLURMEnvironment, TorchElasticEnvironment
from lightning.pytorch.strategies.launchers import _SubprocessScriptLauncher, subprocess_script
from lightning.pytorch.trainer.connectors.signal_connector import _SignalConnector
from lightning.pytorch.utilities import rank_zero_only

from regseg.errors import InputError, check_boolean, check_choice, check_number, check_options, typed
from regseg.system import processes
from regseg.system.cpu import bfloat16_is_faster
from regseg.training.checkpoint_io import WholeCheckpointIO

# The values of `trainer.precision`, and the short forms that Lightning accepts too.
PRECISIONS = ("16-mixed", "bf16-mixed", "32-true", "16-true", "bf16-true", "64-true")
_SHORT_FORMS = {"16": "16-mixed", "bf16": "bf16-mixed", "32": "32-true", "64": "64-true"}
_DEFAULTS: dict[str, Any] = {
    "logger": False,
    "enable_progress_bar": False,
    "enable_model_summary": False,
    "num_sanity_val_steps": 0,
    "use_distributed_sampler": False,
}
# Arguments that contradict how a run trains, evaluates and is recorded: their accepted values, and what to use instead.
_FIXED: dict[str, tuple[tuple[Any, ...], str]] = {
    "fast_dev_run": ((False, 0), "use trainer=smoke"),
    "barebones": ((False,), "remove it"),
    "val_check_interval": ((1.0,), "use callbacks.evaluation.every"),
    "check_val_every_n_epoch": ((1,), "use callbacks.evaluation.every"),
    "callbacks": ((), "use +callbacks.NAME={_target_: CLASS}"),
    "logger": ((False,), "use logger=NAME"),
    "default_root_dir": ((), "use hydra.run.dir=FOLDER"),
    "use_distributed_sampler": ((False,), "remove it"),
}
MOST_DEVICES = 4096  # far more than any machine has; each is a process
# The lowest values of arguments that Lightning does not check: a negative limit would reverse the gradients.
_LOWEST = dict.fromkeys(("gradient_clip_val", "log_every_n_steps", "min_epochs", "min_steps"), 0)
_LOWEST |= {"accumulate_grad_batches": 1, "num_nodes": 1}

announce = rank_zero_only(print)  # prints once in a distributed run


def make_trainer(
    arguments: Mapping[str, Any],
    folder: Path,
    callbacks: Sequence[L.Callback] = (),
    *,
    spawn: bool = False,
    chosen: bool = True,
    trains: bool = True,
) -> L.Trainer:
    """Create a Trainer that writes into ``folder``.

    It uses the DataModule's samplers, runs no sanity check before training, and replaces 16-mixed on a CPU.

    Args:
        arguments: Arguments of `lightning.Trainer`, and ``smoke``, which is ignored.
        folder: The run's folder.
        callbacks: Callbacks in addition to Lightning's.
        spawn: Spawn the processes of a distributed run, for sweeps: Lightning would start them with the same command
            line, and each would start the whole sweep.
        chosen: Whether the user chose the precision, so that a message says that another is used.
        trains: Whether it trains, so that messages name options of the training.

    Returns:
        The Trainer.

    Raises:
        InputError: An argument is invalid or cannot be used here, or Slurm started another number of processes.
    """
    # Null for an argument of `_FIXED` means its default here: Lightning's would replace ours.
    given = {key: value for key, value in arguments.items() if key != "smoke" and not (key in _FIXED and value is None)}
    _check_fixed(given, trains=trains)
    for stopping in (one for one in callbacks if isinstance(one, EarlyStopping)):
        check_number(f"{type(stopping).__name__}.patience", stopping.patience, integer=True)
    own = {"default_root_dir": folder, "callbacks": list(callbacks)}
    options = _DEFAULTS | own | check_options("trainer", given, L.Trainer)
    _check_kinds(given)
    if (precision := options.get("precision")) is not None:
        options["precision"] = _usable_precision(precision, options.get("accelerator", "auto"), chosen=chosen)
    # Shapes repeat in training, so cuDNN may time its algorithms once, but not in a deterministic run.
    options.setdefault("benchmark", not options.get("deterministic"))
    options["plugins"] = _plugins(options, spawn)
    trainer = _lightning_trainer(options, spawn)
    _replace_parts(trainer)
    return trainer


def _check_fixed(given: Mapping[str, Any], *, trains: bool) -> None:
    """Raise InputError if an argument of `_FIXED` has another value."""
    for name, (accepted, remedy) in _FIXED.items():
        # Compared as text, because 1 is an interval of one batch, and 1.0 of one epoch.
        if name in given and repr(given[name]) not in map(repr, accepted):
            raise InputError(
                f"trainer.{name}={typed(given[name])} cannot be used here; {remedy if trains else 'remove it'}."
            )


def _check_kinds(given: Mapping[str, Any]) -> None:
    """Raise InputError if a value has a wrong type that Lightning would accept, or refuse without naming the option."""
    if type(devices := given.get("devices")) in (bool, int):  # or a list, or text such as 0,1
        check_number("trainer.devices", devices, lowest=-1, highest=MOST_DEVICES, integer=True)
    hints = get_type_hints(L.Trainer.__init__)
    for name, value in given.items():
        kinds = set(get_args(hints[name]) or [hints[name]]) - {type(None)}
        words = [word for kind in kinds if get_origin(kind) is Literal for word in get_args(kind)]
        kinds = {get_origin(kind) or kind for kind in kinds if get_origin(kind) is not Literal}
        if (
            value is not None
            and str in kinds
            and not kinds & {bool, int, float}
            and not isinstance(value, tuple(kinds))
        ):
            form = "a time such as 00:12:00:00 (days:hours:minutes:seconds)" if name == "max_time" else "a name"
            raise InputError(f"trainer.{name}={typed(value)} is not {form}.")
        if value is None or value in words or not kinds or not kinds <= {bool, int, float}:
            continue
        if kinds == {bool}:
            check_boolean(f"trainer.{name}", value, words)
        elif kinds != {bool, int}:
            lowest = _LOWEST.get(name, -math.inf)
            check_number(f"trainer.{name}", value, lowest=lowest, integer=float not in kinds)


def _usable_precision(given: Any, accelerator: Any, *, chosen: bool) -> str:
    """Return one of `PRECISIONS`; on a CPU another one than 16-mixed, which is printed if the user chose that."""
    precision = _SHORT_FORMS.get(str(given), given)
    check_choice("trainer.precision", precision, PRECISIONS)
    if precision != "16-mixed" or not _runs_on_cpu(accelerator):
        return precision
    precision = "bf16-mixed" if bfloat16_is_faster() else "32-true"
    if chosen:
        announce(f"16-mixed needs a GPU; using {precision} on the CPU.")
    return precision


def _lightning_trainer(arguments: dict[str, Any], spawn: bool) -> L.Trainer:
    """Return Lightning's Trainer; with ``spawn``, one that spawns the processes of a distributed run."""
    try:
        trainer = L.Trainer(**arguments)
        if spawn and trainer.world_size > 1 and arguments.get("strategy", "auto") in ("auto", "ddp"):
            trainer = L.Trainer(**(arguments | {"strategy": "ddp_spawn"}))
    except (TypeError, ValueError, L.fabric.utilities.exceptions.MisconfigurationException) as error:
        reason = " ".join(str(error).split()).rstrip(".!")
        if "No supported gpu backend" in reason:
            raise InputError(
                f"PyTorch finds no GPU for trainer.accelerator={arguments['accelerator']}; install a driver and a "
                "PyTorch build for it, or use trainer.accelerator=cpu."
            ) from error
        raise InputError(f"Lightning refuses these trainer options: {reason}.") from error
    if spawn and trainer.world_size > 1 and isinstance(trainer.strategy.launcher, _SubprocessScriptLauncher):
        strategy = arguments["strategy"]
        raise InputError(f"trainer.strategy={strategy} cannot run in a sweep; remove it, or start the rows one by one.")
    if trainer.world_size != (wanted := trainer.num_devices * trainer.num_nodes):
        raise InputError(
            f"trainer.devices and trainer.num_nodes need {wanted} processes, but {trainer.world_size} were started; "
            f"under Slurm, use --ntasks-per-node={trainer.num_devices} and srun."
        )
    return trainer


def _replace_parts(trainer: L.Trainer) -> None:
    """Replace what Lightning does with steps, signals and failed ranks where it contradicts this project."""
    if trainer.max_steps != -1:
        # With this flag, a resume from the end of an epoch would run an epoch without batches.
        cast(Any, trainer.fit_loop)._iteration_based_training = _false
    trainer._signal_connector = _NoHandlers(trainer)
    # Ranks would exchange before every batch whether Lightning's handler got SIGTERM, and wait for their GPUs.
    cast(Any, trainer.fit_loop.epoch_loop)._broadcast_sigterm_tensor = _nothing
    cast(Any, subprocess_script)._launch_process_observer = processes.watch_ranks


def _plugins(options: Mapping[str, Any], spawn: bool) -> list[Any]:
    """Return the given plugins, or those for Slurm, and the one that writes checkpoints."""
    given = options.get("plugins")
    plugins = list(given) if isinstance(given, Sequence) and not isinstance(given, str) else [given] if given else []
    if not plugins and spawn:
        # Under Slurm, Lightning would wait for as many tasks as devices; a launcher starts one task per run.
        plugins = [LightningEnvironment()]
    elif not plugins and SLURMEnvironment.detect() and not TorchElasticEnvironment.detect():
        plugins = [_environment_in_slurm(options.get("num_nodes", 1))]
    return [*plugins, WholeCheckpointIO()]


def _environment_in_slurm(num_nodes: Any) -> ClusterEnvironment:
    """Return what starts the processes of a distributed run in a Slurm job: ``srun``, or else Lightning."""
    # Not SLURM_NTASKS, which job scripts also see: a command without srun is one process and would wait for the other
    # tasks.
    if int(os.environ.get("SLURM_STEP_NUM_TASKS", 1)) == 1:
        if num_nodes not in (None, 1):
            raise InputError(
                f"trainer.num_nodes={num_nodes} needs one process per device on every node, but only one was started; "
                "under Slurm, start the command with srun, and the job with --ntasks-per-node=DEVICES."
            )
        return LightningEnvironment()
    try:
        return SLURMEnvironment(auto_requeue=False)  # checkpoints in the middle of an epoch cannot be resumed
    except RuntimeError as error:
        raise InputError(f"Lightning refuses this Slurm job: {' '.join(str(error).split())}") from error


def is_limited(trainer: L.Trainer) -> bool:
    """Return whether only a part of the images is evaluated; 1 is one batch, 1.0 all of them."""
    return isinstance(trainer.limit_val_batches, int) or trainer.limit_val_batches < 1


def check_limits(trainer: L.Trainer, data: Any, stage: str) -> None:
    """Check that a limit given as a share leaves at least one batch.

    Args:
        trainer: The Trainer.
        data: The DataModule, set up.
        stage: ``fit`` or ``validate``.

    Raises:
        InputError: A limit is less than one batch.
    """
    batches = {"limit_val_batches": -(-len(data.val_set) // trainer.world_size)}
    if stage == "fit":
        batches["limit_train_batches"] = data.batches_per_epoch
    for name, count in batches.items():
        limit = getattr(trainer, name)
        if isinstance(limit, float) and limit > 0 and int(limit * count) == 0:
            raise InputError(
                f"trainer.{name}={limit} is less than one of {count} batches; use a larger share or a number of "
                "batches."
            )


class _NoHandlers(_SignalConnector):
    """Disables Lightning's signal handlers, which only set a flag; `regseg.system.signals` handles signals."""

    def register_signal_handlers(self) -> None:
        pass


def end_ranks(trainer: L.Trainer, *, wait: float) -> None:
    """End the other processes of a distributed run before they report a lost connection.

    Args:
        trainer: The Trainer.
        wait: Seconds that a failed process gets to report its error.
    """
    launcher = trainer.strategy.launcher
    if launcher is not None:
        processes.failed_rank(wait)
        ranks = processes.watched_ranks()
        failed = [rank for rank in ranks if rank.poll()]
        launcher.kill(getattr(signal, "SIGKILL", signal.SIGTERM))  # on Windows, SIGTERM kills
        ranks[:] = failed  # what is killed here has not failed


def quiet() -> None:
    """Suppress Lightning's hints, which address programmers."""
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    for pattern in (
        ".*does not have many workers.*",  # data.num_workers is the user's choice
        ".*Checkpoint directory .* exists and is not empty.*",  # always so after a resume
        ".*smaller than the logging interval.*",
        ".*The dataloader.*does not have.*",
        ".*but have no `val_dataloader`.*",
        ".*use `self.log\\(.*sync_dist=True.*",  # the scores are equal on all processes
        ".*Grad strides do not match bucket view strides.*",  # strides of 1x1 kernels do not matter
        ".*in eval mode at the start of training.*",
        ".*callbacks used to create the checkpoint need to be provided.*",  # early stopping may be removed
        ".*`srun` command is available.*",  # a run needs no srun; the launchers for Slurm start one task per run
        ".*`isinstance\\(treespec, LeafSpec\\)` is deprecated.*",  # inside Lightning
    ):
        warnings.filterwarnings("ignore", pattern)


def _false() -> bool:  # named, so that it can be pickled for other processes
    return False


def _nothing() -> None:
    pass


def _runs_on_cpu(accelerator: Any) -> bool:
    return accelerator == "cpu" or (
        accelerator == "auto" and not torch.cuda.is_available() and not torch.backends.mps.is_available()
    )
