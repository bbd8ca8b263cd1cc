"""Tables with all columns that the paper prints, and the differences that its text states, with our runs."""

from __future__ import annotations

import functools
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from regseg.reporting.markdown import Grid, escaped, printed, with_deviation
from regseg.reporting.published import author_runs, paper
from regseg.reporting.speeds import Speeds, title_of_network
from regseg.reporting.tables import Row, average, compare, metric_of, read_runs

_COMPUTED = ("parameters", "gflops")  # the columns that `network_cost` fills


def differences_grid(group: str, rows: Iterable[Row]) -> tuple[Grid, str]:
    """Return the differences that the paper's text states, by its tables, by the author's runs and by ours.

    Args:
        group: A table's name.
        rows: Its rows with our runs.

    Returns:
        The table, without rows if the text states no difference, and notes in Markdown.
    """
    content, ours = paper().get(group, {}), {row.name: row for row in rows}
    lines, notes = [], []
    for entry in content.get("differences", ()):
        of, over = _names(entry["of"]), _names(entry["over"])
        name = entry.get("name", f"{', '.join(of)} over {', '.join(over)}")
        values = [_difference(source, of, over) for source in _sources(group, ours)]
        said = f"{entry.get('text', '–')}" + (f" ({entry['where']})" if "where" in entry else "")
        lines.append([name, said, *("–" if value is None else f"{value:+.2f}" for value in values)])
        notes += [f"- {escaped(name)}: {escaped(entry['why'])}.\n"] if "why" in entry else []
    headings = ["difference, points", "the text says", "paper's table", "author's runs", "ours"]
    return Grid(headings, lines), "".join(notes)


def _names(value: str | Sequence[str]) -> list[str]:
    return [value] if isinstance(value, str) else list(value)


def _sources(group: str, ours: Mapping[str, Row]) -> list[Callable[[str], float | None]]:
    """Return functions that give the value of a row or method: in the paper's table, in the author's runs, in ours."""
    content, metric = paper()[group], metric_of(group)
    methods = {name: float(values["miou"]) for name, values in content.get("models", {}).items() if "miou" in values}

    def of_paper(name: str) -> float | None:
        value = content.get("rows", {}).get(name)
        return methods.get(name) if value is None else float(value)

    def of_author(name: str) -> float | None:
        best = name in content.get("best_of_runs", ())
        return average([run.value(metric) for run in author_runs(group, name)], best=best) or of_competitor(name)

    def of_ours(name: str) -> float | None:
        row = ours.get(name)
        return (row.value if row.ours and row.comparable else None) if row else of_competitor(name)

    def of_competitor(name: str) -> float | None:
        # A row may be compared with another method, but two methods say nothing about our runs.
        return methods.get(name) if "rows" in content else None

    return [of_paper, of_author, of_ours]


def _difference(source: Callable[[str], float | None], of: list[str], over: list[str]) -> float | None:
    minuends = [value for name in of if (value := source(name)) is not None]
    subtrahends = [value for name in over if (value := source(name)) is not None]
    if len(minuends) < len(of) or len(subtrahends) < len(over):
        return None
    return statistics.mean(minuends) - statistics.mean(subtrahends)


def columns_grid(group: str, runs_folder: Path, speeds: Speeds | None = None) -> Grid:
    """Return a table with all columns that the paper prints, and lines for our runs.

    Args:
        group: A table's name.
        runs_folder: The folder of all groups of runs.
        speeds: Speeds on this machine, for one more column where the paper prints FPS.

    Returns:
        The table; without rows if the paper prints no other columns.
    """
    content = paper().get(group, {})
    columns, lines, ours = content.get("columns", {}), [], []
    measured = speeds if "fps" in columns else None
    for name in content["models"] if columns else ():
        figures = [printed(*figure_of(content, name, key)) for key in columns]
        lines.append([name, *figures, *(["–"] if measured else [])])
        for line in content.get("ours", ()):
            if line["below"] == name:
                own = [_our_figure(line, key, runs_folder) for key in columns]
                ours.append(len(lines))
                lines.append([f"{name}, your runs", *own, *([_our_speed(line, measured)] if measured else [])])
    return Grid(["method", *columns.values(), *([measured.heading] if measured else [])], lines, ours)


def columns_notes(group: str) -> str:
    """Return the notes below the table with all columns, in Markdown."""
    content = paper().get(group, {})
    reasons = [(name, why) for name, by_figure in content.get("why", {}).items() for why in by_figure.values()]
    notes = [f"{content['note']}\n"] if "note" in content else []
    notes += ["".join(f"- {escaped(name)}: {why}.\n" for name, why in reasons)] if reasons else []
    return "\n".join(notes)


def figure_of(content: Mapping[str, Any], name: str, key: str) -> tuple[Any, Any]:
    """Return (value, standard deviation) of a method in a table's content, as printed; None where there is none."""
    figures = content["models"][name]
    if key == "miou" and name in content.get("rows", {}):
        return content["rows"][name], content.get("deviations", {}).get(name)
    return figures.get(key), figures.get(f"{key}_deviation")


def _our_figure(line: Mapping[str, Any], key: str, runs_folder: Path) -> str:
    if row := our_row(line.get("runs", {}).get(key, ()), runs_folder):
        assert row.value is not None
        return with_deviation(row.value, row.deviation)
    if key in _COMPUTED and "network" in line:
        return network_cost(line["network"])[_COMPUTED.index(key)]
    return printed(line.get(key))


def _our_speed(line: Mapping[str, Any], speeds: Speeds) -> str:
    if "speed" not in line:
        return "–"
    height, width = line["speed"]["size"]
    name, size = line["speed"]["network"], (height, width)
    named = speeds.cell(name, size)
    return named if named != "–" else speeds.cell(title_of_network(name), size)


def our_row(references: Iterable[str], runs_folder: Path) -> Row | None:
    """Return the first of several rows, each ``TABLE/ROW``, that has finished and comparable runs."""
    for reference in references:
        group, _, name = reference.partition("/")
        for row in compare(group, read_runs(runs_folder, group)):
            if row.name == name and row.ours and row.comparable:
                return row
    return None


@functools.cache
def network_cost(name: str) -> tuple[str, str]:
    """Return the parameters in millions and the GFLOPs at 1024x2048 of a network of ours with 19 classes, as text."""
    from regseg.models import count_parameters, create_model
    from regseg.models.complexity import gflops

    network = create_model(name)
    return f"{count_parameters(network) / 1e6:.2f}", f"{gflops(network):.1f}"
