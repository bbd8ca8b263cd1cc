"""A table of ours beside the paper's and the author's, from run folders alone."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from regseg.analysis.published import Curve, author_runs, paper
from regseg.errors import InputError
from regseg.runs import read_metrics, read_summary


class Run(NamedTuple):
    """One run folder.

    Attributes:
        row: the table's row, ``run.name``.
        status: finished, running, interrupted or failed.
        epoch: the last epoch that was trained, counted from 0; -1 where none was.
        of: how many epochs the run shall have.
        curve: its evaluations.
        classes: names of the classes, in the order of ``curve.iou``.
    """

    row: str
    status: str
    epoch: int
    of: int
    curve: Curve
    classes: list[str]


class Row(NamedTuple):
    """A row of a report: percent, None where there is nothing."""

    name: str
    ours: list[float]  # one value a seed, finished or not
    paper: float | None
    author: list[float]
    state: str

    @property
    def mean(self) -> float | None:
        return statistics.mean(self.ours) if self.ours else None

    @property
    def deviation(self) -> float | None:
        """Population standard deviation over seeds, as the paper gives it; None for a single one."""
        return statistics.pstdev(self.ours) if len(self.ours) > 1 else None


def read_runs(folder: Path, group: str) -> list[Run]:
    """The runs in ``folder/group``, half-finished ones too, sorted by name."""
    runs = []
    for path in sorted((folder / group).glob("*/summary.json")):
        summary = read_summary(path.parent) or {}
        config = summary.get("config") or {}
        rows = read_metrics(path.parent)
        names = [name for name in (rows[0] if rows else {}) if name.startswith("val/iou/")]
        evaluated = [row for row in rows if row["val/miou"]]
        curve = Curve(
            config.get("seed", 0),
            [int(row["epoch"]) for row in evaluated],
            [100 * float(row["val/miou"]) for row in evaluated],
            [100 * float(row["val/miou_reduced"]) for row in evaluated],
            [[100 * float(row[name] or math.nan) for name in names] for row in evaluated],
        )
        row = (config.get("run") or {}).get("name") or path.parent.name.rpartition("_seed")[0]
        epoch, of = int(rows[-1]["epoch"]) if rows else -1, (config.get("trainer") or {}).get("max_epochs", 0)
        status = summary.get("status", "unknown")
        runs.append(Run(row, status, epoch, of, curve, [name.removeprefix("val/iou/") for name in names]))
    return runs


def metric_of(group: str) -> str:
    """Which figure a table prints; the last epoch's mIoU for a group that is none of the paper's."""
    return paper().get(group, {}).get("metric", "last/miou")


def compare(group: str, runs: Iterable[Run]) -> list[Row]:
    """The rows of a table: the paper's first, in its order, then others that were run.

    Raises:
        InputError: the group is no table of the paper and has no runs.
    """
    runs, content, metric = list(runs), paper().get(group, {}), metric_of(group)
    if not runs and not content:
        tables = ", ".join(name for name in paper() if name != "table9")
        raise InputError(f"table={group} has no runs and is no table of the paper; choose one of {tables}.")
    printed = content.get("rows", {})
    names = [*printed, *dict.fromkeys(run.row for run in runs if run.row not in printed)]
    rows = []
    for name in names:
        own = [run for run in runs if run.row == name]
        values = [run.curve.value(metric) for run in own]
        author = [run.value(metric) for run in author_runs(group, name)]
        rows.append(Row(name, [value for value in values if value == value], printed.get(name), author, state_of(own)))
    return rows


def state_of(runs: Iterable[Run]) -> str:
    """What to say of a row's runs that are not finished; empty where all are."""
    runs = list(runs)
    if not runs:
        return "not run"
    open_runs = [run for run in runs if run.status != "finished"]
    return ", ".join(f"seed {run.curve.seed} {run.status} at epoch {run.epoch + 1} of {run.of}" for run in open_runs)


def at_same_epochs(group: str, runs: Iterable[Run]) -> list[str]:
    """A sentence a run: where the author's run of that row stood at the latest epoch that both evaluated."""
    sentences = []
    name = metric_of(group).partition("/")[2]
    for run in runs:
        for author in author_runs(group, run.row)[:1]:
            both = [epoch for epoch in run.curve.epochs if epoch in author.epochs]
            if both:
                theirs = getattr(author, name)[author.epochs.index(both[-1])]
                ours = getattr(run.curve, name)[run.curve.epochs.index(both[-1])]
                sentences.append(
                    f"{run.row}, seed {run.curve.seed}: at epoch {both[-1]} the author had {theirs:.1f}; you have "
                    f"{ours:.1f}."
                )
    return sentences


def markdown(group: str, rows: Iterable[Row]) -> str:
    """The table as Markdown."""
    which, _, name = metric_of(group).partition("/")
    figure = f"{which} {'reduced mIoU' if name == 'miou_reduced' else 'mIoU'}, %"
    lines = [
        f"| row | ours: {figure} | seeds | paper | author's runs | |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for row in rows:
        spread = f" ± {row.deviation:.2f}" if row.deviation is not None else ""
        ours = f"{row.mean:.2f}{spread}" if row.mean is not None else "–"
        author = ", ".join(f"{value:.2f}" for value in row.author) or "–"
        printed: Any = "–" if row.paper is None else row.paper
        lines.append(f"| {row.name} | {ours} | {len(row.ours)} | {printed} | {author} | {row.state} |")
    return "\n".join(lines) + "\n"
