"""Draws the plots of a report.

Each function writes one picture and returns whether there was anything to draw.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from regseg.reporting import val_sizes
from regseg.reporting.paper_tables import figure_of
from regseg.reporting.plots import AUTHOR, OTHERS, OURS, PAPER, add_legend, axis_name, figure, set_log_x
from regseg.reporting.published import author_runs, paper
from regseg.reporting.tables import Row, Run, common_epoch, known, metric_of

_NOT_COMPARABLE = "ours, not comparable"
_COLUMNS, _PANELS = 10, 8  # most columns per panel, and most panels, of a heatmap; beyond both, panels get wider

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def draw_rows(group: str, rows: Sequence[Row], path: Path) -> bool:
    """Draw one line per row: our value with its standard deviation, the author's runs and the printed value."""
    if not any(row.values or row.author or row.paper for row in rows):
        return False
    with figure(path, 7.2, 1.2 + 0.36 * len(rows)) as drawn:
        axes = drawn.add_subplot()
        places = range(len(rows))
        for place, row in zip(places, rows, strict=True):
            axes.plot(row.author, [place] * len(row.author), "o", color=AUTHOR, ms=6, mfc="none")
            if row.paper is not None:
                axes.plot(float(row.paper), place, "|", color=PAPER, ms=14, mew=1.5)
            if row.ours and row.value is not None:
                face, deviation = OURS if row.comparable else "white", row.deviation or 0
                axes.errorbar(row.value, place, xerr=deviation, fmt="o", color=OURS, ms=6, capsize=3, mfc=face)
                axes.plot(row.ours, [place] * len(row.ours), ".", color=OURS, alpha=0.5)
            axes.plot(row.unfinished, [place] * len(row.unfinished), "x", color=OURS, ms=5)
        for style, color, label, shown in (
            ("o", OURS, "ours", any(row.ours and row.comparable for row in rows)),
            ("o", OURS, _NOT_COMPARABLE, any(row.ours and not row.comparable for row in rows)),
            (".", OURS, "our single runs", any(len(row.ours) > 1 for row in rows)),
            ("x", OURS, "ours, not finished", any(row.unfinished for row in rows)),
            ("o", AUTHOR, "author's runs", any(row.author for row in rows)),
            ("|", PAPER, "paper", any(row.paper for row in rows)),
        ):
            if shown:
                filled = label in ("ours", "our single runs")
                axes.plot([], [], style, color=color, label=label, mfc=color if filled else "none")
        axes.set_yticks(list(places), [axis_name(row.name) for row in rows])
        axes.set_ylim(len(rows) - 0.5, -0.5)
        _show_what_compares(axes, rows)
        axes.set_xlabel(_label(group))
        add_legend(drawn)
    return True


def _show_what_compares(axes: Axes, rows: Sequence[Row]) -> None:
    """Limit the x axis to values that are comparable, if there are any, and write the others at its edges.

    A smoke test or an unfinished run is tens of points away, next to which rows that differ by tenths would coincide.
    """
    shown = [value for row in rows for value in (*row.author, *([float(row.paper)] if row.paper else []))]
    for row in rows:
        if row.comparable and row.ours and row.value is not None:
            deviation = row.deviation or 0
            shown += [*row.ours, row.value - deviation, row.value + deviation]
    others = [(place, value) for place, row in enumerate(rows) for value in (*row.ours, *row.unfinished)]
    if not shown or not others:
        return
    span = max(shown) - min(shown) or 4.0
    low, high = min(shown) - 0.12 * span, max(shown) + 0.12 * span
    low -= 0.2 * span * any(value < low for _, value in others)  # room for the values at that edge
    high += 0.2 * span * any(value > high for _, value in others)
    axes.set_xlim(low, high)
    for place in range(len(rows)):
        for text, x, align, own in (
            ("◂ {}", 0.01, "left", [value for at, value in others if at == place and value < low]),
            ("{} ▸", 0.99, "right", [value for at, value in others if at == place and value > high]),
        ):
            if own:
                label = text.format(_short_list(own))
                axes.text(
                    x, place, label, color=OURS, ha=align, va="center", fontsize=8, transform=axes.get_yaxis_transform()
                )


def _short_list(values: Sequence[float]) -> str:
    """Return one or two values, or the range of more, which takes no more space."""
    if len(values) > 2:
        return f"{min(values):.1f} to {max(values):.1f}"
    return ", ".join(f"{value:.1f}" for value in values)


