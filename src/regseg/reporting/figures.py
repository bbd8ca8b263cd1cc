"""The figures of a report."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from regseg.reporting import val_sizes
from regseg.reporting.plots import AUTHOR, OTHERS, OURS, PAPER, figure
from regseg.reporting.published import author_runs, paper
from regseg.reporting.tables import Row, Run, known, meet, metric_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw_rows(group: str, rows: Sequence[Row], path: Path) -> bool:
    """One dot per row: ours with its deviation or our best run, the author's runs, and what the paper prints.

    This and the others return whether there was anything to draw.
    """
    if not any(row.values or row.author or row.paper for row in rows):
        return False
    with figure(path, 7.2, 1.2 + 0.36 * len(rows)) as drawn:
        axes = drawn.add_subplot()
        places = range(len(rows))
        for place, row in zip(places, rows, strict=True):
            axes.plot(row.author, [place] * len(row.author), "o", color=AUTHOR, ms=6, mfc="none")
            if row.paper is not None:
                axes.plot(row.paper, place, "|", color=PAPER, ms=14, mew=1.5)
            if row.ours:
                axes.errorbar(row.value, place, xerr=row.deviation or 0, fmt="o", color=OURS, ms=6, capsize=3)
                axes.plot(row.ours, [place] * len(row.ours), ".", color=OURS, alpha=0.5)
            axes.plot(row.so_far, [place] * len(row.so_far), "x", color=OURS, ms=5)
        for style, color, label, shown in (
            ("o", OURS, "ours", any(row.ours for row in rows)),
            ("x", OURS, "ours, not finished", any(row.so_far for row in rows)),
            ("o", AUTHOR, "author's runs", any(row.author for row in rows)),
            ("|", PAPER, "paper", any(row.paper for row in rows)),
        ):
            if shown:
                axes.plot([], [], style, color=color, label=label, mfc="none" if color == AUTHOR else color)
        axes.set_yticks(list(places), [row.name for row in rows])
        axes.set_ylim(len(rows) - 0.5, -0.5)
        axes.set_xlabel(_label(group))
        _legend(drawn)
    return True


def draw_curves(group: str, runs: Sequence[Run], path: Path) -> bool:
    """Learning curves, ours over the author's at their epochs, a panel a row."""
    name = metric_of(group).partition("/")[2]
    rows = list(dict.fromkeys([*paper().get(group, {}).get("rows", {}), *(run.row for run in runs)]))
    if not any(run.curve.epochs for run in runs) and not any(author_runs(group, row) for row in rows):
        return False
    columns = min(3, len(rows))
    lines = math.ceil(len(rows) / columns)
    with figure(path, 3.2 * columns, 2.4 * lines + 0.5) as drawn:
        panels = drawn.subplots(lines, columns, squeeze=False, sharex=True, sharey=True).ravel()
        levels = []
        for panel, row in zip(panels, rows, strict=False):
            for curve in author_runs(group, row):
                panel.plot(curve.epochs, getattr(curve, name), color=AUTHOR, lw=2.5, alpha=0.45)
                levels += known(getattr(curve, name)[1:])
            for run in (run for run in runs if run.row == row):
                values = getattr(run.curve, name)
                panel.plot(run.curve.epochs, values, "." if len(values) == 1 else "-", color=OURS, lw=1.1)
                if not run.finished and values:
                    panel.plot(run.curve.epochs[-1], values[-1], "x", color=OURS, ms=5)
                levels += known(values[1:])
            panel.set_title(row, fontsize=9)
        for panel in panels[len(rows) :]:
            panel.set_visible(False)
        for panel in panels[: len(rows)][-columns:]:  # those above a place without a panel, too
            panel.tick_params(labelbottom=True)
        if levels:  # the first evaluation, of a network that has hardly begun, would take half of the height
            margin = 0.06 * (max(levels) - min(levels)) or 1.0
            panels[0].set_ylim(min(levels) - margin, max(levels) + margin)
        if runs:
            panels[0].plot([], [], color=OURS, label="ours")
        if any(not run.finished for run in runs):
            panels[0].plot([], [], "x", color=OURS, label="ours, not finished")
        if any(author_runs(group, row) for row in rows):
            panels[0].plot([], [], color=AUTHOR, lw=2.5, alpha=0.45, label="author's runs")
        drawn.supxlabel("epoch", fontsize=10)
        drawn.supylabel("reduced mIoU, %" if name == "miou_reduced" else "mIoU, %", fontsize=10)
        _legend(drawn)
    return True


