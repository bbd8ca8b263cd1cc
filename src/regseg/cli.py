"""What all entry points share: Hydra's command line, signals, and mistakes reported in one sentence."""

from __future__ import annotations

import contextlib
import functools
import os
import signal
import sys
import time
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from regseg import continuation, multirun, slurm
from regseg.arguments import asks_for_help, asks_for_sweep, flags_first, for_hydra, one_run
from regseg.config import check_paths, config_dir, open_groups, output_folders, sweep_dir, without_null_groups
from regseg.error_messages import explain
from regseg.errors import InputError, RunFailure, is_cause
from regseg.help_text import print_help
from regseg.mistyped import check_arguments
from regseg.run_dir import mark_ended
from regseg.run_names import jobs_of_sweep, register_resolvers
from regseg.run_start import now
from regseg.sweep_results import print_runs
from regseg.system import processes, signals
from regseg.system.console import shown
from regseg.system.folders import note_existing, remove_empty

Job = Callable[[DictConfig], Any]  # what a command does with its configuration
Program = Callable[[], None]

register_resolvers()  # at import, because the processes of a launcher only import this module
if "OMP_WAIT_POLICY" not in os.environ:
    # libgomp reads this when PyTorch is imported. By default its threads spin for milliseconds at every barrier, which
    # makes them several times slower when other processes share the cores. 30,000 spins take about 0.1 ms.
    os.environ.setdefault("GOMP_SPINCOUNT", "30000")
os.environ.setdefault("HYDRA_FULL_ERROR", "1")  # let exceptions reach `run`, which explains them


def entry_point(config_name: str, *, resumable: bool = False, repeatable: bool = False) -> Callable[[Job], Program]:
    """Turn a job into a command line program configured by ``conf/<config_name>.yaml``.

    A mistake ends the program with one sentence and exit status 2. In a sweep, a failed job does not stop the others;
    the last lines list the failures, and the exit status is 1. After a signal, the exit status is 128 plus its number.

    Args:
        config_name: The name of the primary configuration, and of the module.
        resumable: Whether ``resume=last`` continues an interrupted job.
        repeatable: Whether the same command continues an interrupted job.

    Returns:
        A decorator for a function of the configuration.
    """

    def decorate(job: Job) -> Program:
        @functools.wraps(job)
        def run() -> None:
            processes.set_up_main()
            # Warnings address users, who do not need the source line.
            warnings.formatwarning = lambda message, *_, **__: f"regseg: {message}\n"
            arguments = sys.argv[1:] = without_null_groups(config_name, flags_first(sys.argv[1:]))
            began = now()
            continuation.forget()
            try:
                _help_or_run(job, config_name, began, resumable)
                sys.stdout.flush()  # here, because a full disk while Python exits is reported with a trace
            except BaseException as error:
                number = signals.received() or (signal.SIGINT if isinstance(error, KeyboardInterrupt) else None)
                if number is not None:
                    kind = {"resumable": resumable, "repeatable": repeatable}
                    remedy = continuation.after_signal(config_name, arguments, began, **kind)
                    # A training may have loggers that finish in threads.
                    _interrupted(number, remedy, processes.end if resumable else processes.end_now)
                if isinstance(error, SystemExit):
                    raise
                _fail(error)
                raise
            finally:
                with contextlib.suppress(OSError):
                    sys.stdout.flush()

        return run

    return decorate


def _help_or_run(job: Job, config_name: str, began: str, resumable: bool) -> None:
    """Print the help of a command if its arguments ask for it, or else run ``job``."""
    arguments = sys.argv[1:]
    if asks_for_help(arguments):
        print_help(config_name, arguments)
        return
    check_arguments(config_name, arguments)
    sys.argv[1:] = one_run(arguments)
    _run_in_hydra(job, config_name, began, resumable)


def _run_in_hydra(job: Job, config_name: str, began: str, resumable: bool) -> None:
    """Run ``job`` with Hydra, once or for every job of a sweep; ``began`` is when the command started."""
    if not _current_folder_exists():
        raise RunFailure("The current folder was removed; change to an existing one.")
    typed, arguments = sys.argv, sys.argv[1:]
    if sweeps := asks_for_sweep(arguments):
        _check_started_once()
    note_existing([Path(folder) for folder in output_folders(config_name, arguments)])
    main = hydra.main(version_base="1.3", config_path=str(config_dir()), config_name=config_name)
    sys.argv = [typed[0], *for_hydra(arguments, open_groups(config_name))]
    if "hydra/launcher=submitit_local" in arguments:
        multirun.detach_local_queue()
        slurm.note_lost_jobs()
    elif sweeps and slurm.is_chosen(arguments):
        slurm.prepare_sweep(sweep_dir(config_name, arguments), trains=config_name == "train")
    run = main(_in_hydra(job, config_name, typed))
    try:
        if sweeps:
            remedy = continuation.after_failures(config_name, arguments, began, resumable=resumable)
            _run_sweep(run, continuation.command_line(config_name, arguments), began, remedy)
        else:
            run()
    finally:
        sys.argv = typed
        if sweeps and (sweep := sweep_dir(config_name, arguments)) is not None:
            _tidy_up(sweep)


def _check_started_once() -> None:
    """Raise InputError if torchrun or srun started several processes, each of which would start the whole sweep."""
    for name in ("WORLD_SIZE", "SLURM_STEP_NUM_TASKS"):
        if (number := os.environ.get(name, "")).isdigit() and int(number) > 1:
            if not signals.is_first():  # torchrun ends all of them after one has failed: the first one prints before
                time.sleep(processes.WAIT_FOR_RANKS)
                processes.end(2)
            raise InputError(
                f"-m starts a sweep, but this command was started as {number} processes ({name}); start it without "
                "torchrun or srun, and set trainer.devices for several processes per run."
            )