def draw_curves(group: str, runs: Sequence[Run], path: Path) -> bool:
    """Draw the learning curves of our runs over those of the author, one panel per row."""
    name = metric_of(group).partition("/")[2]
    rows = list(dict.fromkeys([*paper().get(group, {}).get("rows", {}), *(run.row for run in runs)]))
    if not any(run.curve.epochs for run in runs) and not any(author_runs(group, row) for row in rows):
        return False
    columns = min(3, len(rows))
    lines = math.ceil(len(rows) / columns)
    with figure(path, 3.2 * columns, 2.4 * lines + 0.5) as drawn:
        panels = drawn.subplots(lines, columns, squeeze=False, sharex=True, sharey=True).ravel()
        for panel, row in zip(panels, rows, strict=False):
            for curve in author_runs(group, row):
                panel.plot(curve.epochs, getattr(curve, name), color=AUTHOR, lw=2.5, alpha=0.45)
            for run in (run for run in runs if run.row == row):
                values, line = getattr(run.curve, name), "--" if run.mismatch else "-"
                panel.plot(run.curve.epochs, values, "." if len(values) == 1 else line, color=OURS, lw=1.1)
                if not run.finished and values:
                    panel.plot(run.curve.epochs[-1], values[-1], "x", color=OURS, ms=5)
            panel.set_title(axis_name(row), fontsize=9)
        for panel in panels[len(rows) :]:
            panel.set_visible(False)
        for panel in panels[: len(rows)][-columns:]:  # the lowest panel of each column, also in a short last line
            panel.tick_params(labelbottom=True)
        if any(not run.mismatch for run in runs):
            panels[0].plot([], [], color=OURS, label="ours")
        if any(run.mismatch for run in runs):
            panels[0].plot([], [], "--", color=OURS, label=_NOT_COMPARABLE)
        if any(not run.finished for run in runs):
            panels[0].plot([], [], "x", color=OURS, label="ours, not finished")
        if any(author_runs(group, row) for row in rows):
            panels[0].plot([], [], color=AUTHOR, lw=2.5, alpha=0.45, label="author's runs")
        drawn.supxlabel("epoch", fontsize=10)
        drawn.supylabel("reduced mIoU, %" if name == "miou_reduced" else "mIoU, %", fontsize=10)
        add_legend(drawn)
    return True


def draw_classes(group: str, runs: Sequence[Run], path: Path) -> bool:
    """Draw the IoU of each class relative to the author's at a common epoch, or else to the mean of all rows."""
    runs = [run for run in runs if run.curve.iou and run.classes]
    runs = [run for run in runs if not run.mismatch] or runs
    if not runs:
        return False
    classes = runs[0].classes
    runs = [run for run in runs if run.classes == classes]  # runs on another dataset are not comparable
    rows = {name: [run for run in runs if run.row == name] for name in dict.fromkeys(run.row for run in runs)}
    common = {name: [found for run in own if (found := common_epoch(group, run))] for name, own in rows.items()}
    if all(len(common[name]) == len(own) for name, own in rows.items()):
        values = [_means([found.iou_difference for found in row]) for row in common.values()]
        title = "IoU minus the author's at the same epoch, points"
    else:
        values, title = [_means([run.curve.iou[-1] for run in own]) for own in rows.values()], "IoU, %"
        if len(values) > 1:
            middle, title = _means(values), "IoU minus the mean of all rows, points"
            values = [[own - other for own, other in zip(row, middle, strict=True)] for row in values]
    _draw_heatmap(values, list(rows), classes, title, path, signed=title != "IoU, %")
    return True


def _draw_heatmap(
    values: Sequence[Sequence[float]],
    rows: Sequence[str],
    columns: Sequence[str],
    title: str,
    path: Path,
    *,
    signed: bool,
) -> None:
    """Draw differences, or percentages, in cells; many columns are divided into panels below each other."""
    differences = (abs(value) for row in values for value in row if value == value)
    limit = max([1.0, *differences]) if signed else 100.0  # differences below a point remain pale
    style: dict[str, Any] = {"cmap": "PuOr", "vmin": -limit} if signed else {"cmap": "Blues", "vmin": 0.0}
    panels = math.ceil(len(columns) / max(_COLUMNS, math.ceil(len(columns) / _PANELS)))
    wide = math.ceil(len(columns) / panels)
    names = [axis_name(name) for name in columns]
    width = max(4.8, 2.4 + 0.48 * wide)
    with figure(path, width, 0.6 + panels * (0.3 * len(rows) + 0.2 + 0.055 * max(map(len, names)))) as drawn:
        all_axes = drawn.subplots(panels, squeeze=False)[:, 0]
        for axes, start in zip(all_axes, range(0, len(columns), wide), strict=True):
            part = [row[start : start + wide] for row in values]
            image = axes.imshow(part, vmax=limit, aspect="auto", **style)
            for place, row in enumerate(part):
                for column, value in enumerate(row):
                    color = "white" if abs(value) > 0.6 * limit else "black"
                    text = _number(value, signed=signed)
                    axes.text(column, place, text, ha="center", va="center", fontsize=7, color=color)
            axes.set_xlim(-0.5, wide - 0.5)
            axes.set_xticks(range(len(part[0])), names[start : start + wide], rotation=45, ha="right", fontsize=8)
            axes.set_yticks(range(len(rows)), [axis_name(row) for row in rows], fontsize=8)
            axes.grid(visible=False)
        drawn.suptitle(title, fontsize=10)
        drawn.colorbar(image, ax=list(all_axes), pad=0.02, aspect=40)


