"""A table of ours next to the paper's and the author's, from run folders alone."""

from __future__ import annotations

import re
import statistics
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from regseg.reporting.published import Curve, author_runs, paper
from regseg.reporting.run_records import Summary, printable, read_evaluations, run_folders
from regseg.run_dir import status_of


class Run(NamedTuple):
    """One run folder.

    Attributes:
        row: the table's row, ``run.name``.
        status: finished, running, interrupted, failed or unknown.
        epoch: the last epoch that was trained, counted from 0; -1 where none was.
        of: how many epochs the run is to have; 0 where that is not known.
        curve: its evaluations.
        classes: names of the classes, in the order of ``curve.iou``.
        apart: why it is not comparable with the paper's table: a smoke test, or other data; else empty.
        problem: what is damaged in its records; else empty.
        folder: where it is.
    """

    row: str
    status: str
    epoch: int
    of: int
    curve: Curve
    classes: Sequence[str]
    apart: str
    problem: str
    folder: Path

    @property
    def finished(self) -> bool:
        """Whether its values count as those of a finished run."""
        return self.status == "finished" and not self.problem


class Row(NamedTuple):
    """A row of a report: percent, None where there is nothing.

    Attributes:
        name: of the row.
        ours: one value per finished run.
        so_far: one value per other run; they count only while no run is finished.
        paper: what the paper prints.
        paper_deviation: and its deviation.
        author: one value per run of the author's.
        state: what to say of runs that are not finished, not comparable or damaged.
        best: whether the best run counts, not the mean of all.
        comparable: whether its finished runs are those that the table asks for.
    """

    name: str
    ours: list[float]
    so_far: list[float]
    paper: float | None
    paper_deviation: float | None
    author: list[float]
    state: str
    best: bool
    comparable: bool

    @property
    def values(self) -> list[float]:
        return self.ours or self.so_far

    @property
    def value(self) -> float | None:
        """The row's figure by the paper's convention: the mean over runs, or the best run."""
        return average(self.values, best=self.best)

    @property
    def deviation(self) -> float | None:
        """Population standard deviation over seeds, as the paper gives it; None for a single one, and for the best."""
        return statistics.pstdev(self.values) if len(self.values) > 1 and not self.best else None


def average(values: Sequence[float], *, best: bool) -> float | None:
    """The mean of ``values``, or the highest of them; None where there are none."""
    return (max(values) if best else statistics.mean(values)) if values else None


def read_runs(folder: Path, group: str) -> list[Run]:
    """The runs in ``folder/group``, half-finished ones too: in the order of the table's rows, others by name."""
    runs = [read_run(path, group) for path in run_folders(folder / group)]
    order = {name: place for place, name in enumerate(paper().get(group, {}).get("rows", {}))}
    return sorted(runs, key=lambda run: (order.get(run.row, len(order)), run.row, run.curve.seed))


def read_run(folder: Path, group: str) -> Run:
    """One run; what is damaged in its records is its ``problem``."""
    summary = Summary(folder)
    found, problem = read_evaluations(folder)
    status = printable(_status(folder, summary))
    name, seed = re.fullmatch(r"(.*?)(?:_seed(\d{1,9}))?", folder.name, re.DOTALL).groups()
    seed = summary.get("config.seed", int, int(seed or 0))
    curve = Curve(seed, found.epochs, found.miou, found.miou_reduced, found.iou)
    row = printable(str(summary.get("config.run.name", (str, int, float), name)))
    of, apart = summary.get("config.trainer.max_epochs", int, 0), _apart(group, summary)
    if problem == "metrics.csv is missing" and status != "finished":
        problem = ""  # no epoch has ended yet
    problems = "; ".join([*summary.problems, *([problem] if problem else [])])
    return Run(row, status, found.epoch, of, curve, found.classes, apart, problems, folder)


def _status(folder: Path, summary: Summary) -> str:
    status = summary.get("status", str, "unknown")
    return status_of(folder) if status == "running" else status  # interrupted where no process trains there


def _apart(group: str, summary: Summary) -> str:
    if group not in (*paper(), "sec4_2"):
        return ""
    meant, dataset = "camvid" if group == "table8" else "cityscapes", summary.get("config.data.dataset", str, None)
    smoke = "a smoke test" if summary.get("config.trainer.smoke", bool, False) else ""
    other = f"on {printable(dataset)}" if dataset not in (None, meant) else ""
    return " ".join(text for text in (smoke, other) if text)


def metric_of(group: str) -> str:
    """Which figure a table prints; the last epoch's mIoU for a group that is none of the paper's."""
    return paper().get(group, {}).get("metric", "last/miou")


def compare(group: str, runs: Iterable[Run]) -> list[Row]:
    """The rows of a table: the paper's first, in its order, then others that were run."""
    runs, content, metric = list(runs), paper().get(group, {}), metric_of(group)
    printed, deviations = content.get("rows", {}), content.get("deviations", {})
    names = [*printed, *dict.fromkeys(run.row for run in runs if run.row not in printed)]
    rows = []
    for name in names:
        own = [run for run in runs if run.row == name]
        finished = [run for run in own if run.finished]
        ours = known(run.curve.value(metric) for run in finished)
        so_far = known(run.curve.value(metric) for run in own if not run.finished)
        author = [run.value(metric) for run in author_runs(group, name)]
        best, comparable = name in content.get("best_of_runs", ()), not any(run.apart for run in finished)
        paper_values = printed.get(name), deviations.get(name)
        rows.append(Row(name, ours, so_far, *paper_values, author, state_of(own), best, comparable))
    return rows


def state_of(runs: Iterable[Run]) -> str:
    """What to say of a row's runs that are not finished, damaged, or not the paper's; empty where there are none."""
    runs = list(runs)
    if not runs:
        return "not run"
    unfinished = [_state(run) for run in runs if not run.finished]
    apart = dict.fromkeys(f"not comparable: {run.apart}" for run in runs if run.apart)
    return ", ".join([*unfinished, *apart])


def _state(run: Run) -> str:
    if run.problem:
        return f"{printable(run.folder.name)} ({run.status}) is damaged: {run.problem}"
    return f"seed {run.curve.seed} {run.status} at epoch {run.epoch + 1} of {run.of or '?'}"


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


def known(values: Iterable[float]) -> list[float]:
    """Those that are numbers: the mean of a run without any label, or the IoU of an absent class, is none."""
    return [value for value in values if value == value]
