"""The tables of a report as Markdown."""

from __future__ import annotations

import math
import re
import statistics
from collections.abc import Iterable
from typing import Any

from regseg.reporting.published import LEFT_OUT, paper
from regseg.reporting.run_records import printable
from regseg.reporting.tables import Row, Run, known, meet, metric_of

_MARKUP = re.compile(r"[\\`*\[\]<>&|~#]|(?<!\w)_|_(?!\w)|^[-+]|(?<=^\d)[.)]")


def escaped(text: str) -> str:
    """``text`` so that Markdown shows it as it is, in a cell of a table too."""
    return _MARKUP.sub(lambda found: "\\" + found.group(), printable(text))


def table(headings: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A Markdown table of cells that are escaped already."""
    headings = list(headings)
    lines = [headings, ["---"] * len(headings), *rows]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def name_of_metric(group: str) -> str:
    """What a group's figures are, such as ``best reduced mIoU, %``."""
    which, _, name = metric_of(group).partition("/")
    return f"{which} {'reduced mIoU' if name == 'miou_reduced' else 'mIoU'}, %"


def markdown(group: str, rows: Iterable[Row]) -> str:
    """The table as Markdown; a line below it names the rows of which the best run counts."""
    rows = list(rows)
    lines = [
        [escaped(row.name), _ours(row), str(len(row.values)), _printed(row), _list(row.author), escaped(row.state)]
        for row in rows
    ]
    text = table(["row", f"ours: {name_of_metric(group)}", "seeds", "paper", "author's runs", ""], lines)
    if best := [escaped(row.name) for row in rows if row.best]:
        text += f"\nOf {', '.join(best)} the best run counts, as in the paper; other rows are means over their runs.\n"
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
    """Table 3 as the paper prints it, one line per run, ours below: how far the classes that Sec. 4.3 excludes move.

    Empty for other groups.
    """
    content = paper().get(group, {})
    if "runs" not in content:
        return ""
    finished = [run for run in runs if run.finished and run.curve.iou and len(run.classes) == 19]
    ours = [[run.curve.iou[-1][index] for index in LEFT_OUT] + [run.curve.miou[-1], run.curve.miou_reduced[-1]]
            for run in finished]  # fmt: skip
    names = [f"paper, run {number}" for number in range(1, len(content["runs"]) + 1)]
    lines = []
    for values, labels in ((content["runs"], names), (ours, [f"ours, seed {run.curve.seed}" for run in finished])):
        lines += [_line(label, row) for label, row in zip(labels, values, strict=True)]
        if len(values) > 1:
            columns = [known(column) for column in zip(*values, strict=True)]
            deviations = [statistics.pstdev(column) if column else math.nan for column in columns]
            lines.append(_line(f"{labels[0].partition(',')[0]}, standard deviation", deviations))
    return table(["run", "truck", "bus", "train", "mIoU", "reduced mIoU"], lines)


def _line(label: str, values: Iterable[float]) -> list[str]:
    return [label, *("absent" if value != value else f"{value:.2f}" for value in values)]


def classes_markdown(runs: Iterable[Run]) -> str:
    """IoU of every class at each run's last evaluation, one column per run; empty where nothing was evaluated."""
    runs = [run for run in runs if run.curve.iou and run.classes]
    classes = list(dict.fromkeys(name for run in runs for name in run.classes))
    if not classes:
        return ""
    columns = [dict(zip(run.classes, run.curve.iou[-1], strict=True)) for run in runs]
    headings = [f"{escaped(run.row)}, seed {run.curve.seed}" for run in runs]
    lines = [_line(escaped(name), [column.get(name, math.nan) for column in columns]) for name in classes]
    return table(["class", *headings], lines)


def at_same_epochs(group: str, runs: Iterable[Run]) -> list[str]:
    """One sentence per run: what the author had at the latest epoch that both evaluated."""
    return [
        f"{escaped(run.row)}, seed {run.curve.seed}: at epoch {found.epoch} the author had {found.author:.1f}; "
        f"you have {found.ours:.1f}."
        for run in runs
        if (found := meet(group, run))
    ]


def with_deviation(value: float, deviation: float | None) -> str:
    """A figure of ours with two digits, and its deviation if there is one."""
    return f"{value:.2f}" if deviation is None else f"{value:.2f} ± {deviation:.2f}"


def printed(value: Any, deviation: float | None = None) -> str:
    """A figure as the paper prints it; a dash where it prints none."""
    text = "–" if value is None else str(value)
    return text if deviation is None else f"{text} ± {deviation}"
