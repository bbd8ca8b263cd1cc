"""What sweeps on Slurm need beyond submitit, above all for jobs that end without a result, such as cancelled ones."""

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

    Args:
        folder: The sweep's folder; None if it is not known yet.
        trains: Whether the runs are trainings, which print to files in their own folders.
    """
    try:
        from submitit.core import core, logger
        from submitit.slurm.slurm import SlurmJob
    except ImportError:  # Hydra names the missing launcher
        return
    for name in ("SBATCH_EXPORT", "SLURM_EXPORT_ENV"):  # with NONE, jobs would lack variables of sweep and submitit
        os.environ.pop(name, None)
    states = functools.partial(job_states, submitted=SlurmJob.watcher._registered)
    cast(Any, core).subprocess = SimpleNamespace(**{**vars(subprocess), "check_output": states})
    logger.get_logger().addFilter(lambda record: "Bypassing sacct error" not in record.getMessage())
    note_lost_jobs()
    print("Submitting one Slurm job per run; `squeue` lists them, and they continue if this command is stopped.")
    logs = ".submitit in the sweep's folder" if folder is None else os.path.relpath(folder / ".submitit")
    print(f"Each prints to {'output.log in its run folder, and errors to ' if trains else ''}{logs}.", flush=True)


def job_states(command: Sequence[str], *, submitted: Collection[str], **options: Any) -> Any:
    """Return the output of ``command``, except that ``squeue`` answers submitit's queries with ``sacct``.

    ``squeue`` needs no accounting, and lists a job until it ends for good: also while it is suspended, on hold, or
    waits in the queue again after its node failed. submitit takes some of these states for the end of a job.

    Args:
        command: The command.
        submitted: The jobs that submitit waits for, as ``JOB`` or ``JOB_INDEX``.
        options: Arguments of `subprocess.check_output`.
    """
    if command[0] != "sacct":
        return subprocess.check_output(command, **options)
    query = ["squeue", "--me", "--array", "--noheader", "--format=%i"]
    # A user's variables, such as SQUEUE_STATES=RUNNING, would hide jobs.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SQUEUE_")}
    output = subprocess.check_output(query, env=environment, stderr=subprocess.DEVNULL, text=True)
    listed = {line.strip() for line in output.splitlines()}
    states = (f"{job}|{'RUNNING' if job in listed else 'ENDED'}" for job in sorted(submitted))
    return "\n".join(["JobID|State", *states])


def note_lost_jobs() -> None:
    """Let submitit record a job without a result as failed, so that a sweep waits for its other jobs."""
    try:
        from submitit.core import core
    except ImportError:  # Hydra names the missing launcher
        return
    cast(Any, core.Job).results = _results_or_note(core.Job.results)


def _results_or_note(results: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Return ``results`` of a job, except that it records a job without a result as failed."""
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
    """Let this job of submitit end like an interrupted one if its time is up and it is not queued again.

    submitit's signal handler raises an error then, as which the run would be recorded as failed.
    """
    from submitit.core.job_environment import JobEnvironment

    requeue = signal.getsignal(JobEnvironment._usr_sig())

    def handle(number: int, frame: FrameType | None) -> None:
        try:
            cast(Any, requeue)(number, frame)
        except Exception as error:
            print(f"regseg: {error}", file=sys.stderr, flush=True)
            sys.exit(1)

    if callable(requeue):
        signal.signal(JobEnvironment._usr_sig(), handle)
