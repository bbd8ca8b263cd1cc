"""The content of a report: its Markdown and the pictures to draw."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from regseg.reporting import figures, val_sizes
from regseg.reporting.markdown import at_same_epochs, classes_markdown, escaped, markdown, runs_markdown, table
from regseg.reporting.paper_tables import columns_markdown, differences_markdown, our_row
from regseg.reporting.published import paper
from regseg.reporting.speeds import Speeds
from regseg.reporting.tables import Run, compare, read_runs
from regseg.reporting.tabular import csv_text, latex_text, significance_markdown

Drawings = dict[str, Callable[[Path], bool]]  # name -> draws a picture, and returns whether there was anything to draw
Tables = dict[str, str]  # file name -> content


def page_of(group: str, runs_folder: Path, speeds: Speeds | None = None) -> tuple[str, Drawings, Tables] | None:
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
        found = sizes_page(group, runs_folder)
        return None if found is None else (*found, {})
    if content and "rows" not in content:
        return (*methods_page(group, runs_folder, speeds), {})
    return runs_page(group, runs_folder, speeds)


def runs_page(group: str, runs_folder: Path, speeds: Speeds | None = None) -> tuple[str, Drawings, Tables] | None:
    """Return the report on a table of runs; None without runs."""
    runs = read_runs(runs_folder, group)
    if not runs:
        return None
    rows = compare(group, runs)
    text = f"{_heading(group)}{markdown(group, rows)}"
    text += _section("Every run at its last epoch", runs_markdown(group, runs))
    text += _section("All columns of the paper's table", columns_markdown(group, runs_folder, speeds))
    text += _section("Differences stated in the paper's text", differences_markdown(group, rows))
    text += _section("Significance", significance_markdown(rows))
    text += _section("IoU per class at the last evaluation, %", classes_markdown(runs))
    text += _section("At the same epochs", "".join(f"- {sentence}\n" for sentence in at_same_epochs(group, runs)))
    drawings: Drawings = {
        "rows": lambda path: figures.draw_rows(group, rows, path),
        "curves": lambda path: figures.draw_curves(group, runs, path),
        "classes": lambda path: figures.draw_classes(group, runs, path),
        "val_sizes": lambda path: figures.draw_val_sizes(runs, path),
    }
    tables = {"table.csv": csv_text(group, rows), "table.tex": latex_text(group, rows)}
    return text, drawings | _trade_offs(group, runs_folder), tables


def methods_page(group: str, runs_folder: Path, speeds: Speeds | None = None) -> tuple[str, Drawings]:
    """Return the report on a table that compares methods, with lines for our runs."""
    text = f"{_heading(group)}{columns_markdown(group, runs_folder, speeds)}"
    text += _section("Differences stated in the paper's text", differences_markdown(group, []))
    if star := _star(paper()[group], runs_folder):
        text += f"\nThe star in the pictures is {escaped(star[0])}: {star[1]:.2f}.\n"
    return text, _trade_offs(group, runs_folder)


def sizes_page(group: str, runs_folder: Path) -> tuple[str, Drawings] | None:
    """Return the report on mIoU over evaluation sizes (Fig. 6); None without any such evaluation."""
    content = paper()[group]
    rows = list(content["rows"])
    runs = [run for run in read_runs(runs_folder, content["runs_of"]) if run.row in rows]
    results = {run.folder: val_sizes.read(run.folder) for run in runs}
    if not any(found for found, _ in results.values()):
        return None
    means = [val_sizes.means_by_size([results[run.folder][0] for run in runs if run.row == row]) for row in rows]
    lines = []
    for size in sorted(set().union(*means)):
        values = [of_row.get(size) for of_row in means]
        first, second = values[0], values[-1]
        difference = "–" if first is None or second is None else f"{first - second:+.2f}"
        lines.append([str(size), *("–" if value is None else f"{value:.2f}" for value in values), difference])
    text = f"{_heading(group)}{table(['short side', *rows, 'first minus last'], lines)}\n{content['text']}\n\n"
    missing = [f"- {row}: not run.\n" for row in rows if all(run.row != row for run in runs)]
    text += "".join([*missing, *(_note(run, results[run.folder][1]) for run in runs)])
    return text, {"val_sizes": lambda path: figures.draw_val_sizes(runs, path)}


def _note(run: Run, problem: str) -> str:
    notes = [f"not comparable: {run.mismatch}"] if run.mismatch else []
    notes += [f"{problem}; create it with `{sizes_command(run.folder)}`"] if problem else []
    notes += [] if run.finished else [f"{escaped(run.status)} at epoch {run.epoch + 1} of {run.max_epochs or '?'}"]
    notes += [run.problem] if run.problem else []
    return "".join(f"- {escaped(run.folder.name)}: {note}.\n" for note in notes)


def sizes_command(folder: Path) -> str:
    """Return the command that evaluates the run in ``folder`` at several sizes."""
    weights = folder / "checkpoints" / "last.ckpt"
    return f"python -m regseg.evaluate weights={weights} 'val_sizes=[512,768,1024,1280,1536]'"


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


def _section(heading: str, content: str) -> str:
    return f"\n## {heading}\n\n{content}" if content else ""
