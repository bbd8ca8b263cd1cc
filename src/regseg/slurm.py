"""What sweeps on Slurm need beyond submitit: the states of jobs without accounting, and jobs that are cancelled."""

from __future__ import annotations

import functools
import itertools
import subprocess
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any, cast

from regseg.multirun import note_failure

_LOST = "its Slurm job ended without a result, for example because it was cancelled; rerun the command to continue it."


def prepare_sweep() -> None:
    """Print where the output of a sweep's Slurm jobs is, and let submitit notice jobs that are cancelled."""
    try:
        from submitit.core import core, logger
        from submitit.slurm.slurm import SlurmJob
    except ImportError:  # Hydra names the missing launcher
        return
    states = functools.partial(job_states, seen=set())
    cast(Any, core).subprocess = SimpleNamespace(**{**vars(subprocess), "check_output": states})
    logger.get_logger().addFilter(lambda record: "Bypassing sacct error" not in record.getMessage())
    cast(Any, SlurmJob).results = _results_or_note(core.Job.results)
    print("Submitting one Slurm job per run; `squeue` lists them, and they continue if this command is stopped.")
    print("Each prints to output.log in its run's folder.", flush=True)


def job_states(command: Sequence[str], *, seen: set[str], **options: Any) -> Any:
    """Return the output of ``command``; where Slurm has no accounting, answer submitit's ``sacct`` from ``squeue``.

    Otherwise submitit would wait forever for a job that was cancelled, and print three lines at each query.

    Args:
        command: The command.
        seen: The jobs that ``squeue`` listed before, as ``JOB`` or ``JOB_INDEX``; extended by those that it lists.
        options: Arguments of `subprocess.check_output`.
    """
    try:
        return subprocess.check_output(command, **options, stderr=subprocess.DEVNULL)
    except (OSError, subprocess.CalledProcessError):
        if command[0] != "sacct":
            raise
    query = ["squeue", "--me", "--array", "--noheader", "--format=%i|%T|%N"]
    listed = subprocess.check_output(query, stderr=subprocess.DEVNULL, text=True).splitlines()
    asked = {job for option, job in itertools.pairwise(command) if option == "-j"}
    lines = [line for line in listed if line.partition("|")[0].partition("_")[0] in asked]
    current = {line.partition("|")[0] for line in lines}
    ended = [f"{job}|ENDED|" for job in sorted(seen - current) if job.partition("_")[0] in asked]
    seen |= current
    return "\n".join(["JobID|State|NodeList", *lines, *ended])


def _results_or_note(results: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Return ``results`` of a job that records a job without a result as failed, so that the others are waited for."""
    from submitit.core.utils import UncompletedJobError

    @functools.wraps(results)
    def wrapped(job: Any) -> Any:
        try:
            return results(job)
        except UncompletedJobError:
            overrides, _, number, *_ = job.submission().args  # of Hydra's launcher
            note_failure(number, " ".join(overrides), _LOST, lost=True)
            return [SimpleNamespace(return_value=None)]

    return wrapped
