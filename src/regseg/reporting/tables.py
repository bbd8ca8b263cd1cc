"""The rows of a table: our runs, read from their folders, next to the paper's values and the author's runs."""

from __future__ import annotations

import re
import statistics
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from regseg.reporting.published import Curve, author_runs, epochs_of, paper
from regseg.reporting.run_records import Summary, printable, read_evaluations, run_folders
from regseg.run_dir import status_of
from regseg.system.records import section


class Run(NamedTuple):
    """One run folder.

    Attributes:
        row: The table's row, ``run.name``.
        status: finished, running, interrupted, failed or unknown.
        epoch: The last trained epoch, counted from 0; -1 if there is none.
        max_epochs: The planned number of epochs; 0 if unknown.
        curve: The evaluations.
        classes: Class names, in the order of ``curve.iou``.
        mismatch: Why the run is not comparable with its table (a smoke test, another dataset or length), or empty.
        problem: What is damaged in the run's records, or empty.
        folder: The run's folder.
    """

    row: str
    status: str
    epoch: int
    max_epochs: int
    curve: Curve
    classes: Sequence[str]
    mismatch: str
    problem: str
    folder: Path

    @property
    def finished(self) -> bool:
        """Whether the run counts as finished."""
        return self.status == "finished" and not self.problem


class Row(NamedTuple):
    """A row of a report; values in percent, None if there is none.

    Attributes:
        name: The row's name.
        ours: One value per finished run that counts, see `counted`.
        unfinished: One value per other run that counts; used only while no run is finished.
        paper: The value as printed.
        paper_deviation: The standard deviation as printed.
        author: One value per run of the author.
        state: A remark on runs that are unfinished, not comparable or damaged.
        best: Whether the row is the best run instead of the mean of all runs.
        comparable: Whether the runs of ``values`` are comparable with the table.
    """

    name: str
    ours: list[float]
    unfinished: list[float]
    paper: str | None
    paper_deviation: str | None
    author: list[float]
    state: str
    best: bool
    comparable: bool

    @property
    def values(self) -> list[float]:
        """The values of the finished runs, or of the others while none is finished."""
        return self.ours or self.unfinished

    @property
    def value(self) -> float | None:
        """The row's value: the mean over its runs, or the best of them."""
        return average(self.values, best=self.best)

    @property
    def deviation(self) -> float | None:
        """Population standard deviation over seeds, as in the paper; None for a single run or the best of several."""
        return statistics.pstdev(self.values) if len(self.values) > 1 and not self.best else None


def average(values: Sequence[float], *, best: bool) -> float | None:
    """Return the mean of ``values``, or the highest of them; None without values."""
    return (max(values) if best else statistics.mean(values)) if values else None


def read_runs(folder: Path, group: str) -> list[Run]:
    """Read all runs in ``folder/group``, sorted by the order of the table's rows, then by name and seed."""
    runs = [read_run(path, group) for path in run_folders(folder / group)]
    order = {name: place for place, name in enumerate(paper().get(group, {}).get("rows", {}))}
    return sorted(runs, key=lambda run: (order.get(run.row, len(order)), run.row, run.curve.seed))


def read_run(folder: Path, group: str) -> Run:
    """Read the run in ``folder``; damage in its records becomes its ``problem``."""
    summary = Summary(folder)
    found, problem = read_evaluations(folder)
    status = printable(_status(folder, summary))
    match = re.fullmatch(r"(.*?)(?:_seed(\d{1,9}))?", folder.name, re.DOTALL)
    assert match is not None  # any name matches
    name, number = match.groups()
    seed = summary.get("config.seed", int, int(number or 0))
    curve = Curve(seed, found.epochs, found.miou, found.miou_reduced, found.iou)
    row = printable(str(summary.get("config.run.name", (str, int, float), name)))
    max_epochs = summary.get("config.trainer.max_epochs", int, 0)
    trained = found.epoch + 1 if status == "finished" and not problem else 0
    mismatch = _mismatch(summary, group, row, (max_epochs, trained))
    if problem == "metrics.csv is missing" and status != "finished":
        problem = ""  # no epoch has ended yet
    problems = "; ".join([*summary.problems, *([problem] if problem else [])])
    return Run(row, status, found.epoch, max_epochs, curve, found.classes, mismatch, problems, folder)


def _status(folder: Path, summary: Summary) -> str:
    status = summary.get("status", str, "unknown")
    return status_of(folder) if status == "running" else status  # a killed run still says "running"


def _mismatch(summary: Summary, group: str, row: str, lengths: Iterable[int]) -> str:
    """Return why a run is not comparable with its group; ``lengths`` are the planned and the trained epochs, or 0."""
    smoke = summary.get("config.trainer.smoke", bool, False)
    dataset = section(section(summary.content, "config"), "data").get("dataset")
    expected = paper().get(group, {}).get("data", {}).get("dataset", dataset)
    elsewhere = f"on {printable(str(dataset))}" if dataset and dataset != expected else ""
    if smoke:
        return f"a smoke test {elsewhere}".rstrip()
    return elsewhere or " and ".join(_other_settings(summary, group, row, lengths))