def _in_hydra(job: Job, config_name: str, typed: list[str]) -> Job:
    """Return ``job`` as Hydra calls it, with the command line ``typed`` and mistakes reported in one sentence."""

    @functools.wraps(job)
    def job_in_hydra(cfg: DictConfig) -> Any:
        sys.argv = typed  # recorded in summaries, and used by Lightning to start other processes
        if HydraConfig.get().mode == RunMode.MULTIRUN:
            return _run_of_sweep(job, config_name, cfg)
        try:
            return _checked(job, config_name, cfg)
        except Exception as error:  # here, because Hydra would print the overrides first
            if (number := signals.received()) is not None:  # a consequence of the signal
                raise signals.Terminated(128 + number) from None
            _fail(error)
            raise
        finally:
            remove_empty(Path(HydraConfig.get().runtime.output_dir))

    return job_in_hydra


def _checked(job: Job, config_name: str, cfg: DictConfig) -> Any:
    """Check what all commands share, and run ``job``."""
    check_paths(config_name, cfg)
    return job(cfg)


def _run_sweep(run: Callable[[], Any], command: str, began: str, remedy: str) -> None:
    """Run all jobs of a sweep, print their results, and exit with status 1 and the ``remedy`` if some failed."""
    with multirun.sweep_folder(command, began):
        try:
            run()
        except Exception as error:
            if explain(error) is None:  # jobs do not raise, so a process of the launcher died
                stopped = f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"
                print_runs()
                multirun.fail_sweep(multirun.failures(), remedy, stopped)
            raise
        except BaseException:
            for folder in multirun.run_folders(ended=True):  # their processes may have exited
                mark_ended(folder, "interrupted")
            raise
        print_runs()
        if failed := multirun.failures():
            multirun.fail_sweep(failed, remedy)
        if not multirun.run_folders():
            raise InputError(
                "The sweep has no runs, because an option that it varies has no values; glob(PATTERN) matches only the "
                "names of a group, and range(A,B) ends before B."
            )


def _tidy_up(sweep: Path) -> None:
    """Remove what Hydra has put into the folder of a sweep in addition to the runs."""
    (sweep / "multirun.yaml").unlink(missing_ok=True)  # every run records its own configuration
    for group in list(sweep.iterdir()) if sweep.is_dir() else []:
        remove_empty(group)
    remove_empty(sweep)


def _current_folder_exists() -> bool:
    try:
        return Path.cwd().exists()
    except FileNotFoundError:
        return False


def _interrupted(number: int, remedy: str, end: Callable[[int], None]) -> None:
    """Print that a signal ended the work and how to continue, the ``remedy``, and exit with ``end``."""
    if signals.is_first():  # torchrun and srun send a signal to all processes of a run
        print(f"regseg: interrupted{remedy}", file=sys.stderr, flush=True)
    end(128 + number)


def _fail(error: BaseException) -> None:
    """Print one sentence for ``error`` and exit; return if the error has no such sentence.

    In a distributed run, one process prints: the first one, unless only another one knows the cause.
    """
    found = explain(error)
    if processes.is_rank() and found is not None:
        processes.end_rank(*found, first=is_cause(error))
    status, sentence = (
        processes.failed_rank(wait=0.0 if is_cause(error) else processes.WAIT_FOR_RANKS) or found or (None, None)
    )
    if status is None:
        return
    if sentence is not None:
        print(f"regseg: {sentence}", file=sys.stderr)
    processes.end(status)


def _run_of_sweep(job: Job, config_name: str, cfg: DictConfig) -> Any:
    """Run a job of a sweep; record a failure and let the sweep continue."""
    if multirun.is_queued():  # submitit handles the signals of its Slurm jobs
        slurm.interrupt_at_last_timeout()
        if (main := multirun.main_of_local_queue()) is not None:
            processes.set_up_descendant(main)
    elif multirun.is_one_of_several():
        processes.set_up_job()
    hydra_cfg = HydraConfig.get()
    overrides = " ".join(hydra_cfg.overrides.task)
    try:
        folder, resolved = Path(hydra_cfg.runtime.output_dir), OmegaConf.to_yaml(cfg, resolve=True)
        if not multirun.note_run(hydra_cfg.job.num, overrides, folder, resolved):
            print(f"Skipping {overrides}: an identical run of this sweep uses {shown(folder)}.")
            return None
        total = jobs_of_sweep()
        print(f"run {hydra_cfg.job.num + 1}" + (f" of {total}: " if total else ": ") + overrides, flush=True)
        return _checked(job, config_name, cfg)
    except BaseException as error:
        if (number := signals.received()) is not None:
            processes.end(128 + number)
        if not isinstance(error, Exception):
            raise
        if (end := _end_within(error)) is not None:
            raise end from None
        explained = explain(error)
        if explained is None:
            traceback.print_exc()
            explained = 1, f"{type(error).__name__}: {error}"
        print(f"regseg: {explained[1]}", file=sys.stderr)
        multirun.note_failure(hydra_cfg.job.num, overrides, explained[1])
        return None
    finally:
        remove_empty(Path(hydra_cfg.runtime.output_dir))


def _end_within(error: BaseException | None) -> BaseException | None:
    """Return the interrupt or exit during which ``error`` was raised; None if there is none.

    When Slurm or a user ends a job, its loader workers end too, and the clean-up reports that as an error.
    """
    while error is not None and not isinstance(error, (KeyboardInterrupt, SystemExit)):
        error = error.__context__
    return error
