"""The command that continues an interrupted or failed one, and what that command replaces and keeps.

A run whose folder was prepared continues with ``resume=last``; before that, the same command starts it again. A sweep
with ``overwrite=true`` has replaced some of its runs, but not all: it continues with the time at which it started,
``overwrite=TIME``, which replaces only the runs that began before.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from regseg import slurm
from regseg.arguments import asks_for_help, asks_for_sweep, key_of

_entered = False  # whether the command's job has replaced the outputs that `overwrite=true` replaces


def entered() -> None:
    """Note that the job of this process has replaced earlier outputs, so that its own must be kept from now on."""
    global _entered
    _entered = True


def forget() -> None:
    """Note that the job of this process has not replaced anything yet."""
    global _entered
    _entered = False


def command_line(config_name: str, arguments: Sequence[str]) -> str:
    """Return a command as a user types it."""
    return shlex.join(["python", "-m", f"regseg.{config_name}", *arguments])


def after_signal(config_name: str, arguments: Sequence[str], began: str, *, resumable: bool, repeatable: bool) -> str:
    """Return the end of the message about an interrupted command: how to continue it.

    Args:
        config_name: The command.
        arguments: The command line without the program's name.
        began: The time at which the command started.
        resumable: Whether ``resume=last`` continues a job.
        repeatable: Whether the same command continues a job.
    """
    sweeps = asks_for_sweep(arguments)
    if asks_for_help(arguments) or not (resumable or repeatable or sweeps):
        return "."
    if resumable and not sweeps and not _entered:
        return f" before the run began; start it again with this command:\n  {command_line(config_name, arguments)}"
    if resumable:
        kept = _of_sweep(arguments, began) if sweeps else [*_without(arguments, "resume", "overwrite"), "resume=last"]
    else:  # jobs of a sweep that did not begin still have to replace their files
        kept = _without(arguments, "overwrite") if _entered and not sweeps else list(arguments)
    how = "; continue"
    if sweeps and slurm.is_chosen(arguments):
        how = "; its Slurm jobs continue. Once `squeue` no longer lists them, continue the unfinished runs"
    return f"{how} with this command{_what_is_replaced(kept)}:\n  {command_line(config_name, kept)}"


def after_failures(config_name: str, arguments: Sequence[str], began: str, *, resumable: bool) -> str:
    """Return what to do, after ``fix the cause and``, when jobs of a sweep failed; the arguments are those above."""
    if not resumable:
        return "rerun the same command."
    kept = _of_sweep(arguments, began)
    if which := _what_is_replaced(kept):
        return f"continue with this command{which}:\n  {command_line(config_name, kept)}"
    return "rerun the same command, which skips finished runs."


def _without(arguments: Sequence[str], *keys: str) -> list[str]:
    return [text for text in arguments if key_of(text) not in keys]


def _of_sweep(arguments: Sequence[str], began: str) -> list[str]:
    """Return the arguments that continue a sweep, which resumes its runs without ``resume=last``."""
    kept = _without(arguments, "resume")
    return [f"overwrite={began}" if _replaces_all(text) else text for text in kept]


def _replaces_all(text: str) -> bool:
    return key_of(text) == "overwrite" and text.partition("=")[2].lower() == "true"


def _what_is_replaced(arguments: Sequence[str]) -> str:
    """Return the clause on the runs that ``overwrite=TIME`` replaces; empty without it."""
    times = [text.partition("=")[2] for text in arguments if key_of(text) == "overwrite"]
    replaces = bool(times) and times[-1].lower() not in ("true", "false")
    return f", which replaces only the runs that began before {times[-1]}" if replaces else ""
