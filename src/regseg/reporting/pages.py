"""What a report says and shows: its Markdown, and the pictures to draw."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from pathlib import Path

from regseg.reporting import figures, val_sizes
from regseg.reporting.markdown import at_same_epochs, classes_markdown, escaped, markdown, runs_markdown, table
from regseg.reporting.paper_tables import differences_markdown, table8_markdown, table9_markdown, table10_markdown
from regseg.reporting.published import paper
from regseg.reporting.tables import Row, Run, compare, known, read_runs

Drawings = dict[str, Callable[[Path], bool]]  # name -> draws a picture, and returns whether there was anything to draw


def page_of(group: str, runs_folder: Path) -> tuple[str, Drawings] | None:
    """The report on a table or figure of the paper, or on any group of runs; None where there is no run to report on.

    Table 9 is filled by the paper alone.
    """
    if group == "table9":
        return table9_page(runs_folder)
    return fig6_page(runs_folder) if group == "fig6" else runs_page(group, runs_folder)


def runs_page(group: str, runs_folder: Path) -> tuple[str, Drawings] | None:
    """A table of runs; None where there are none."""
    runs = read_runs(runs_folder, group)
    if not runs:
        return None
    rows = compare(group, runs)
    title = paper().get(group, {}).get("title")
    text = f"# {escaped(group)}{': ' + title if title else ''}\n\n{markdown(group, rows)}"
    text += _section("Every run at its last epoch", runs_markdown(group, runs))
    text += _section("All columns of the paper's table", _all_columns(group, rows))
    text += _section("Differences that the paper's text states", differences_markdown(group, rows))
    text += _section("IoU of the classes at the last evaluation, %", classes_markdown(runs))
    text += _section("At the same epochs", "".join(f"- {sentence}\n" for sentence in at_same_epochs(group, runs)))
    drawings: Drawings = {
        "rows": lambda path: figures.draw_rows(group, rows, path),
        "curves": lambda path: figures.draw_curves(group, runs, path),
        "classes": lambda path: figures.draw_classes(group, runs, path),
        "val_sizes": lambda path: figures.draw_val_sizes(runs, path),
    }
    return text, drawings | (_trade_offs(own_regseg(runs_folder)) if group == "table10" else {})


def table9_page(runs_folder: Path) -> tuple[str, Drawings]:
    """Table 9 and Figs. 1 and 7; one's own RegSeg is marked where there is one."""
    own = own_regseg(runs_folder)
    text = f"# table9: {paper()['table9']['title']}\n\n{table9_markdown(own)}"
    text += _section("Differences that the paper's text states", differences_markdown("table9", []))
    if own is not None:
        text += f"\nThe star is your RegSeg on the validation set: {own:.2f} % mIoU (table10, else sec4_2).\n"
    return text, _trade_offs(own)


def fig6_page(runs_folder: Path) -> tuple[str, Drawings] | None:
    """Fig. 6 from the evaluations of its two runs at several sizes; None where there is no such evaluation."""
    content = paper()["fig6"]
    rows = list(content["rows"])
    runs = [run for run in read_runs(runs_folder, content["runs_of"]) if run.row in rows]
    results = {run.folder: val_sizes.read(run.folder) for run in runs}
    if not any(found for found, _ in results.values()):
        return None
    means = [val_sizes.means_by_size([results[run.folder][0] for run in runs if run.row == row]) for row in rows]
    lines = []
    for size in sorted(set().union(*means)):
        first, second = (of_row.get(size) for of_row in means)
        difference = "–" if first is None or second is None else f"{first - second:+.2f}"
        lines.append([str(size), *("–" if value is None else f"{value:.2f}" for value in (first, second)), difference])
    text = f"# fig6: {content['title']}\n\n{table(['short side', *rows, 'first minus second'], lines)}"
    text += (
        "\nmIoU in percent, as in the paper's figure; the mean over seeds. The paper's text: [400, 1600] performs "
        "better at smaller sizes, [512, 2048] at larger ones. It prints no numbers.\n\n"
    )
    missing = [f"- {row}: not run.\n" for row in rows if all(run.row != row for run in runs)]
    text += "".join([*missing, *(_fig6_note(run, results[run.folder][1]) for run in runs)])
    return text, {"val_sizes": lambda path: figures.draw_val_sizes(runs, path)}


def _fig6_note(run: Run, problem: str) -> str:
    notes = [f"not comparable: {run.apart}"] if run.apart else []
    notes += [f"{problem}; write it by `{sizes_command(run.folder)}`"] if problem else []
    notes += [] if run.finished else [f"{escaped(run.status)} at epoch {run.epoch + 1} of {run.of or '?'}"]
    notes += [run.problem] if run.problem else []
    return "".join(f"- {escaped(run.folder.name)}: {note}.\n" for note in notes)


def sizes_command(folder: Path) -> str:
    """The command that evaluates a run for Fig. 6."""
    weights = folder / "checkpoints" / "last.ckpt"
    return f"python -m regseg.evaluate weights={weights} 'val_sizes=[512,768,1024,1280,1536]'"


def own_regseg(runs_folder: Path) -> float | None:
    """The mean last mIoU in percent of the finished runs of RegSeg in Table 10, else of the recipe of Sec. 4.2."""
    for group, row in (("table10", "regseg"), ("sec4_2", "run")):
        runs = [run for run in read_runs(runs_folder, group) if run.row == row and run.finished and not run.apart]
        if values := known(run.curve.value("last/miou") for run in runs):
            return statistics.mean(values)
    return None


def _trade_offs(own: float | None) -> Drawings:
    return {
        "fig1": lambda path: figures.draw_trade_off("parameters", "parameters, millions", path, own),
        "fig7": lambda path: figures.draw_trade_off("gflops", "GFLOPs", path, own),
    }


def _all_columns(group: str, rows: Sequence[Row]) -> str:
    if group == "table8":
        return table8_markdown(next((row for row in rows if row.name == "regseg"), None))
    return table10_markdown(rows) if group == "table10" else ""


def _section(heading: str, content: str) -> str:
    return f"\n{heading}:\n\n{content}" if content else ""
