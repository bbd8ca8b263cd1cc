"""State shared by the jobs of a sweep, possibly in several processes or on several machines.

It covers failures, the choice of a GPU and the output of each job. The state is a folder that the jobs find through an
environment variable, because launchers run them in separate processes.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import multiprocessing
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, MutableMapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from regseg.errors import InputError
from regseg.run_dir import best_miou
from regseg.system.atomic import write_text
from regseg.system.console import shown
from regseg.system.locks import Held, lock

_FOLDER, _PROCESS, _COMMAND, _BEGAN = "REGSEG_SWEEP", "REGSEG_SWEEP_PROCESS", "REGSEG_COMMAND", "REGSEG_SWEEP_BEGAN"
_NOTE = "note.json"  # in the folder of a run's note
_held: list[tuple[int, Any]] = []  # (number, lock) of the GPU that this process uses until it ends


@contextlib.contextmanager
def sweep_folder(command: str, began: str = "") -> Iterator[None]:
    """Create the folder of a sweep in the current folder, which other machines can see.

    Args:
        command: The command that started the sweep.
        began: The time at which it did, see `regseg.run_start.now`; empty if it replaces nothing.
    """
    # Jobs that are still running may have files open in it when this process ends.
    with tempfile.TemporaryDirectory(prefix=".regseg_sweep_", dir=".", ignore_cleanup_errors=True) as folder:
        variables = {_FOLDER: str(Path(folder).absolute()), _PROCESS: _this_process()}
        variables |= {_COMMAND: command, _BEGAN: began}
        os.environ |= variables
        try:
            yield
        finally:
            for name in variables:
                del os.environ[name]


def command_of_sweep() -> str | None:
    """Return the command that started the sweep of this process; None outside of a sweep."""
    return os.environ.get(_COMMAND)


def beginning_of_sweep() -> str | None:
    """Return the time at which the sweep of this process began; None outside of a sweep."""
    return os.environ.get(_BEGAN)


def note_failure(number: int, overrides: str, sentence: str, *, lost: bool = False) -> None:
    """Record how a job failed, for the process that started the sweep, if it is still running.

    Args:
        number: The job's number in the sweep.
        overrides: The job's overrides.
        sentence: What is printed.
        lost: Whether the job's process was ended from outside, so that only the run's folder shows how far it got.
    """
    path = Path(os.environ[_FOLDER]) / f"failed_{number:06d}.json"
    if path.parent.is_dir():
        write_text(path, json.dumps([overrides, sentence, number, lost]))


def note_run(number: int, overrides: str, folder: Path, config: str) -> bool:
    """Record that job ``number`` runs in ``folder``, for the process that started the sweep.

    Args:
        number: The job's number in the sweep.
        overrides: The job's overrides, for error messages.
        folder: The job's run folder.
        config: The job's configuration as text.

    Returns:
        Whether to run the job; False if another job of the sweep has the same folder and configuration.

    Raises:
        InputError: Another job of the sweep has the same folder but another configuration.
    """
    digest = hashlib.sha256(config.encode()).hexdigest()
    place = Path(os.environ[_FOLDER]) / f"run_{hashlib.sha1(os.fsencode(folder)).hexdigest()}"
    outlives = is_queued() and main_of_local_queue() is None
    with contextlib.suppress(FileNotFoundError):  # the process that started the sweep has ended; this job was queued
        _, first, its_overrides, its_digest, _ = _first_note(place, [str(folder), number, overrides, digest, outlives])
        if first != number and its_digest != digest:
            raise InputError(
                f"{shown(folder)} is already used by the sweep's run {its_overrides}; give each run its own folder "
                "with run.name, such as 'run.name=${optimizer.lr}' for a sweep over optimizer.lr."
            )
        return first == number  # also if this job was queued again
    return True


def _first_note(place: Path, note: list[Any]) -> list[Any]:
    """Return the note of the first job that asked for ``place``, which is ``note`` if this one is the first.

    The note is written into another folder, which is then renamed: a folder that is not empty is never replaced, and
    a job that is killed before leaves nothing in ``place``. This also works without hard links and locks.
    """
    draft = Path(tempfile.mkdtemp(prefix=".", dir=place.parent))
    (draft / _NOTE).write_text(json.dumps(note), encoding="utf-8")
    with contextlib.suppress(OSError):  # file systems differ in the error if another job was first
        os.rename(draft, place)
    shutil.rmtree(draft, ignore_errors=True)
    return cast(list[Any], json.loads((place / _NOTE).read_text(encoding="utf-8")))


def run_folders(*, ended: bool = False) -> list[Path]:
    """Return the folders of the runs that were started, in the order of the jobs.

    Args:
        ended: Whether to omit runs that continue when the process that started the sweep ends, such as Slurm jobs.
    """
    return [Path(folder) for folder, *_, outlives in _run_notes() if not (ended and outlives)]


def _run_notes() -> list[Any]:
    notes = [path.read_text(encoding="utf-8") for path in Path(os.environ[_FOLDER]).glob(f"run_*/{_NOTE}")]
    return sorted(map(json.loads, notes), key=lambda note: note[1])


def runs_and_failures() -> dict[Path, bool]:
    """Return run folder -> whether its job failed by itself.

    Folders without a summary appear only if their job failed.
    """
    failed = {number for *_, number, lost in _failure_notes() if not lost}
    found = {Path(folder): number in failed for folder, number, *_ in _run_notes()}
    return {folder: fails for folder, fails in found.items() if fails or (folder / "summary.json").exists()}


def is_queued() -> bool:
    """Return whether submitit started this process, under Slurm or on this machine."""
    return "SUBMITIT_EXECUTOR" in os.environ


def main_of_local_queue() -> int | None:
    """Return the process that started the sweep, if submitit started this one on the same machine; None otherwise."""
    if os.environ.get("SUBMITIT_EXECUTOR") != "local" or not is_one_of_several():
        return None
    return int(os.environ[_PROCESS].rpartition(":")[2])


def detach_local_queue() -> None:
    """Let submitit start its local jobs in separate sessions.

    Ctrl-C in a terminal would reach its controllers too, which print traces and kill their jobs a second later.
    """
    if sys.platform == "win32":
        raise InputError("hydra/launcher=submitit_local needs signals that Windows lacks; use hydra/launcher=parallel.")
    try:
        from submitit.local import local
    except ImportError:  # Hydra names the missing launcher
        return
    popen = functools.partial(subprocess.Popen, start_new_session=True)
    cast(Any, local).subprocess = SimpleNamespace(Popen=popen)


def failures() -> list[tuple[str, str]]:
    """Return (overrides, sentence) of every failed job, in the order of the jobs."""
    return [(overrides, sentence) for overrides, sentence, *_ in _failure_notes()]


def _failure_notes() -> list[Any]:
    paths = sorted(Path(os.environ[_FOLDER]).glob("failed_*.json"))
    return [json.loads(path.read_text(encoding="utf-8")) for path in paths]


def is_one_of_several() -> bool:
    """Return whether a launcher started this process as one of several of a sweep."""
    return os.environ.get(_PROCESS, _this_process()) != _this_process()


def queued_again() -> bool:
    """Return whether Slurm stopped this job before and started it again."""
    return int(os.environ.get("SLURM_RESTART_COUNT", 0)) > 0


def slurm_job() -> str | None:
    """Return the id of this process's Slurm job, which it keeps when it is queued again; None outside of Slurm."""
    array, task = (os.environ.get(f"SLURM_ARRAY_{name}_ID") for name in ("JOB", "TASK"))
    return f"{array}_{task}" if array and task else os.environ.get("SLURM_JOB_ID")


