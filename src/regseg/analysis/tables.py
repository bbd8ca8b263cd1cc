"""A table of ours beside the paper's and the author's, from run folders alone."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from regseg.analysis.published import LEFT_OUT, Curve, author_runs, paper
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
        apart: why it cannot be held against the paper's table: a smoke test, or other data; else empty.
    """

    row: str
    status: str
    epoch: int
    of: int
    curve: Curve
    classes: list[str]
    apart: str = ""


class Row(NamedTuple):
    """A row of a report: percent, None where there is nothing.

    Attributes:
        name: of the row.
        ours: a value a finished run.
        so_far: a value a run that is not finished; it counts only while no run is.
        paper: what the paper prints.
        paper_deviation: and its deviation.
        author: a value a run of the author's.
        state: what to say of runs that are not finished.
    """

    name: str
    ours: list[float]
    so_far: list[float]
    paper: float | None
    paper_deviation: float | None
    author: list[float]
    state: str

    @property
    def values(self) -> list[float]:
        return self.ours or self.so_far

    @property
    def mean(self) -> float | None:
        return statistics.mean(self.values) if self.values else None

    @property
    def deviation(self) -> float | None:
        """Population standard deviation over seeds, as the paper gives it; None for a single one."""
        return statistics.pstdev(self.values) if len(self.values) > 1 else None


def read_runs(folder: Path, group: str) -> list[Run]:
    """The runs in ``folder/group``, half-finished ones too: in the order of the table's rows, others by name."""
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
        classes = [name.removeprefix("val/iou/") for name in names]
        runs.append(Run(row, status, epoch, of, curve, classes, _apart(group, config)))
    printed = list(paper().get(group, {}).get("rows", {}))
    order = {name: place for place, name in enumerate(printed)}
    return sorted(runs, key=lambda run: (order.get(run.row, len(order)), run.row, run.curve.seed))


def _apart(group: str, config: dict[str, Any]) -> str:
    if group not in paper():
        return ""
    meant, dataset = "camvid" if group == "table8" else "cityscapes", (config.get("data") or {}).get("dataset")
    smoke = "a smoke test" if (config.get("trainer") or {}).get("smoke") else ""
    return " ".join([*([smoke] if smoke else []), *([f"on {dataset}"] if dataset not in (None, meant) else [])])


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
        tables = ", ".join(name for name in paper())
        raise InputError(f"table={group} has no runs and is no table of the paper; choose one of {tables}.")
    printed, deviations = content.get("rows", {}), content.get("deviations", {})
    names = [*printed, *dict.fromkeys(run.row for run in runs if run.row not in printed)]
    rows = []
    for name in names:
        own = [run for run in runs if run.row == name]
        ours = known(run.curve.value(metric) for run in own if run.status == "finished")
        so_far = known(run.curve.value(metric) for run in own if run.status != "finished")
        author = [run.value(metric) for run in author_runs(group, name)]
        rows.append(Row(name, ours, so_far, printed.get(name), deviations.get(name), author, state_of(own)))
    return rows


def state_of(runs: Iterable[Run]) -> str:
    """What to say of a row's runs that are not finished, or not the paper's; empty where all are both."""
    runs = list(runs)
    if not runs:
        return "not run"
    told = [
        f"seed {run.curve.seed} {run.status} at epoch {run.epoch + 1} of {run.of}"
        for run in runs
        if run.status != "finished"
    ]
    apart = dict.fromkeys(f"not comparable: {run.apart}" for run in runs if run.apart)
    return ", ".join([*told, *apart])


class Meeting(NamedTuple):
    """The latest epoch at which a run of ours and the author's runs of its row were evaluated; values in percent."""

    epoch: int
    ours: float
    author: float
    iou_difference: list[float]  # of every class, ours minus the author's


