"""A report's table as CSV and as LaTeX, and whether its differences are significant."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

from regseg.reporting.markdown import escaped, name_of_metric, printed
from regseg.reporting.published import paper
from regseg.reporting.tables import Row

_LATEX = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#", "%": r"\%", "_": r"\_",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}",
}  # fmt: skip
_FEWEST = 2  # seeds of each row for a test
_ENOUGH = 5  # seeds from which a test of mean IoU says much


def csv_text(group: str, rows: Sequence[Row]) -> str:
    """Return a table as CSV: one line per row, values in percent, runs of a row separated by semicolons."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["row", name_of_metric(group), "deviation", "runs", "paper", "paper_deviation", "author", "state"])
    for row in rows:
        runs, author = (";".join(f"{value:.4f}" for value in values) for values in (row.values, row.author))
        numbers = ["" if value is None else f"{value:.4f}" for value in (row.value, row.deviation)]
        printed = ["" if value is None else value for value in (row.paper, row.paper_deviation)]
        writer.writerow([row.name, *numbers, runs, *printed, author, row.state])
    return text.getvalue()


def latex_text(group: str, rows: Sequence[Row]) -> str:
    """Return a table as LaTeX, for the package booktabs; the best of our values of finished runs is bold.

    The caption says what a reader would otherwise take for granted: rows that are unfinished or not comparable.
    """
    best = max((row.value for row in rows if row.ours and row.value is not None), default=None)
    lines = []
    for row in rows:
        ours = _cell(row.value, row.deviation, bool(row.ours) and row.value == best)
        ours += "" if row.ours or row.value is None else r"\rlap{$^\ast$}"
        cells = [_latex(row.name), ours, str(len(row.values)), _as_printed(row)]
        lines.append(" & ".join(cells) + r" \\")
    title = f"{paper().get(group, {}).get('title', group)}: {name_of_metric(group)}."
    caption = " ".join([_latex(title), *_caption_notes(rows)])
    return "\n".join(
        [
            r"\begin{table}",
            r"  \centering",
            f"  \\caption{{{caption}}}",
            r"  \begin{tabular}{lrrr}",
            r"    \toprule",
            r"    row & ours & runs & paper \\",
            r"    \midrule",
            *(f"    {line}" for line in lines),
            r"    \bottomrule",
            r"  \end{tabular}",
            r"\end{table}",
            "",
        ]
    )


def _caption_notes(rows: Sequence[Row]) -> list[str]:
    """Return sentences in LaTeX on standard deviations and on rows that are not what they seem."""
    notes = []
    if any(row.deviation is not None or row.paper_deviation is not None for row in rows):
        notes.append(r"Means $\pm$ population standard deviations over runs.")
    if best := [row.name for row in rows if row.best and len(row.values) > 1]:
        notes.append(f"Best run instead of the mean: {_latex(', '.join(best))}.")
    if any(row.unfinished and not row.ours for row in rows):
        notes.append(r"$^\ast$: training is not finished.")
    if others := [row.name for row in rows if row.ours and not row.comparable]:
        notes.append(f"Not comparable with the paper: {_latex(', '.join(others))}.")
    return notes


def significance_markdown(rows: Sequence[Row]) -> str:
    """Return one line per row on Welch's t-test against the row with the highest mean; empty without two rows of ours.

    Rows for which the best run counts, unfinished rows and rows with a single run are listed as not tested.
    """
    tested = [row for row in rows if len(row.ours) >= _FEWEST and not row.best]
    if len([row for row in rows if row.ours]) < 2:
        return ""
    if len(tested) < 2:
        return (
            "No difference between rows can be tested: fewer than two rows are means over two or more finished runs. "
            "Add runs with `seed=0,1,2`.\n"
        )
    first = max(tested, key=lambda row: sum(row.ours) / len(row.ours))
    lines = []
    for row in tested:
        if row is not first:
            n = f"n = {len(first.ours)} and {len(row.ours)}"
            lines.append(f"- {escaped(row.name)}: {_verdict(first.ours, row.ours)} ({n}).\n")
    text = f"Welch's two-sided t-test against {escaped(first.name)}, the row with the highest mean; "
    text += "not corrected for multiple comparisons.\n\n"
    text += "".join(lines)
    if others := [escaped(row.name) for row in rows if row.values and row not in tested]:
        text += f"- Not tested (fewer than two finished runs, or the best run counts): {', '.join(others)}.\n"
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


def _as_printed(row: Row) -> str:
    return "--" if row.paper is None else printed(row.paper, row.paper_deviation).replace("±", r"$\pm$")


def _latex(text: str) -> str:
    return "".join(_LATEX.get(character, character) for character in text)
