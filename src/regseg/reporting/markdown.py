"""Formats the tables of a report as Markdown."""

from __future__ import annotations

import math
import re
import statistics
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from regseg.reporting.published import METRICS, paper
from regseg.reporting.run_records import printable
from regseg.reporting.tables import Row, Run, average, common_epoch, compare, known, metric_of

_COLUMNS = 10  # besides the first one
_MARKUP = re.compile(r"[\\`*\[\]<>&|~#]|(?<!\w)_|_(?!\w)|^[-+]|(?<=^\d)[.)](?!\d)")
_NUMBER = re.compile(r"[-+]?\d+(\.\d+)?( ± \d+(\.\d+)?)?")


def escaped(text: str) -> str:
    """Escape ``text`` so that Markdown shows it literally, also in a cell of a table."""
    return _MARKUP.sub(lambda found: "\\" + found.group(), printable(text))


class Grid(NamedTuple):
    """A table of text, which is escaped only where it becomes Markdown or LaTeX.

    Attributes:
        headings: One per column.
        rows: The cells of every row; – where there is no value.
        ours: The numbers of the rows to emphasize: our runs among other methods.
    """

    headings: Sequence[str]
    rows: Sequence[Sequence[str]]
    ours: Collection[int] = ()

    @property
    def numeric(self) -> list[bool]:
        """Whether each column contains only numbers."""
        return [_is_numeric(row[column] for row in self.rows) for column in range(len(self.headings))]

    def parts(self, widths: Sequence[float] | None = None, widest: float = _COLUMNS) -> Iterator[Grid]:
        """Yield the table; if it is wide, several tables, each with the first column.

        Args:
            widths: Of the columns; None counts them.
            widest: The greatest sum of widths in a table, without the first column.
        """
        widths, columns = widths or [1] * len(self.headings), [0]
        for column in range(1, len(self.headings)):
            if len(columns) > 1 and sum(widths[other] for other in columns[1:]) + widths[column] > widest:
                yield self._with(columns)
                columns = [0]
            columns.append(column)
        yield self._with(columns)

    def _with(self, columns: Sequence[int]) -> Grid:
        headings, *rows = ([row[column] for column in columns] for row in (self.headings, *self.rows))
        return Grid(headings, rows, self.ours)


def _is_numeric(cells: Iterable[str]) -> bool:
    shown = [cell for cell in cells if cell]
    return bool(shown) and all(cell in ("–", "absent") or _NUMBER.fullmatch(cell) for cell in shown)


def table(grid: Grid) -> str:
    """Return a table as Markdown, with columns of numbers aligned to the right; as several tables if it is wide."""
    return "\n".join(_table(part) for part in grid.parts())


def _table(grid: Grid) -> str:
    rows = [[cell if _NUMBER.fullmatch(cell) else escaped(cell) for cell in row] for row in grid.rows]
    for number in grid.ours:
        rows[number][0] = f"**{rows[number][0]}**"
    lines = [[escaped(text) for text in grid.headings], ["---:" if right else "---" for right in grid.numeric], *rows]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def name_of_metric(group: str) -> str:
    """Return the name of the metric that a group's table shows, such as ``best reduced mIoU, %``."""
    which, _, name = metric_of(group).partition("/")
    return f"{which} {'reduced mIoU' if name == 'miou_reduced' else 'mIoU'}, %"


def markdown(group: str, rows: Iterable[Row]) -> str:
    """Return the table as Markdown, with a line below that names the rows whose best run counts."""
    rows = list(rows)
    columns = {
        "row": [row.name for row in rows],
        f"ours: {name_of_metric(group)}": [_ours(row) for row in rows],
        "seeds": [str(len(row.values)) for row in rows],
        "paper": [_printed(row) for row in rows],
        "author's runs": [_list(row.author) for row in rows],
        "state": [row.state for row in rows],
    }
    if group not in paper():  # a custom group: neither the paper nor the author has such runs
        columns = {name: cells for name, cells in columns.items() if name not in ("paper", "author's runs")}
    text = table(Grid(list(columns), list(zip(*columns.values(), strict=True))))
    if any(row.deviation is not None or row.paper_deviation is not None for row in rows):
        text += "\n± is the population standard deviation over the runs of a row, as in the paper.\n"
    if best := [escaped(row.name) for row in rows if row.best]:
        text += f"\nFor {', '.join(best)}, the value is that of the best run, as in the paper; "
        text += "for other rows, it is the mean over their runs.\n"
    for row in rows:
        if row.best and row.author and len(row.values) > 1 and len(row.values) != len(row.author):
            text += f"\nFor {escaped(row.name)}, ours is the best of {len(row.values)} runs, but the paper's the "
            text += f"best of {len(row.author)}; the best of more runs tends to be higher.\n"
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


