"""How a training starts in a run's folder: new, in place of an earlier run, or as its continuation."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from regseg.errors import InputError, typed
from regseg.run_dir import CONTENTS, holds_results, load_summary
from regseg.system.console import shown
from regseg.system.folders import expanded
from regseg.system.records import section


def now() -> str:
    """Return the time in UTC as ``2026-01-31T12:00:00.000Z``, which needs no quotes on a command line."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def check_names(names: Mapping[str, Any]) -> None:
    """Raise InputError unless group and name of a run lead to a folder below that of all runs."""
    for option, name in names.items():
        if name is None or not all(part.strip(". ") for part in str(name).split("/")):
            shown = "null" if name is None else name
            raise InputError(f"run.{option}={shown} is not the name of a folder; use a name such as baseline.")


def check_overwrite(value: object) -> None:
    """Raise InputError unless ``value`` is a boolean or a time."""
    if not isinstance(value, bool) and (not isinstance(value, str) or _time(value) is None):
        raise InputError(
            f"overwrite={typed(value)} is neither a boolean nor a time; use overwrite=true, or a time such as {now()} "
            "to replace only runs that began before."
        )


def check_weights(folder: Path, weights: str | None) -> None:
    """Raise InputError if a new run would start from weights in its own ``folder``, whose contents it replaces.

    If such a run were interrupted in its first epoch, these weights would be lost.
    """
    if not weights or not (path := expanded(weights).resolve()).is_relative_to(folder.resolve()):
        return
    within = path.relative_to(folder.resolve()).parts
    if not within or within[0] in CONTENTS:
        raise InputError(
            f"weights={weights} belongs to the run in {shown(folder)}, which this run would replace; choose another "
            "folder with run.name=NAME."
        )


def how_to_start(folder: Path, config: Mapping[str, Any], *, sweep: bool, requeued: str | None) -> tuple[Any, bool]:
    """Return the effective (resume, overwrite) of a training into ``folder``.

    A repeated sweep resumes its rows, a run replaces a smoke test, and a job that Slurm queued again continues its own
    run.

    Args:
        folder: The run's folder.
        config: The configuration of the command.
        sweep: Whether the run is part of a sweep.
        requeued: The id of this Slurm job if Slurm started it before.
    """
    if requeued is not None and load_summary(folder).get("slurm_job") == requeued:
        return "last", False
    resume, overwrite = config["resume"], config["overwrite"]
    if isinstance(overwrite, str):
        overwrite = _began_before(folder, overwrite)
    if sweep and not overwrite:
        resume = "last"
    if not config["trainer"]["smoke"] and _holds_smoke_test(folder):
        overwrite = True
    return resume, overwrite


def beginning(folder: Path, *, keep: bool, earliest: str | None) -> str | None:
    """Return the time at which the run in ``folder`` began, for its summary.

    Args:
        folder: The run's folder.
        keep: Whether an earlier run in the folder is continued, if it has results.
        earliest: When the sweep began; the clock of another machine may be behind.

    Returns:
        The time; None if an earlier version began the run.
    """
    if keep and holds_results(folder):
        return load_summary(folder).get("began")
    return max(now(), earliest or "")


def _began_before(folder: Path, time: str) -> bool:
    """Return whether the run in ``folder`` began before ``time``, or did not record when it began."""
    began, limit = _time(load_summary(folder).get("began")), _time(time)
    return began is None or limit is None or began < limit


def _time(text: object) -> datetime | None:
    """Return an ISO time, which is local without a time zone; None if ``text`` is not one."""
    try:
        return datetime.fromisoformat(text).astimezone() if isinstance(text, str) else None
    except (ValueError, OverflowError):
        return None


def _holds_smoke_test(folder: Path) -> bool:
    """Return whether the run in ``folder`` is a smoke test, which may be replaced."""
    return bool(section(section(load_summary(folder), "config"), "trainer").get("smoke"))