def draw_classes(group: str, runs: Sequence[Run], path: Path) -> bool:
    """IoU of each class against the author's at the same epoch, else at the last one against the mean of all rows."""
    runs = [run for run in runs if run.curve.iou and run.classes]
    if not runs:
        return False
    classes = runs[0].classes
    runs = [run for run in runs if run.classes == classes]  # those of another dataset cannot be compared
    rows = {name: [run for run in runs if run.row == name] for name in dict.fromkeys(run.row for run in runs)}
    meetings = {name: [meet(group, run) for run in own] for name, own in rows.items()}
    if against_author := all(found for row in meetings.values() for found in row):
        values = [_means([found.iou_difference for found in row]) for row in meetings.values()]
    else:
        means = [_means([run.curve.iou[-1] for run in own]) for own in rows.values()]
        middle = _means(means)
        values = [[own - other for own, other in zip(row, middle, strict=True)] for row in means]
    with figure(path, 1.8 + 0.48 * len(classes), 1.6 + 0.3 * len(rows)) as drawn:
        axes = drawn.add_subplot()
        limit = max((abs(value) for row in values for value in row if value == value), default=1.0) or 1.0
        image = axes.imshow(values, cmap="PuOr", vmin=-limit, vmax=limit, aspect="auto")
        for place, row in enumerate(values):
            for column, value in enumerate(row):
                color = "white" if abs(value) > 0.6 * limit else "black"
                text = "–" if value != value else f"{value:+.1f}" if abs(value) >= 0.05 else "0.0"
                axes.text(column, place, text, ha="center", va="center", fontsize=7, color=color)
        axes.set_xticks(range(len(classes)), classes, rotation=45, ha="right", fontsize=8)
        axes.set_yticks(range(len(rows)), list(rows), fontsize=8)
        axes.grid(visible=False)
        against = "the author's at the same epoch" if against_author else "the mean of all rows"
        axes.set_title(f"IoU minus {against}, points", fontsize=10)
        drawn.colorbar(image, pad=0.02)
    return True


def draw_trade_off(key: str, label: str, path: Path, ours: float | None) -> bool:
    """Fig. 1 or 7: test mIoU against ``key`` of Table 9's methods; ``ours`` is the mIoU of your runs."""
    models = {model: values for model, values in paper()["table9"]["models"].items() if key in values}
    with figure(path, 6.4, 4.4) as drawn:
        axes = drawn.add_subplot()
        for model, values in models.items():
            own = model == "RegSeg"
            # Beneath the dot where another one's name would be met above it.
            crowded = any(
                0 <= other["miou"] - values["miou"] < 0.3 and 0.5 < other[key] / values[key] < 2
                for name, other in models.items()
                if name != model
            )
            axes.plot(values[key], values["miou"], "o", color=OURS if own else OTHERS, ms=8 if own else 5)
            axes.annotate(
                model, (values[key], values["miou"]), xytext=(5, -11 if crowded else 4),
                textcoords="offset points", fontsize=8,
                color=OURS if own else "#444444", weight="bold" if own else "normal",
            )  # fmt: skip
        if ours is not None:
            axes.plot(models["RegSeg"][key], ours, "*", color=OURS, ms=13, label="RegSeg, your runs (validation set)")
            _legend(drawn)
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter("{x:g}")
        axes.set_xlabel(label)
        axes.set_ylabel("Cityscapes test mIoU, %")
        axes.margins(x=0.2, y=0.08)
    return True


def draw_val_sizes(runs: Sequence[Run], path: Path) -> bool:
    """Fig. 6 from the ``val_sizes.json`` of those runs that have one."""
    curves = {run.folder.name: results for run in runs if (results := val_sizes.read(run.folder)[0])}
    if curves:
        val_sizes.draw(curves, path)
    return bool(curves)


def _legend(drawn: Figure) -> None:
    if any(axes.get_legend_handles_labels()[0] for axes in drawn.axes):
        drawn.legend(loc="outside upper center", ncols=4)


def _means(rows: Sequence[Sequence[float]]) -> list[float]:
    def mean(values: Sequence[float]) -> float:
        return statistics.mean(present) if (present := known(values)) else math.nan

    return [mean(values) for values in zip(*rows, strict=True)]


def _label(group: str) -> str:
    which, _, name = metric_of(group).partition("/")
    return f"{'reduced mIoU' if name == 'miou_reduced' else 'mIoU'} of the {which} evaluation, %"