def metrics_grid(group: str, runs: Iterable[Run]) -> Grid:
    """Return a table with mIoU and reduced mIoU of every row, best and last, ours and the author's.

    A dataset that excludes no class has no reduced mIoU; a custom group has no runs of the author.
    """
    runs = list(runs)
    tables = {metric: compare(group, runs, metric) for metric in METRICS}
    reduced = any(tables[f"{which}/miou"] != tables[f"{which}/miou_reduced"] for which in ("best", "last"))
    columns = {"row": [row.name for row in tables[METRICS[0]]]}
    for whose in ("ours", "author"):
        for metric in METRICS:
            which, _, name = metric.partition("/")
            cells = [_mean(row.values if whose == "ours" else row.author, row) for row in tables[metric]]
            if {*cells} != {"–"} and (reduced or name == "miou"):
                columns[f"{whose}: {which} {'reduced' if name == 'miou_reduced' else 'mIoU'}"] = cells
    return Grid(list(columns), list(zip(*columns.values(), strict=True)) if len(columns) > 1 else [])


def _mean(values: Sequence[float], row: Row) -> str:
    """Format the mean of ``values`` with their standard deviation, or the best of them in a row of best runs."""
    value = average(values, best=row.best)
    deviation = statistics.pstdev(values) if len(values) > 1 and not row.best else None
    return "–" if value is None else with_deviation(value, deviation)


def runs_grid(group: str, runs: Iterable[Run]) -> Grid:
    """Return a table that the paper prints run by run (Table 3), with our runs below; without rows for other tables."""
    content = paper().get(group, {})
    if "runs" not in content:
        return Grid([], [])
    finished = [run for run in runs if run.finished and run.curve.iou]
    ours = [(f"seed {_seed(run)}", [_last(run, name) for name in content["run_columns"].values()]) for run in finished]
    ours = [(label, values) for label, values in ours if None not in values]  # those with the table's classes
    printed = [(f"run {number}", values) for number, values in enumerate(content["runs"], start=1)]
    lines = []
    for whose, rows in (("paper", printed), ("ours", ours)):
        lines += [_line(f"{whose}, {label}", values) for label, values in rows]
        if len(rows) > 1:
            columns = [known(map(float, column)) for column in zip(*(values for _, values in rows), strict=True)]
            deviations = [statistics.pstdev(column) if len(column) > 1 else "–" for column in columns]
            lines.append(_line(f"{whose}, standard deviation", deviations))
    return Grid(["run", *content["run_columns"]], lines)


def _seed(run: Run) -> str:
    return f"{run.curve.seed} (not comparable)" if run.mismatch else str(run.curve.seed)


def _last(run: Run, name: str) -> float | None:
    """Return a run's last value in a column of ``metrics.csv``; None for a class that it does not have."""
    if name.startswith("val/iou/"):
        iou = dict(zip(run.classes, run.curve.iou[-1], strict=True))
        return iou.get(name.removeprefix("val/iou/"))
    return getattr(run.curve, name.removeprefix("val/"))[-1]


def _line(label: str, values: Iterable[Any]) -> list[str]:
    """Return the cells of a row: text as printed, numbers with two decimals."""
    texts = (value if isinstance(value, str) else f"{value:.2f}" for value in values)
    return [label, *("absent" if text == "nan" else text for text in texts)]


def classes_grid(runs: Iterable[Run]) -> Grid:
    """Return the IoU of every class at each run's last evaluation, a column per run; without rows if there are none."""
    runs = [run for run in runs if run.curve.iou and run.classes]
    columns = [dict(zip(run.classes, run.curve.iou[-1], strict=True)) for run in runs]
    classes = dict.fromkeys(name for column in columns for name in column)
    lines = [_line(name, [column.get(name, math.nan) for column in columns]) for name in classes]
    return Grid(["class", *(f"{run.row}, seed {_seed(run)}" for run in runs)], lines)


def at_same_epochs(group: str, runs: Iterable[Run]) -> list[str]:
    """Return one sentence per run that compares it with the author's runs at the latest common epoch."""
    metric = "reduced mIoU" if metric_of(group).endswith("_reduced") else "mIoU"
    return [
        f"{escaped(run.row)}, seed {run.curve.seed}: after epoch {found.epoch + 1}, the mean {metric} of the author's "
        f"runs is {found.author:.1f} %; yours is {found.ours:.1f} %."
        for run in runs
        if (found := common_epoch(group, run))
    ]


def with_deviation(value: float, deviation: float | None) -> str:
    """Format one of our values with two decimals, and its standard deviation if there is one."""
    return f"{value:.2f}" if deviation is None else f"{value:.2f} ± {deviation:.2f}"


def printed(value: str | int | None, deviation: str | int | None = None) -> str:
    """Format a value as the paper prints it; a dash if it prints none."""
    text = "–" if value is None else str(value)
    return text if deviation is None else f"{text} ± {deviation}"
