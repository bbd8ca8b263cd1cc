"""Adapts submitit to sweeps on Slurm: job states from squeue, jobs without a result, and the last time limit."""

from __future__ import annotations

import functools
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from types import FrameType, SimpleNamespace
from typing import Any, cast

from regseg.multirun import note_failure

_LOST = (
    "its job ended without a result, for example because it was cancelled or had no time left{}; rerun the "
    "command to continue it."
)


def is_chosen(arguments: Sequence[str]) -> bool:
    """Return whether the command line ``arguments`` start the jobs of a sweep on Slurm."""
    return not {"hydra/launcher=slurm", "hydra/launcher=submitit_slurm"}.isdisjoint(arguments)


def prepare_sweep(folder: Path | None, *, trains: bool) -> None:
    """Print where the output of a sweep's Slurm jobs is, and let submitit notice jobs that are cancelled.

    It also removes SBATCH_EXPORT and SLURM_EXPORT_ENV from the environment.

    Args:
        folder: The sweep's folder; None if it is not known yet.
        trains: Whether the runs are trainings, which print to files in their own folders.
    """
    try:
        from submitit.core import core, logger
        from submitit.slurm.slurm import SlurmJob
    except ImportError:  # Hydra names the missing launcher
        return
    # With NONE, jobs would not get the variables that the sweep and submitit set.
    for name in ("SBATCH_EXPORT", "SLURM_EXPORT_ENV"):
        os.environ.pop(name, None)
    states = functools.partial(job_states, submitted=SlurmJob.watcher._registered, known=set())
    cast(Any, core).subprocess = SimpleNamespace(**{**vars(subprocess), "check_output": states})
    logger.get_logger().addFilter(lambda record: "Bypassing sacct error" not in record.getMessage())
    note_lost_jobs()
    print("Submitting one Slurm job per run; `squeue` lists them, and they continue if this command is stopped.")
    logs = ".submitit in the sweep's folder" if folder is None else os.path.relpath(folder / ".submitit")
    print(f"Each prints to {'output.log in its run folder, and errors to ' if trains else ''}{logs}.", flush=True)


def job_states(command: Sequence[str], *, submitted: Collection[str], known: set[str], **options: Any) -> Any:
    """Return the output of ``command``; ``sacct`` queries are answered from ``squeue``.

    ``squeue`` needs no accounting, and lists a job until it ends for good: also while it is suspended, on hold, or
    waits in the queue again after its node failed. submitit takes some of these states for the end of a job.

    A job has ended if ``squeue`` knows it and no longer lists it. For some minutes, ``--states=all`` also lists ended
    jobs, such as those that were cancelled at once. Jobs of other clusters are not known, and are waited for.

    Args:
        command: The command.
        submitted: The jobs that submitit waits for, as ``JOB`` or ``JOB_INDEX``.
        known: The numbers of the jobs that ``squeue`` has listed so far, without indices; more are added.
        options: Arguments of `subprocess.check_output`.
    """
    if command[0] != "sacct":
        return subprocess.check_output(command, **options)
    listed = _listed()
    known |= {_number(job) for job in listed | _listed("--states=all")}
    ended = {job for job in submitted if job not in listed and _number(job) in known}
    states = {job: "RUNNING" if job in listed else "ENDED" if job in ended else "UNKNOWN" for job in sorted(submitted)}
    return "\n".join(["JobID|State", *(f"{job}|{state}" for job, state in states.items())])


def _listed(*options: str) -> set[str]:
    """Return the user's jobs that ``squeue`` lists, as ``JOB`` or ``JOB_INDEX``."""
    query = ["squeue", "--me", "--array", "--noheader", "--format=%i", *options]
    # A user's variables, such as SQUEUE_STATES=RUNNING, would hide jobs.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SQUEUE_")}
    output = subprocess.check_output(query, env=environment, stderr=subprocess.DEVNULL, text=True)
    return {line.strip() for line in output.splitlines()}


def _number(job: str) -> str:
    """Return ``JOB`` for ``JOB_INDEX``; cancelled jobs of an array may be listed together, with a range as index."""
    return job.partition("_")[0]


def note_lost_jobs() -> None:
    """Let submitit record a job without a result as failed, so that a sweep waits for its other jobs."""
    try:
        from submitit.core import core
    except ImportError:  # Hydra names the missing launcher
        return
    cast(Any, core.Job).results = _results_or_note(core.Job.results)


def _results_or_note(results: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Wrap ``results`` of a job so that a job without a result is recorded as failed."""
    from submitit.core.utils import UncompletedJobError

    @functools.wraps(results)
    def wrapped(job: Any) -> Any:
        try:
            return results(job)
        except UncompletedJobError:
            overrides, _, number, *_ = job.submission().args  # of Hydra's launcher
            log = f" (log: {job.paths.stderr})" if job.paths.stderr.exists() else ""  # none if it never began
            note_failure(number, " ".join(overrides), _LOST.format(log), lost=True)
            return [SimpleNamespace(return_value=None)]

    return wrapped


def interrupt_at_last_timeout() -> None:
    """End this submitit job as interrupted if it reaches its last time limit.

    submitit's signal handler then raises an error, and the run would be recorded as failed.
    """
    try:
        from submitit.core.job_environment import JobEnvironment
    except ImportError:  # a user's own job of submitit, with another Python
        return
    number_of_timeout = JobEnvironment._usr_sig()
    former = signal.getsignal(number_of_timeout)

    def handle(number: int, frame: FrameType | None) -> None:
        try:
            cast(Any, former)(number, frame)
        except Exception as error:
            print(f"regseg: {error}", file=sys.stderr, flush=True)
            sys.exit(1)

    if callable(former):
        signal.signal(number_of_timeout, handle)