def check_launch(table: str | None, launcher: str, *, sweep: bool) -> None:
    """Check that launchers and tables of several runs are used in a sweep only.

    Args:
        table: The experiment, if it is a table of several runs.
        launcher: The choice of ``hydra/launcher``.
        sweep: Whether this is a job of a sweep.

    Raises:
        InputError: The option needs -m.
    """
    if not sweep and launcher != "basic":
        raise InputError(f"hydra/launcher={launcher} is for sweeps; add -m or remove it.")
    if not sweep and table:
        raise InputError(f"experiment={table} is a table of several runs; start it with -m experiment={table}.")


def run_in_parallel(run: Callable[[], None], folder: Path, trainer: MutableMapping[str, Any]) -> None:
    """Call ``run`` in one of several processes, on a reserved GPU; print a line at its start and end.

    Args:
        run: Trains into ``folder``.
        folder: The run's folder; its output goes to ``output.log``.
        trainer: Arguments of the Trainer; ``devices`` is set to the GPU.

    Raises:
        InputError: ``trainer.devices`` is more than one GPU.
    """
    gpu = own_gpu() if trainer["accelerator"] in ("auto", "gpu", "cuda") else None
    if gpu is not None and trainer["devices"] != 1:
        raise InputError(
            f"trainer.devices={trainer['devices']} cannot be used for several rows at once, which use one GPU each; "
            "remove hydra/launcher=parallel."
        )
    if gpu is not None:
        trainer["devices"] = [gpu]
    # joblib sets its own start method, with which loader workers cannot be started.
    multiprocessing.set_start_method(multiprocessing.get_all_start_methods()[0], force=True)
    print(f"Starting {shown(folder)}; its output is in output.log.", flush=True)
    with output_in(folder):
        run()
    miou = best_miou(folder)
    print(f"{shown(folder)} is finished" + ("" if miou is None else f", best mIoU {100 * miou:.2f}"), flush=True)


