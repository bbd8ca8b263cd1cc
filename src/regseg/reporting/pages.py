"""The content of a report: its Markdown and the pictures to draw."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from regseg.reporting import figures, val_sizes
from regseg.reporting.csv_and_latex import csv_text, grid_csv, grid_latex, latex_text, significance_markdown
from regseg.reporting.markdown import (
    Grid,
    at_same_epochs,
    classes_grid,
    escaped,
    markdown,
    metrics_grid,
    runs_grid,
    table,
)
from regseg.reporting.paper_tables import columns_grid, columns_notes, differences_grid, our_row
from regseg.reporting.published import paper
from regseg.reporting.speeds import Speeds
from regseg.reporting.tables import Run, compare, counted, read_runs

Drawings = dict[str, Callable[[Path], bool]]  # name -> draws a picture, and returns whether there was anything to draw
Tables = dict[str, str]  # file name -> content
Page = tuple[str, Drawings, Tables]
Section = tuple[str, Tables]  # Markdown, and its table as files


def page_of(group: str, runs_folder: Path, speeds: Speeds | None = None) -> Page | None:
    """Return the report on a published table or figure, or on any group of runs.

    Args:
        group: The name of a table of ``experiments/*.yaml``, or of a folder of runs.
        runs_folder: The folder of all groups of runs.
        speeds: Speeds on this machine, for tables with FPS.

    Returns:
        The Markdown, the pictures, and the contents of other files by name; None if there are no runs to report on. A
        table that only compares methods needs no runs.
    """
    content = paper().get(group, {})
    if "runs_of" in content:
        return sizes_page(group, runs_folder)
    if content and "rows" not in content:
        return methods_page(group, runs_folder, speeds)
    return runs_page(group, runs_folder, speeds)


def files_of_pages() -> set[str]:
    """Return the names of all pictures and tables that a page may consist of."""
    trade_offs = [name for content in paper().values() for name in content.get("trade_offs", ())]
    tables = ["table", "table_metrics", "table_runs", "table_columns", "table_differences", "table_classes"]
    pictures = ["rows", "curves", "classes", "val_sizes", *trade_offs]
    return {f"{name}.png" for name in pictures} | {f"{name}.{suffix}" for name in tables for suffix in ("csv", "tex")}


def runs_page(group: str, runs_folder: Path, speeds: Speeds | None = None) -> Page | None:
    """Return the report on a table of runs; None without runs."""
    runs = read_runs(runs_folder, group)
    if not runs:
        return None
    rows, shown = compare(group, runs), counted(runs)
    sections = [
        _table("table_metrics", group, "Best and last evaluation, %", metrics_grid(group, runs)),
        _table("table_runs", group, "Every run at its last epoch", runs_grid(group, shown)),
        _columns("table_columns", group, "All columns of the paper's table", runs_folder, speeds),
        _table("table_differences", group, "Differences stated in the paper's text", *differences_grid(group, rows)),
        _section("Significance", significance_markdown(rows)),
        _table("table_classes", group, "IoU per class at the last evaluation, %", classes_grid(shown)),
        _section("At the same epochs", "".join(f"- {sentence}\n" for sentence in at_same_epochs(group, runs))),
    ]
    drawings: Drawings = {
        "rows": lambda path: figures.draw_rows(group, rows, path),
        "curves": lambda path: figures.draw_curves(group, shown, path),
        "classes": lambda path: figures.draw_classes(group, shown, path),
        "val_sizes": lambda path: figures.draw_val_sizes(group, shown, path),
    }
    tables = {"table.csv": csv_text(group, rows), "table.tex": latex_text(group, rows)}
    text, more = _joined([(f"{_heading(group)}{markdown(group, rows)}", tables), *sections])
    return text, drawings | _trade_offs(group, runs_folder), more


def methods_page(group: str, runs_folder: Path, speeds: Speeds | None = None) -> Page:
    """Return the report on a table that compares methods, with lines for our runs."""
    columns = _columns("table", group, "", runs_folder, speeds)
    heading, differences = "Differences stated in the paper's text", differences_grid(group, [])
    text, tables = _joined([(_heading(group), {}), columns, _table("table_differences", group, heading, *differences)])
    if star := _star(paper()[group], runs_folder):
        text += f"\nThe star in the pictures is {escaped(star[0])}: {star[1]:.2f}.\n"
    return text, _trade_offs(group, runs_folder), tables


def sizes_page(group: str, runs_folder: Path) -> Page | None:
    """Return the report on mIoU over evaluation sizes (Fig. 6); None without any such evaluation.

    As in other tables, results that are not comparable count only in a row without comparable ones.
    """
    content = paper()[group]
    rows = list(content["rows"])
    runs = [run for run in read_runs(runs_folder, content["runs_of"]) if run.row in rows]
    found = {run.folder: val_sizes.read(run.folder) for run in runs}
    scored = [run for run in runs if found[run.folder][0]]
    if not scored:
        return None
    remarks = {run.folder: _remarks(run, *found[run.folder], content.get("data", {})) for run in runs}
    sound = {run.row for run in scored if not remarks[run.folder]}
    shown = [run for run in scored if not remarks[run.folder] or run.row not in sound]
    means = [val_sizes.means_by_size([found[run.folder][0] for run in shown if run.row == row]) for row in rows]
    text = "".join(f"- {row}: not run.\n" for row in rows if all(run.row != row for run in runs))
    text += "".join(f"- {escaped(run.folder.name)}: {remark}.\n" for run in runs for remark in remarks[run.folder])
    doubtful = {run.row for run in shown} - sound
    names = [f"{row} (not comparable)" if row in doubtful else row for row in rows]
    section = _table("table", group, "", _sizes_grid(names, means), f"{content['text']}\n\n{text}")
    text, tables = _joined([(_heading(group), {}), section])
    return text, {"val_sizes": lambda path: figures.draw_val_sizes(group, shown, path)}, tables


def _sizes_grid(names: Sequence[str], means: Sequence[Mapping[int, float]]) -> Grid:
    """Return a table of mIoU in percent: short sides in rows, what ``names`` says in columns."""
    lines = []
    for size in sorted(set().union(*means)):
        values = [of_row.get(size) for of_row in means]
        first, last = values[0], values[-1]
        difference = "–" if first is None or last is None else f"{first - last:+.2f}"
        lines.append([str(size), *("–" if value is None else f"{value:.2f}" for value in values), difference])
    return Grid(["short side, pixels", *names, "first minus last"], lines)


def _remarks(run: Run, results: val_sizes.Results, problem: str, data: Mapping[str, Any]) -> list[str]:
    """Return what a reader must know about a run and its results over evaluation sizes, in Markdown."""
    command = f"`{sizes_command(run.folder)}`"
    differs = val_sizes.deviation(results, {} if run.mismatch else data)  # a mismatch names the dataset already
    remarks = [f"not comparable: {escaped(run.mismatch)}"] if run.mismatch else []
    remarks += [f"{problem}; create it with {command}"] if problem else []
    remarks += (
        [f"not comparable: evaluated with {escaped(differs)}; evaluate it again with {command}"] if differs else []
    )
    remarks += [] if run.finished else [f"{escaped(run.status)} at epoch {run.epoch + 1} of {run.max_epochs or '?'}"]
    return remarks + ([run.problem] if run.problem else [])


def sizes_command(folder: Path) -> str:
    """Return the command that evaluates the run in ``folder`` at several sizes."""
    weights = folder / "checkpoints" / "last.ckpt"
    command = ["python", "-m", "regseg.evaluate", f"weights={weights}", "val_sizes=[512,768,1024,1280,1536]"]
    return shlex.join(command)


def _star(content: dict[str, Any], runs_folder: Path) -> tuple[str, float] | None:
    """Return (label, value) of our runs in a table of methods; None without such runs."""
    for line in content.get("ours", ()):
        for key, references in line.get("runs", {}).items():
            if (row := our_row(references, runs_folder)) and row.value is not None:
                return f"{line['below']}, your runs ({content['columns'][key]})", row.value
    return None


def _trade_offs(group: str, runs_folder: Path) -> Drawings:
    content = paper().get(group, {})
    content = paper().get(content.get("trade_offs_of"), content)
    star = _star(content, runs_folder) if "trade_offs" in content else None
    return {
        name: partial(figures.draw_trade_off, content, axis["figure"], axis["label"], star)
        for name, axis in content.get("trade_offs", {}).items()
    }


def _heading(group: str) -> str:
    title = paper().get(group, {}).get("title")
    return f"# {escaped(group)}{': ' + title if title else ''}\n\n"


def _columns(name: str, group: str, heading: str, runs_folder: Path, speeds: Speeds | None) -> Section:
    return _table(name, group, heading, columns_grid(group, runs_folder, speeds), columns_notes(group))


def _table(name: str, group: str, heading: str, grid: Grid, notes: str = "") -> Section:
    """Return a table with notes below, and its files ``name.csv`` and ``name.tex``; empty for a table without rows."""
    if not grid.rows:
        return "", {}
    text = table(grid) + (f"\n{notes}" if notes else "")
    files = {f"{name}.csv": grid_csv(grid), f"{name}.tex": grid_latex(group, heading, grid)}
    return _section(heading, text)[0] if heading else text, files


def _section(heading: str, content: str) -> Section:
    return (f"\n## {heading}\n\n{content}" if content else ""), {}


def _joined(sections: Iterable[Section]) -> Section:
    """Return the whole text and all files of several sections."""
    texts, files = zip(*sections, strict=True)
    return "".join(texts), {name: content for tables in files for name, content in tables.items()}
