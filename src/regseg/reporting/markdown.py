"""Formats the tables of a report as Markdown."""

from __future__ import annotations

import math
import re
import statistics
from collections.abc import Iterable
from typing import Any

from regseg.reporting.published import paper
from regseg.reporting.run_records import printable
from regseg.reporting.tables import Row, Run, common_epoch, known, metric_of

_RUNS = 10  # columns of a table
_MARKUP = re.compile(r"[\\`*\[\]<>&|~#]|(?<!\w)_|_(?!\w)|^[-+]|(?<=^\d)[.)]")

_NUMBER = re.compile(r"[-+]?\d+(\.\d+)?( ± \d+(\.\d+)?)?")


def escaped(text: str) -> str:
    """Escape ``text`` so that Markdown shows it literally, also in a cell of a table."""
    return _MARKUP.sub(lambda found: "\\" + found.group(), printable(text))


def table(headings: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Return a Markdown table, with columns of numbers aligned to the right; the cells must be escaped already."""
    headings, lines = list(headings), [list(row) for row in rows]
    numeric = [_is_numeric(line[column] for line in lines) for column in range(len(headings))]
    lines = [headings, ["---:" if right else "---" for right in numeric], *lines]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def _is_numeric(cells: Iterable[str]) -> bool:
    shown = [cell for cell in cells if cell]
    return bool(shown) and all(cell in ("–", "absent") or _NUMBER.fullmatch(cell) for cell in shown)


def name_of_metric(group: str) -> str:
    """Return the name of the metric that a group's table shows, such as ``best reduced mIoU, %``."""
    which, _, name = metric_of(group).partition("/")
    return f"{which} {'reduced mIoU' if name == 'miou_reduced' else 'mIoU'}, %"


def markdown(group: str, rows: Iterable[Row]) -> str:
    """Return the table as Markdown, with a line below that names the rows whose best run counts."""
    rows = list(rows)
    lines = [
        [escaped(row.name), _ours(row), str(len(row.values)), _printed(row), _list(row.author), escaped(row.state)]
        for row in rows
    ]
    text = table(["row", f"ours: {name_of_metric(group)}", "seeds", "paper", "author's runs", "state"], lines)
    if any(row.deviation is not None or row.paper_deviation is not None for row in rows):
        text += "\n± is the population standard deviation over the runs of a row, as in the paper.\n"
    if best := [escaped(row.name) for row in rows if row.best]:
        text += f"\nFor {', '.join(best)}, the value is that of the best run, as in the paper; "
        text += "for other rows, it is the mean over their runs.\n"
    return text


def _ours(row: Row) -> str:
    if row.value is None:
        return "–"
    text = with_deviation(row.value, row.deviation)
    text += f" (best of {_list(row.values)})" if row.best and len(row.values) > 1 else ""
    return text if row.ours else text + " so far"


def _printed(row: Row) -> str:
    return printed(row.paper, row.paper_deviation) + (" (best run)" if row.best else "")


def _list(values: Iterable[float]) -> str:
    return ", ".join(f"{value:.2f}" for value in values) or "–"


def runs_markdown(group: str, runs: Iterable[Run]) -> str:
    """Return a table that the paper prints run by run (Table 3), with our runs below; empty for other tables."""
    content = paper().get(group, {})
    if "runs" not in content:
        return ""
    finished = [run for run in runs if run.finished and run.curve.iou]
    figures = {run.folder: [_last(run, name) for name in content["run_columns"].values()] for run in finished}
    finished = [run for run in finished if None not in figures[run.folder]]  # those with the table's classes
    ours = [figures[run.folder] for run in finished]
    names = [f"paper, run {number}" for number in range(1, len(content["runs"]) + 1)]
    lines = []
    for values, labels in ((content["runs"], names), (ours, [f"ours, seed {run.curve.seed}" for run in finished])):
        lines += [_line(label, row) for label, row in zip(labels, values, strict=True)]
        if len(values) > 1:
            columns = [known(column) for column in zip(*values, strict=True)]
            deviations = [statistics.pstdev(column) if column else math.nan for column in columns]
            lines.append(_line(f"{labels[0].partition(',')[0]}, standard deviation", deviations))
    return table(["run", *content["run_columns"]], lines)


def _last(run: Run, name: str) -> float | None:
    """Return a run's last value in a column of ``metrics.csv``; None for a class that it does not have."""
    if name.startswith("val/iou/"):
        iou = dict(zip(run.classes, run.curve.iou[-1], strict=True))
        return iou.get(name.removeprefix("val/iou/"))
    return getattr(run.curve, name.removeprefix("val/"))[-1]


def _line(label: str, values: Iterable[float]) -> list[str]:
    return [label, *("absent" if value != value else f"{value:.2f}" for value in values)]


def classes_markdown(runs: Iterable[Run]) -> str:
    """Return the IoU of every class at each run's last evaluation, one column per run; empty without evaluations.

    More than 10 runs become several tables, which fit on paper.
    """
    runs = [run for run in runs if run.curve.iou and run.classes]
    classes = list(dict.fromkeys(name for run in runs for name in run.classes))
    if not classes:
        return ""
    tables = []
    for shown in (runs[start : start + _RUNS] for start in range(0, len(runs), _RUNS)):
        columns = [dict(zip(run.classes, run.curve.iou[-1], strict=True)) for run in shown]
        headings = [f"{escaped(run.row)}, seed {run.curve.seed}" for run in shown]
        lines = [_line(escaped(name), [column.get(name, math.nan) for column in columns]) for name in classes]
        tables.append(table(["class", *headings], lines))
    return "\n".join(tables)


def at_same_epochs(group: str, runs: Iterable[Run]) -> list[str]:
    """Return one sentence per run that compares it with the author's runs at the latest common epoch."""
    metric = "reduced mIoU" if metric_of(group).endswith("_reduced") else "mIoU"
    return [
        f"{escaped(run.row)}, seed {run.curve.seed}: at epoch {found.epoch}, the mean {metric} of the author's runs is "
        f"{found.author:.1f} %; yours is {found.ours:.1f} %."
        for run in runs
        if (found := common_epoch(group, run))
    ]


def with_deviation(value: float, deviation: float | None) -> str:
    """Format one of our values with two decimals, and its standard deviation if there is one."""
    return f"{value:.2f}" if deviation is None else f"{value:.2f} ± {deviation:.2f}"


def printed(value: Any, deviation: float | None = None) -> str:
    """Format a value as the paper prints it; a dash if it prints none."""
    text = "–" if value is None else str(value)
    return text if deviation is None else f"{text} ± {deviation}"
