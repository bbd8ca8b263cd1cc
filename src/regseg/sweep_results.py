"""What a sweep of trainings prints at its end: one line per run, and the command that reports on them."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from regseg.multirun import runs_and_failures
from regseg.run_dir import best_reduced, load_summary, status_of
from regseg.system.records import section


def print_runs() -> None:
    """Print one line per run of a sweep of trainings, and the command that reports on it."""
    found = runs_and_failures()
    if not any((folder / "summary.json").exists() for folder in found):
        return
    from regseg.reporting.published import paper

    _print_table(found)
    for group in dict.fromkeys(folder.parent for folder in found if (folder / "summary.json").exists()):
        number = group.name.removeprefix("table") if group.name in paper() else group.name  # such as table4_mine
        runs = [] if group.parent == Path("runs").absolute() else [f"runs={group.parent}"]
        print(f"report: {shlex.join(['python', '-m', 'regseg.report', f'table={number}', *runs])}")


def _print_table(found: Mapping[Path, bool]) -> None:
    """Print status and scores of the runs in the folders ``found``, which say whether the sweep's job failed there."""
    from rich.table import Table

    from regseg.system.console import plain_console

    table = Table()
    reduced = any(best_reduced(folder) is not None for folder in found)
    several = len({folder.parent for folder in found}) > 1
    names = {folder: f"{folder.parent.name}/{folder.name}" if several else folder.name for folder in found}
    figures = ("best\nmIoU %", "last\nmIoU %", *(["best\nreduced %"] if reduced else []))  # narrow, for long names
    for column in ("run", "status", *figures):
        table.add_column(column, justify="right" if "%" in column else "left", overflow="fold")
    for folder, fails in found.items():
        status, summary = status_of(folder), load_summary(folder)
        scores = [_miou(summary.get("best")), _miou(summary.get("last"))]
        scores += [_percent(best_reduced(folder))] if reduced else []
        if fails and status != "failed":  # the job was refused: what is in the folder is another run
            status, scores = "not started", ["–"] * len(scores)
        table.add_row(names[folder], status, *scores)
    plain_console().print(table)


def _miou(evaluation: Any) -> str:
    return _percent(section(evaluation, "metrics").get("val/miou"))


def _percent(value: Any) -> str:
    return f"{100 * value:.2f}" if isinstance(value, float) else "–"
