"""A report's tables as CSV and as LaTeX, and whether differences between rows are significant."""

from __future__ import annotations

import csv
import io
import textwrap
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from regseg.reporting.markdown import Grid, escaped, name_of_metric, printed
from regseg.reporting.published import paper
from regseg.reporting.tables import Row

_LATEX = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#", "%": r"\%", "_": r"\_",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "|": r"\textbar{}", "±": r"$\pm$", "–": "--",
    "[": "{[}", "*": "{*}",  # otherwise, at the start of a line, they would be options of the command before it
}  # fmt: skip
_CHARACTER, _GAP, _PAGE = 5, 12, 480  # points: a character at 10 pt, the space between columns, A4 with margins of 2 cm
_PARAGRAPH = 150  # points of a column of sentences, which are longer than _LABEL characters
_LABEL = 30
_FEWEST = 2  # seeds of each row for a test
_ENOUGH = 5  # seeds from which a test of mean IoU says much


def csv_text(group: str, rows: Sequence[Row]) -> str:
    """Return a table of runs as CSV: one line per row, values in percent, runs of a row separated by semicolons."""
    headings = ["row", name_of_metric(group), "deviation", "runs", "paper", "paper_deviation", "author", "state"]
    lines = []
    for row in rows:
        runs, author = (";".join(f"{value:.4f}" for value in values) for values in (row.values, row.author))
        numbers = ["" if value is None else f"{value:.4f}" for value in (row.value, row.deviation)]
        lines.append([row.name, *numbers, runs, row.paper or "", row.paper_deviation or "", author, row.state])
    return _csv(headings, lines)


def grid_csv(grid: Grid) -> str:
    """Return any other table as CSV, with the cells as they are shown; those without a value are empty."""
    return _csv(grid.headings, [["" if cell == "–" else cell for cell in row] for row in grid.rows])