def meet(group: str, run: Run) -> Meeting | None:
    """Where ``run`` meets the author's runs of its row; several of his are averaged. None where it does not."""
    name, curve = metric_of(group).partition("/")[2], run.curve
    if run.apart:
        return None
    authors = [author for author in author_runs(group, run.row) if len(author.iou[-1]) == len(run.classes)]
    both = [epoch for epoch in curve.epochs if authors and all(epoch in author.epochs for author in authors)]
    if not both:
        return None
    place = curve.epochs.index(both[-1])
    theirs = [author.epochs.index(both[-1]) for author in authors]
    mean = statistics.mean(getattr(author, name)[at] for author, at in zip(authors, theirs, strict=True))
    of_runs = [author.iou[at] for author, at in zip(authors, theirs, strict=True)]
    iou = [statistics.mean(values) for values in zip(*of_runs, strict=True)]
    differences = [own - other for own, other in zip(curve.iou[place], iou, strict=True)]
    return Meeting(both[-1], getattr(curve, name)[place], mean, differences)


def at_same_epochs(group: str, runs: Iterable[Run]) -> list[str]:
    """A sentence a run: where the author stood at the latest epoch that both evaluated."""
    return [
        f"{run.row}, seed {run.curve.seed}: at epoch {found.epoch} the author had {found.author:.1f}; you have "
        f"{found.ours:.1f}."
        for run in runs
        if (found := meet(group, run))
    ]


def markdown(group: str, rows: Iterable[Row]) -> str:
    """The table as Markdown."""
    which, _, name = metric_of(group).partition("/")
    figure = f"{which} {'reduced mIoU' if name == 'miou_reduced' else 'mIoU'}, %"
    lines = [f"| row | ours: {figure} | seeds | paper | author's runs | |", "| --- | --- | --- | --- | --- | --- |"]
    for row in rows:
        ours = "–" if row.mean is None else _plus_minus(f"{row.mean:.2f}", row.deviation)
        ours += " so far" if row.so_far and not row.ours else ""
        printed = "–" if row.paper is None else _plus_minus(str(row.paper), row.paper_deviation)
        author = ", ".join(f"{value:.2f}" for value in row.author) or "–"
        lines.append(f"| {row.name} | {ours} | {len(row.values)} | {printed} | {author} | {row.state} |")
    return "\n".join(lines) + "\n"


def runs_markdown(group: str, runs: Iterable[Run]) -> str:
    """Table 3 as the paper prints it, a line a run, ours below: which means the left-out classes move. Else empty."""
    content = paper().get(group, {})
    if "runs" not in content:
        return ""
    finished = [run for run in runs if run.status == "finished" and run.curve.iou and len(run.classes) == 19]
    ours = [[run.curve.iou[-1][index] for index in LEFT_OUT] + [run.curve.miou[-1], run.curve.miou_reduced[-1]]
            for run in finished]  # fmt: skip
    lines = ["| run | truck | bus | train | mIoU | reduced mIoU |", "| --- | --- | --- | --- | --- | --- |"]
    names = [f"paper, run {number}" for number in range(1, len(content["runs"]) + 1)]
    for values, labels in ((content["runs"], names), (ours, [f"ours, seed {run.curve.seed}" for run in finished])):
        lines += [_line(label, row) for label, row in zip(labels, values, strict=True)]
        if len(values) > 1:
            who = labels[0].partition(",")[0]
            columns = [known(column) for column in zip(*values, strict=True)]
            deviations = [statistics.pstdev(column) if column else math.nan for column in columns]
            lines.append(_line(f"{who}, standard deviation", deviations))
    return "\n".join(lines) + "\n"


def _line(label: str, values: Iterable[float]) -> str:
    return f"| {label} | " + " | ".join("absent" if value != value else f"{value:.2f}" for value in values) + " |"


def known(values: Iterable[float]) -> list[float]:
    """Those that are numbers: the mean of a run without any label, or the IoU of an absent class, is none."""
    return [value for value in values if value == value]


def _plus_minus(value: str, deviation: float | None) -> str:
    return value if deviation is None else f"{value} ± {deviation:.2f}"