@contextlib.contextmanager
def output_in(folder: Path) -> Iterator[None]:
    """Redirect stdout to ``folder/output.log``, because jobs that run at once would mix their output.

    The file is removed if the run did not begin.
    """
    folder.mkdir(parents=True, exist_ok=True)
    sys.stdout.flush()
    terminal = os.dup(1)
    with open(folder / "output.log", "a", encoding="utf-8") as file:
        os.dup2(file.fileno(), 1)  # the descriptor, because the processes of a distributed run inherit it
    try:
        yield
    finally:
        sys.stdout.flush()
        os.dup2(terminal, 1)
        os.close(terminal)
        if not (folder / "summary.json").exists():
            (folder / "output.log").unlink(missing_ok=True)


def own_gpu() -> int | None:
    """Reserve a GPU for this process until it ends.

    Returns:
        Its number; a GPU is shared if all are in use. None without GPUs, and for jobs of submitit, which get their
        GPUs from Slurm.
    """
    import torch

    if _held:
        return _held[0][0]
    count = torch.cuda.device_count()
    if count == 0 or is_queued():
        return None
    for number in range(count):
        held = lock(Path(os.environ[_FOLDER]) / f"gpu_{number}", wait=False)
        with contextlib.suppress(Held):
            held.__enter__()
            _held.append((number, held))
            return number
    return os.getpid() % count


def fail_sweep(failed: list[tuple[str, str]], remedy: str, stopped: str = "") -> None:
    """Exit with status 1 after one line per failed job and one that says how to continue: ``remedy``."""
    for overrides, sentence in failed:
        print(f"regseg: failed: {overrides}: {sentence}", file=sys.stderr)
    what = f"the sweep stopped ({stopped})" if stopped else f"{len(failed)} of the sweep's runs failed"
    print(f"regseg: {what}; fix the cause and {remedy}", file=sys.stderr)
    sys.exit(1)


def _this_process() -> str:
    return f"{socket.gethostname()}:{os.getpid()}"