def _other_settings(summary: Summary, group: str, row: str, lengths: Iterable[int]) -> Iterator[str]:
    """Yield the settings that differ from those of the published runs: length, splits, size and share of the images."""
    if group not in paper():
        return
    expected = epochs_of(group, row)
    if other := next((length for length in lengths if expected and length not in (0, expected)), None):
        yield f"{other} epoch{'s' * (other != 1)} instead of {expected}"
    config = section(summary.content, "config")
    data, trainer = section(config, "data"), section(config, "trainer")
    for name, value in paper()[group].get("data", {}).items():
        if name in data and data[name] != value:
            yield f"{name}={_shown(data[name])} instead of {value}"
    for name in ("limit_train_batches", "limit_val_batches"):
        if (limit := trainer.get(name)) is not None and repr(limit) != "1.0":  # 1 is a single batch, 1.0 means all
            yield f"{name}={_shown(limit)}"


def _shown(value: object) -> str:
    return "null" if value is None else printable(str(value))


def metric_of(group: str) -> str:
    """Return the metric that a table prints, one of `METRICS`; the last epoch's mIoU for other groups of runs."""
    return paper().get(group, {}).get("metric", "last/miou")


def compare(group: str, runs: Iterable[Run], metric: str | None = None) -> list[Row]:
    """Return the rows of a table: the paper's in their order, then other rows that were run.

    Args:
        group: The table's name.
        runs: Our runs.
        metric: One of `METRICS`; None means the one that the table prints.
    """
    runs, content, metric = list(runs), paper().get(group, {}), metric or metric_of(group)
    printed, deviations = content.get("rows", {}), content.get("deviations", {})
    names = [*printed, *dict.fromkeys(run.row for run in runs if run.row not in printed)]
    rows = []
    for name in names:
        own = [run for run in runs if run.row == name]
        finished = [run for run in counted(own) if run.finished]
        ours = known(run.curve.value(metric) for run in finished)
        unfinished = known(run.curve.value(metric) for run in counted(own) if not run.finished)
        author = [run.value(metric) for run in author_runs(group, name)]
        best = name in content.get("best_of_runs", ())
        comparable = not any(run.mismatch for run in finished or counted(own))
        value, deviation = (None if of.get(name) is None else str(of[name]) for of in (printed, deviations))
        rows.append(Row(name, ours, unfinished, value, deviation, author, state_of(own), best, comparable))
    return rows


def counted(runs: Iterable[Run]) -> list[Run]:
    """Return the runs that count in their rows: the comparable ones, or all while a row has no comparable score."""
    runs = list(runs)
    scored = {run.row for run in runs if run.curve.epochs and not run.mismatch and not run.problem}
    return [run for run in runs if not run.mismatch or run.row not in scored]


def state_of(runs: Iterable[Run]) -> str:
    """Return a remark on a row's runs that are unfinished, damaged or not comparable; empty if all are fine."""
    runs = list(runs)
    if not runs:
        return "not run"
    remarks = [_state(run) for run in runs if not run.finished]
    reasons: dict[str, list[str]] = {}
    for run in runs:
        if run.mismatch:
            reasons.setdefault(run.mismatch, []).append(str(run.curve.seed))
    counts = "not comparable" if len(counted(runs)) == len(runs) else "not counted"
    alike = len(reasons) == 1 and all(run.mismatch for run in runs)
    for reason, seeds in reasons.items():
        whose = "" if alike else f"seed {' and '.join(seeds)} "
        remarks.append(f"{whose}{counts}: {reason}")
    return "; ".join(remarks)


def _state(run: Run) -> str:
    if run.problem:
        return f"{printable(run.folder.name)} ({run.status}) is damaged: {run.problem}"
    return f"seed {run.curve.seed} {run.status} at epoch {run.epoch + 1} of {run.max_epochs or '?'}"


class CommonEpoch(NamedTuple):
    """The latest epoch at which both our run and the author's runs of its row were evaluated; values in percent."""

    epoch: int
    ours: float
    author: float
    iou_difference: list[float]  # per class, ours minus the author's


def common_epoch(group: str, run: Run) -> CommonEpoch | None:
    """Compare ``run`` with the author's runs of its row at the latest common epoch.

    Args:
        group: The table's name.
        run: A run of ours.

    Returns:
        Our values and the mean of the author's; None without a common epoch or if the run is not comparable.
    """
    name, curve = metric_of(group).partition("/")[2], run.curve
    if run.mismatch:
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
    return CommonEpoch(both[-1], getattr(curve, name)[place], mean, differences)


def known(values: Iterable[float]) -> list[float]:
    """Return the values that are not NaN, as the IoU of an absent class is."""
    return [value for value in values if value == value]