def _number(value: float, *, signed: bool) -> str:
    if value != value:
        return "–"
    return f"{value:+.1f}" if signed and abs(value) >= 0.05 else f"{abs(value):.1f}"


def draw_trade_off(
    content: Mapping[str, Any], key: str, label: str, star: tuple[str, float] | None, path: Path
) -> bool:
    """Draw the mIoU of a table's methods against another of their values, as Figs. 1 and 7 of the paper do.

    Args:
        content: The table's content.
        key: The value on the horizontal axis.
        label: The label of that axis.
        star: Label and mIoU of our runs, drawn at the place of the method that they reproduce; None without runs.
        path: The picture.

    Returns:
        True.
    """
    mious = {model: float(figure_of(content, model, "miou")[0] or 0) for model in content["models"]}
    models = {
        model: float(values[key]) for model, values in content["models"].items() if key in values and mious[model]
    }
    highlighted = {line["below"] for line in content.get("ours", ())}
    with figure(path, 6.4, 4.4) as drawn:
        axes = drawn.add_subplot()
        for model, value in models.items():
            own = model in highlighted
            axes.plot(value, mious[model], "o", color=OURS if own else OTHERS, ms=8 if own else 5)
        places = [(value, mious[model]) for model, value in models.items()]
        place = next((models[model] for model in models if model in highlighted), None)
        if star is not None and place is not None:
            axes.plot(place, star[1], "*", color=OURS, ms=13, label=star[0])
            places.append((place, star[1]))
            add_legend(drawn)
        set_log_x(axes)
        axes.set_xlabel(label)
        axes.set_ylabel(content["columns"]["miou"])
        axes.margins(x=0.2, y=0.08)
        _name_dots(drawn, {model: (value, mious[model]) for model, value in models.items()}, highlighted, places)
    return True


def _name_dots(
    drawn: Figure,
    dots: Mapping[str, tuple[float, float]],
    highlighted: Collection[str],
    places: Iterable[tuple[float, float]],
) -> None:
    """Write the name of each dot next to it, where it covers no other name and none of the marks at ``places``."""
    from matplotlib.transforms import Bbox

    axes = drawn.axes[0]
    drawn.draw_without_rendering()  # only the finished layout says what is close to what
    pixels = drawn.dpi / 72  # per point
    marks = axes.transData.transform(list(places))
    taken = [Bbox.from_bounds(x - 4 * pixels, y - 4 * pixels, 8 * pixels, 8 * pixels) for x, y in marks]
    for model, dot in sorted(dots.items(), key=lambda item: -item[1][1]):  # from top to bottom
        own = model in highlighted
        name = axes.annotate(
            model, dot, textcoords="offset points", xytext=(0, 0), fontsize=8,
            color=OURS if own else "#444444", weight="bold" if own else "normal",
        )  # fmt: skip
        for right, above in ((True, True), (True, False), (False, True), (False, False)):
            name.xyann = (5 if right else -5, 4 if above else -4)
            name.set(ha="left" if right else "right", va="bottom" if above else "top")
            box = name.get_window_extent()
            if not box.count_overlaps(taken):
                break
        taken.append(box)


def draw_val_sizes(group: str, runs: Sequence[Run], path: Path) -> bool:
    """Draw mIoU over evaluation sizes (Fig. 6) from the ``val_sizes.json`` of the runs that have one.

    The legend says why a curve is not comparable.
    """
    curves = {}
    for run in runs:
        if results := val_sizes.read(run.folder)[0]:
            data = {} if run.mismatch else paper().get(group, {}).get("data", {})  # a mismatch names the dataset
            remark = "; ".join(reason for reason in (run.mismatch, val_sizes.deviation(results, data)) if reason)
            curves[run.folder.name + (f" ({remark})" if remark else "")] = results
    if curves:
        val_sizes.draw(curves, path)
    return bool(curves)


def _means(rows: Sequence[Sequence[float]]) -> list[float]:
    def mean(values: Sequence[float]) -> float:
        return statistics.mean(present) if (present := known(values)) else math.nan

    return [mean(values) for values in zip(*rows, strict=True)]


def _label(group: str) -> str:
    which, _, name = metric_of(group).partition("/")
    return f"{'reduced mIoU' if name == 'miou_reduced' else 'mIoU'} of the {which} evaluation, %"
