"""A report's table as CSV and as LaTeX, and whether its differences are significant."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

from regseg.reporting.markdown import escaped, name_of_metric
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
    """Return a table as LaTeX, for the package booktabs; the best of our values is bold."""
    best = max((row.value for row in rows if row.value is not None), default=None)
    lines = []
    for row in rows:
        cells = [_latex(row.name), _cell(row.value, row.deviation, row.value == best), str(len(row.values))]
        lines.append(" & ".join([*cells, _cell(row.paper, row.paper_deviation, False)]) + r" \\")
    caption = f"{paper().get(group, {}).get('title', group)}: {name_of_metric(group)}."
    return "\n".join(
        [
            r"\begin{table}",
            r"  \centering",
            f"  \\caption{{{_latex(caption)}}}",
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


def significance_markdown(rows: Sequence[Row]) -> str:
    """Return one line per row on Welch's t-test against the row with the highest mean; empty without two such rows.

    Rows for which the best run counts, unfinished rows and rows with a single run are listed as not tested.
    """
    tested = [row for row in rows if len(row.ours) >= _FEWEST and not row.best]
    if len(tested) < 2:
        return ""
    first = max(tested, key=lambda row: sum(row.ours) / len(row.ours))
    lines = []
    for row in tested:
        if row is not first:
            n = f"n = {len(first.ours)} and {len(row.ours)}"
            lines.append(f"- {escaped(row.name)}: {_verdict(first.ours, row.ours)} ({n}).\n")
    text = f"Welch's two-sided t-test against {escaped(first.name)}, not corrected for several comparisons.\n\n"
    text += "".join(lines)
    if others := [escaped(row.name) for row in rows if row.values and row not in tested]:
        text += f"- Not tested (fewer than two finished runs, or the best run counts): {', '.join(others)}.\n"
    if min(len(row.ours) for row in tested) < _ENOUGH:
        text += f"\nWith fewer than {_ENOUGH} seeds per row, the test has little power: a large p is no evidence.\n"
    return text


def _verdict(first: Sequence[float], second: Sequence[float]) -> str:
    from scipy.stats import ttest_ind

    difference = sum(second) / len(second) - sum(first) / len(first)
    if len({*first}) == len({*second}) == 1:
        return f"{difference:+.2f}, p cannot be computed because the runs of each row are equal"
    p = float(ttest_ind(first, second, equal_var=False).pvalue)
    return f"{difference:+.2f}, p = {p:.3f}"


def _cell(value: float | None, deviation: float | None, bold: bool) -> str:
    if value is None:
        return "--"
    text = f"{value:.2f}" + ("" if deviation is None else f" $\\pm$ {deviation:.2f}")
    return f"\\textbf{{{text}}}" if bold else text


def _latex(text: str) -> str:
    return "".join(_LATEX.get(character, character) for character in text)
