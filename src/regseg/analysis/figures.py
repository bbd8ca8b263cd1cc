"""The figures of a report."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Sequence
from pathlib import Path

from regseg.analysis import val_sizes
from regseg.analysis.plots import AUTHOR, OTHERS, OURS, PAPER, figure
from regseg.analysis.published import author_runs, paper
from regseg.analysis.tables import Row, Run, metric_of


def draw_rows(group: str, rows: Sequence[Row], path: Path) -> None:
    """A dot a row: ours with its deviation, the author's runs, and what the paper prints."""
    with figure(path, 7.2, 1.2 + 0.36 * len(rows)) as drawn:
        axes = drawn.add_subplot()
        places = range(len(rows))
        for place, row in zip(places, rows, strict=True):
            axes.plot(row.author, [place] * len(row.author), "o", color=AUTHOR, ms=6, mfc="none")
            if row.paper is not None:
                axes.plot(row.paper, place, "|", color=PAPER, ms=14, mew=1.5)
            if row.mean is not None:
                axes.errorbar(row.mean, place, xerr=row.deviation or 0, fmt="o", color=OURS, ms=6, capsize=3)
                axes.plot(row.ours, [place] * len(row.ours), ".", color=OURS, alpha=0.5)
        for style, color, label in (("o", OURS, "ours"), ("o", AUTHOR, "author's runs"), ("|", PAPER, "paper")):
            if label == "ours" or any(row.author for row in rows) or any(row.paper for row in rows):
                axes.plot([], [], style, color=color, label=label, mfc="none" if color == AUTHOR else color)
        axes.set_yticks(list(places), [row.name for row in rows])
        axes.set_ylim(len(rows) - 0.5, -0.5)
        axes.set_xlabel(_label(group))
        drawn.legend(loc="outside upper center", ncols=3)


def draw_curves(group: str, runs: Sequence[Run], path: Path) -> None:
    """Learning curves, ours over the author's at their epochs, a panel a row."""
    name = metric_of(group).partition("/")[2]
    rows = list(dict.fromkeys([*paper().get(group, {}).get("rows", {}), *(run.row for run in runs)]))
    columns = min(3, len(rows))
    lines = math.ceil(len(rows) / columns)
    with figure(path, 3.2 * columns, 2.4 * lines + 0.5) as drawn:
        panels = drawn.subplots(lines, columns, squeeze=False, sharex=True, sharey=True).ravel()
        for panel, row in zip(panels, rows, strict=False):
            for curve in author_runs(group, row):
                panel.plot(curve.epochs, getattr(curve, name), color=AUTHOR, lw=1)
            for run in (run for run in runs if run.row == row):
                panel.plot(run.curve.epochs, getattr(run.curve, name), ".-", color=OURS, lw=1.2)
            panel.set_title(row, fontsize=9)
        for panel in panels[len(rows) :]:
            panel.set_visible(False)
        if runs:
            panels[0].plot([], [], color=OURS, label="ours")
        if any(author_runs(group, row) for row in rows):
            panels[0].plot([], [], color=AUTHOR, label="author's runs")
        drawn.supxlabel("epoch", fontsize=10)
        drawn.supylabel("reduced mIoU, %" if name == "miou_reduced" else "mIoU, %", fontsize=10)
        drawn.legend(loc="outside upper center", ncols=2)


def draw_classes(group: str, runs: Sequence[Run], path: Path) -> bool:
    """IoU of each class at the last evaluation, against the author's run of the row, else against the mean of all rows.

    Returns whether there was anything to draw.
    """
    rows = {}
    for name in dict.fromkeys(run.row for run in runs if run.curve.iou):
        rows[name] = _mean_iou([run.curve.iou[-1] for run in runs if run.row == name and run.curve.iou])
    if not rows:
        return False
    authors = {name: _mean_iou([run.iou[-1] for run in author_runs(group, name)]) for name in rows}
    classes = next(run.classes for run in runs if run.curve.iou)
    against_author = all(len(authors[name]) == len(classes) for name in rows)
    middle = _mean_iou(list(rows.values()))
    with figure(path, 1.8 + 0.42 * len(classes), 2.6 + 0.34 * len(rows)) as drawn:
        axes = drawn.add_subplot()
        values = [
            [own - other for own, other in zip(iou, authors[name] if against_author else middle, strict=True)]
            for name, iou in rows.items()
        ]
        limit = max((abs(value) for row in values for value in row if value == value), default=1.0) or 1.0
        image = axes.imshow(values, cmap="PuOr", vmin=-limit, vmax=limit, aspect="auto")
        for place, row in enumerate(values):
            for column, value in enumerate(row):
                color = "white" if abs(value) > 0.6 * limit else "black"
                axes.text(column, place, f"{value:+.0f}", ha="center", va="center", fontsize=7, color=color)
        axes.set_xticks(range(len(classes)), classes, rotation=45, ha="right", fontsize=8)
        axes.set_yticks(range(len(rows)), list(rows), fontsize=8)
        axes.grid(visible=False)
        against = "the author's" if against_author else "the mean of all rows"
        axes.set_title(f"IoU minus {against}, points", fontsize=10)
        drawn.colorbar(image)
    return True


def draw_trade_offs(folder: Path, ours: float | None) -> list[Path]:
    """Figs. 1 and 7: test mIoU against parameters and GFLOPs, from Table 9; ``ours`` is a mIoU of one's own run."""
    paths = []
    for key, label, name in (("parameters", "parameters, millions", "fig1"), ("gflops", "GFLOPs", "fig7")):
        path = folder / f"{name}.png"
        with figure(path, 6.4, 4.4) as drawn:
            axes = drawn.add_subplot()
            models = {model: v for model, v in paper()["table9"]["models"].items() if key in v}
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
                if own and ours is not None:
                    axes.plot(values[key], ours, "*", color=OURS, ms=13, label="your runs (validation)")
                    axes.legend(loc="lower right")
            axes.set_xscale("log")
            axes.xaxis.set_major_formatter("{x:g}")
            axes.set_xlabel(label)
            axes.set_ylabel("Cityscapes test mIoU, %")
            axes.margins(x=0.2, y=0.08)
        paths.append(path)
    return paths


def draw_val_sizes(folder: Path, runs: Path, path: Path) -> bool:
    """Fig. 6 from the ``val_sizes.json`` of runs in ``folder``; returns whether there was one."""
    curves = {
        file.parent.name: json.loads(file.read_text(encoding="utf-8"))
        for file in sorted((runs / folder).glob("*/val_sizes.json"))
    }
    if curves:
        val_sizes.draw(curves, path)
    return bool(curves)


def _mean_iou(rows: Sequence[Sequence[float]]) -> list[float]:
    def mean(values: Sequence[float]) -> float:
        present = [value for value in values if value == value]
        return statistics.mean(present) if present else math.nan

    return [mean(values) for values in zip(*rows, strict=True)]


def _label(group: str) -> str:
    which, _, name = metric_of(group).partition("/")
    return f"{'reduced mIoU' if name == 'miou_reduced' else 'mIoU'} of the {which} evaluation, %"
