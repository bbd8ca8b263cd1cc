"""What every entry point shares: Hydra's command line, signals, and a user's mistakes told in one sentence."""

from __future__ import annotations

import contextlib
import functools
import os
import shlex
import signal
import sys
import traceback
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from regseg import multirun
from regseg.arguments import asks_for_sweep, for_hydra
from regseg.config import config_dir, register_resolvers
from regseg.errors import RunFailure
from regseg.explain import explain
from regseg.run_dir import mark_ended
from regseg.system import processes

register_resolvers()  # when imported, for a launcher's processes come by no other way
os.environ.setdefault("HYDRA_FULL_ERROR", "1")  # let exceptions reach `run`, which words them


def entry_point(
    config_name: str, *, resumable: bool = False, repeatable: bool = False
) -> Callable[[Callable[[DictConfig], Any]], Callable[[], None]]:
    """Turn a job into a command line program configured by ``conf/<config_name>.yaml``.

    A mistake of the user's ends it with one sentence and exit status 2. In a sweep, a job that fails does not stop the
    others; the last lines say which failed and why, and the exit status is 1. A signal ends it with 128 and the
    signal's number.

    Args:
        config_name: of the primary configuration, and of the module.
        resumable: whether ``resume=last`` continues what a signal interrupted.
        repeatable: whether the same command does.
    """

    def decorate(job: Callable[[DictConfig], Any]) -> Callable[[], None]:
        @functools.wraps(job)
        def run() -> None:
            processes.set_up_main()
            # A warning is for the person at the command line, who has no use for a source line.
            warnings.formatwarning = lambda message, *_, **__: f"regseg: {message}\n"
            arguments = sys.argv[1:]
            sweeps = asks_for_sweep(arguments)
            try:
                _run_in_hydra(job, config_name, _command(config_name, arguments), sweeps)
            except BaseException as error:
                number = processes.received() or (signal.SIGINT if isinstance(error, KeyboardInterrupt) else None)
                if number is not None:
                    repeats = sweeps or repeatable
                    way_on = _continuation(config_name, arguments, repeats) if resumable or repeats else None
                    _interrupted(number, way_on)
                if isinstance(error, SystemExit):
                    raise
                _fail(error)
                raise

        return run

    return decorate


def _run_in_hydra(job: Callable[[DictConfig], Any], config_name: str, command: str, sweeps: bool) -> None:
    """Run ``job`` by Hydra, once or for every job of a multirun."""
    if not _current_folder_exists():
        raise RunFailure("The current folder was removed; change to one that exists.")
    typed = sys.argv

    @functools.wraps(job)
    def job_in_hydra(cfg: DictConfig) -> Any:
        sys.argv = typed  # what a record keeps, and what Lightning starts other processes by
        if HydraConfig.get().mode == RunMode.MULTIRUN:
            return _run_of_sweep(job, cfg)
        try:
            return job(cfg)
        except Exception as error:  # before Hydra prints the overrides
            if not processes.received():
                _fail(error)
            raise

    main = hydra.main(version_base="1.3", config_path=str(config_dir()), config_name=config_name)
    sys.argv = [typed[0], *for_hydra(typed[1:])]
    try:
        with multirun.sweep_folder(command) if sweeps else contextlib.nullcontext():
            try:
                main(job_in_hydra)()
            except Exception as error:
                if sweeps and explain(error) is None:  # jobs do not raise; this is the launcher, whose process died
                    stopped = f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"
                    multirun.fail_sweep(multirun.failures(), stopped)
                raise
            except BaseException:
                for folder in multirun.run_folders() if sweeps else []:  # of jobs in processes that are gone
                    mark_ended(folder, "interrupted")
                raise
            if sweeps and (failed := multirun.failures()):
                multirun.fail_sweep(failed)
    finally:
        sys.argv = typed


def _current_folder_exists() -> bool:
    try:
        return Path.cwd().exists()
    except FileNotFoundError:
        return False


def _command(config_name: str, arguments: Sequence[str]) -> str:
    return shlex.join(["python", "-m", f"regseg.{config_name}", *arguments])


def _continuation(config_name: str, arguments: Sequence[str], repeats: bool) -> str:
    """The command that continues what ``arguments`` began; a sweep, for one, resumes by itself."""
    kept = [text for text in arguments if text.lstrip("+").partition("=")[0] not in ("resume", "overwrite")]
    return _command(config_name, kept if repeats else [*kept, "resume=last"])


def _interrupted(number: int, continuation: str | None) -> None:
    """Say that the signal ended the work, and how to continue; exit."""
    remedy = "." if continuation is None else f"; continue by this command:\n  {continuation}"
    print(f"regseg: interrupted{remedy}", file=sys.stderr, flush=True)
    processes.end(128 + number)


def _fail(error: BaseException) -> None:
    """Exit with one sentence and status if there is a sentence for ``error``; return otherwise."""
    status, sentence = processes.failed_rank(wait=2.0) or explain(error) or (None, None)
    if status is None:
        return
    if sentence is not None:
        print(f"regseg: {sentence}", file=sys.stderr)
    processes.end(status)


def _run_of_sweep(job: Callable[[DictConfig], Any], cfg: DictConfig) -> Any:
    """Run a job of a sweep; write down how it failed, if it did, and let the sweep go on."""
    if multirun.runs_beside_others() and not multirun.is_queued():  # submitit asks Slurm for another job at a signal
        processes.set_up_job()
    hydra_cfg = HydraConfig.get()
    overrides = " ".join(hydra_cfg.overrides.task)
    try:
        folder, config = Path(hydra_cfg.runtime.output_dir), OmegaConf.to_yaml(cfg, resolve=True)
        if not multirun.note_run(hydra_cfg.job.num, overrides, folder, config):
            print(f"Skipping {overrides}: {folder} is the folder of an identical run of this multirun.")
            return None
        return job(cfg)
    except Exception as error:
        if processes.received():
            raise processes.Terminated(128 + processes.received()) from None
        if (end := _end_within(error)) is not None:
            raise end from None
        told = explain(error)
        if told is None:
            traceback.print_exc()
            told = 1, f"{type(error).__name__}: {error}"
        print(f"regseg: {told[1]}", file=sys.stderr)
        multirun.note_failure(hydra_cfg.job.num, overrides, told[1])
        return None


def _end_within(error: BaseException | None) -> BaseException | None:
    """The interrupt or exit during which ``error`` came up; None if it is an error in its own right.

    When Slurm ends a job or a person a sweep, loader workers end too, and their ends are told as errors of a clean-up.
    """
    while error is not None and not isinstance(error, (KeyboardInterrupt, SystemExit)):
        error = error.__context__
    return error