def _csv(headings: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows([headings, *lines])
    return text.getvalue()


def latex_text(group: str, rows: Sequence[Row]) -> str:
    """Return a table of runs as LaTeX, for the package booktabs; the best of our finished, comparable values is bold.

    The caption says what a reader would otherwise take for granted: rows that are unfinished or not comparable.
    """
    best = max((row.value for row in _comparable(rows) if row.value is not None), default=None)
    lines = []
    for row in rows:
        ours = _cell(row.value, row.deviation, bool(_comparable([row])) and row.value == best)
        ours += "" if row.ours or row.value is None else r"\rlap{$^\ast$}"
        published = [_latex(printed(row.paper, row.paper_deviation))] if group in paper() else []
        lines.append([_latex(row.name), ours, str(len(row.values)), *published])
    caption = " ".join([_latex(f"{_title(group)}: {name_of_metric(group)}."), *_caption_notes(rows)])
    headings = ["row", "ours", "runs", "paper"] if group in paper() else ["row", "ours", "runs"]
    return _booktabs(caption, f"l{'r' * (len(headings) - 1)}", headings, lines)


def grid_latex(group: str, heading: str, grid: Grid) -> str:
    """Return any other table as LaTeX; as several tables if it is wide. Lines of our runs are bold."""
    columns = [_Column.of(grid, number) for number in range(len(grid.headings))]
    widths = [column.width + _GAP for column in columns]
    tables = []
    for part in grid.parts(widths, _PAGE - widths[0]):
        columns = [_Column.of(part, number) for number in range(len(part.headings))]
        lines = [[_latex(cell) for cell in row] for row in part.rows]
        for number in part.ours:
            lines[number][0] = f"\\textbf{{{lines[number][0]}}}"
        lines = [[column.cell(text) for column, text in zip(columns, line, strict=True)] for line in lines]
        caption = _latex(f"{_title(group)}: {heading}." if heading else f"{_title(group)}.")
        alignments = "".join(column.alignment for column in columns)
        tables.append(_booktabs(caption, alignments, [column.heading for column in columns], lines))
    return "\n".join(tables)


class _Column(NamedTuple):
    """How a column is set in LaTeX: its width in points, its alignment, and its heading, which is LaTeX."""

    width: float
    alignment: str
    heading: str

    @classmethod
    def of(cls, grid: Grid, number: int) -> _Column:
        """Return the layout of a column: headings are not much wider than the cells, and sentences wrap."""
        longest = max((len(row[number]) for row in grid.rows), default=0)
        heading = grid.headings[number]
        lines = textwrap.wrap(heading, max(longest, 6), break_long_words=False, break_on_hyphens=False) or [""]
        if longest > _LABEL and not grid.numeric[number]:
            return cls(_PARAGRAPH, f"p{{{_PARAGRAPH}pt}}", _latex(heading))
        alignment = "r" if grid.numeric[number] else "l"
        stacked = r"\\".join(map(_latex, lines))
        text = f"\\shortstack[{alignment}]{{{stacked}}}" if len(lines) > 1 else stacked
        return cls(_CHARACTER * max(longest, *map(len, lines)), alignment, text)

    def cell(self, text: str) -> str:
        """Return a cell's LaTeX."""
        if not self.alignment.startswith("p"):
            return text
        return rf"\raggedright\let\\\tabularnewline {text}"  # otherwise, \\ would end a line of this cell


def _title(group: str) -> str:
    return paper().get(group, {}).get("title", group)


def _comparable(rows: Iterable[Row]) -> list[Row]:
    """Return the rows whose finished runs may be compared with those of other rows."""
    return [row for row in rows if row.ours and row.comparable]


def _booktabs(caption: str, columns: str, headings: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """Return a LaTeX table of cells that are LaTeX already; ``columns`` are their alignments."""
    return "\n".join(
        [
            r"\begin{table}",
            r"  \centering",
            f"  \\caption{{{caption}}}",
            f"  \\begin{{tabular}}{{{columns}}}",
            r"    \toprule",
            f"    {' & '.join(headings)} \\\\",
            r"    \midrule",
            *(f"    {' & '.join(line)} \\\\" for line in lines),
            r"    \bottomrule",
            r"  \end{tabular}",
            r"\end{table}",
            "",
        ]
    )


def _caption_notes(rows: Sequence[Row]) -> list[str]:
    """Return sentences in LaTeX on standard deviations, and on best, unfinished or not comparable runs."""
    notes = []
    if any(row.deviation is not None or row.paper_deviation is not None for row in rows):
        notes.append(r"Means $\pm$ population standard deviations over runs.")
    if best := [row.name for row in rows if row.best and len(row.values) > 1]:
        notes.append(f"Best run instead of the mean: {_latex(', '.join(best))}.")
    if any(row.unfinished and not row.ours for row in rows):
        notes.append(r"$^\ast$: training is not finished.")
    if others := [row.name for row in rows if row.values and not row.comparable]:
        notes.append(f"Not comparable: {_latex(', '.join(others))}.")
    return notes


def significance_markdown(rows: Sequence[Row]) -> str:
    """Return one line per row on Welch's t-test against the row with the highest mean; empty without two rows of ours.

    Rows for which the best run counts, unfinished rows, rows that are not comparable and rows with a single run are
    listed as not tested.
    """
    tested = [row for row in _comparable(rows) if len(row.ours) >= _FEWEST and not row.best]
    if len(_comparable(rows)) < 2:
        return ""
    if len(tested) < 2:
        return (
            "No difference between rows can be tested: fewer than two rows are means over two or more finished, "
            "comparable runs. Add runs with `seed=0,1,2`.\n"
        )
    first = max(tested, key=lambda row: sum(row.ours) / len(row.ours))
    lines = []
    for row in tested:
        if row is not first:
            n = f"n = {len(first.ours)} and {len(row.ours)}"
            lines.append(f"- {escaped(row.name)}: {_verdict(first.ours, row.ours)} ({n}).\n")
    text = f"Welch's two-sided t-test against {escaped(first.name)}, the tested row with the highest mean; "
    text += "not corrected for multiple comparisons.\n\n"
    text += "".join(lines)
    if others := [escaped(row.name) for row in rows if row.values and row not in tested]:
        reasons = "fewer than two finished runs, not comparable, or the best run counts"
        text += f"- Not tested ({reasons}): {', '.join(others)}.\n"
    if min(len(row.ours) for row in tested) < _ENOUGH:
        text += f"\nWith fewer than {_ENOUGH} seeds per row, the test has little power: a large p is not evidence that "
        text += "rows are equal.\n"
    return text


def _verdict(first: Sequence[float], second: Sequence[float]) -> str:
    from scipy.stats import ttest_ind

    difference = sum(second) / len(second) - sum(first) / len(first)
    if len({*first}) == len({*second}) == 1:
        return f"{difference:+.2f}, p cannot be computed because the runs of each row are equal"
    p = float(ttest_ind(first, second, equal_var=False).pvalue)
    return f"{difference:+.2f}, " + (f"p = {p:.3f}" if p >= 0.001 else "p < 0.001")


def _cell(value: float | None, deviation: float | None, bold: bool) -> str:
    if value is None:
        return "--"
    text = f"{value:.2f}" + ("" if deviation is None else f" $\\pm$ {deviation:.2f}")
    return f"\\textbf{{{text}}}" if bold else text


def _latex(text: str) -> str:
    return "".join(_LATEX.get(character, character) for character in text)
