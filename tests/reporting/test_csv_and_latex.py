"""A report's table for spreadsheets and papers, and its test of significance."""

import csv
import io
import shutil
import subprocess

import pytest

from regseg.reporting.csv_and_latex import csv_text, grid_csv, grid_latex, latex_text, significance_markdown
from regseg.reporting.markdown import Grid
from regseg.reporting.tables import Row


def has_booktabs():
    """Whether this installation of LaTeX has the package, which minimal ones lack."""
    return subprocess.run(["kpsewhich", "booktabs.sty"], capture_output=True).returncode == 0


def compile_latex(text, folder):
    """Compile ``text`` on A4 if LaTeX is installed; return the log."""
    if not (shutil.which("pdflatex") and shutil.which("kpsewhich") and has_booktabs()):
        return ""
    page = r"\documentclass{article}\usepackage{booktabs}\textwidth 482pt\oddsidemargin 0pt\begin{document}"
    (folder / "a.tex").write_text(f"{page}{text}\\end{{document}}")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "a.tex"]
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout


def row(name, ours, best=False, paper=None):
    return Row(name, ours, [], paper, None, [], "", best, True)


ROWS = [row("a_b & 5%", [75.0, 75.2], paper="75.85"), row("dilation_1_6", [74.0, 74.4, 74.1]), row("c", [])]


def test_csv_holds_every_run():
    lines = list(csv.DictReader(io.StringIO(csv_text("table4", ROWS))))
    assert [line["row"] for line in lines] == ["a_b & 5%", "dilation_1_6", "c"]
    assert lines[0]["runs"] == "75.0000;75.2000" and lines[0]["paper"] == "75.85"
    assert float(lines[1]["best reduced mIoU, %"]) == pytest.approx(74.1667, abs=1e-4) and lines[2]["runs"] == ""


def test_latex_is_escaped_and_the_best_is_bold(tmp_path):
    text, grid = latex_text("table4", ROWS), Grid(["a_b", "IoU, %"], [["x & y", "1.50 ± 0.1"], ["z", "–"]], [1])
    text += grid_latex("table4", "IoU per class, %", grid)
    assert r"a\_b \& 5\% & \textbf{75.10 $\pm$ 0.10} & 2 & 75.85 \\" in text
    assert r"dilation\_1\_6 & 74.17" in text and r"c & -- & 0 & -- \\" in text and text.count("textbf") == 2
    assert r"\caption{Backbone ablation: IoU per class, \%.}" in text and r"\begin{tabular}{lr}" in text
    assert r"a\_b & IoU, \% \\" in text and r"x \& y & 1.50 $\pm$ 0.1 \\" in text and r"\textbf{z} & -- \\" in text
    assert grid_csv(grid) == 'a_b,"IoU, %"\nx & y,1.50 ± 0.1\nz,\n'
    compile_latex(text, tmp_path)


def test_latex_fits_on_a_page_and_no_text_is_an_option(tmp_path):
    """A line that starts with [400, 1600] is no option of the end of the line before it."""
    names = [f"resize_400_1600_crop_768x1536, seed {seed}" for seed in range(5)]
    wide = Grid(["class", *names], [["road", *["97.53"] * 5], ["*", *["1.00"] * 5]])
    sentences = Grid(
        ["difference, points", "text", "FPS (this machine)"],
        [
            [
                "[400, 1600] over [512, 2048], crop 512x1024",
                "better | similar",
                "a sentence of more than thirty characters",
            ]
        ]
        * 2,
    )
    text = grid_latex("table6", "IoU", wide) + grid_latex("table6", "differences", sentences)
    assert text.count("tabular}") == 2 * 4 and text.count("class &") == 3  # two columns of runs each
    assert r"class & \shortstack[r]{resize\_400\_1600\_crop\_768x1536,\\seed 0} &" in text and r"{*} & 1.00" in text
    assert r"{[}400, 1600] over {[}512, 2048], crop 512x1024 & better \textbar{} similar &" in text
    log = compile_latex(text, tmp_path)
    assert "Overfull" not in log


def test_a_group_of_ones_own_is_compared_with_nothing():
    text = latex_text("mine", ROWS)
    assert r"\begin{tabular}{lrr}" in text and "paper" not in text and r"c & -- & 0 \\" in text


def test_latex_says_what_a_row_is_not():
    rows = [
        Row("done", [70.0], [], "78.30", None, [], "", False, True),
        Row("smoke_1", [90.0], [], "75.85", "0.4", [], "not comparable: a smoke test", False, False),
        Row("cut", [], [80.0], None, None, [], "seed 0 interrupted", False, True),
        Row("three", [1.0, 2.0], [], None, None, [], "", True, True),
    ]
    text = latex_text("table4", rows)
    assert r"done & \textbf{70.00} & 1 & 78.30 \\" in text and r"75.85 $\pm$ 0.4" in text  # as printed
    assert (
        r"80.00\rlap{$^\ast$}" in text and r"$^\ast$: training is not finished." in text and text.count("textbf") == 1
    )
    assert r"Not comparable: smoke\_1." in text and "Best run instead of the mean: three." in text
    assert "population standard deviations" in text and "caption{Backbone" in latex_text("table4", rows[:1])


def test_welch_by_hand():
    """Means 1 and 3, variances 1 and 1, three runs each: t = 2.449, four degrees of freedom, p = 0.0705."""
    smoke = row("smoke", [90.0, 91.0])._replace(comparable=False)
    text = significance_markdown([row("low", [0.0, 1.0, 2.0]), row("high", [2.0, 3.0, 4.0]), row("one", [5.0]), smoke])
    assert "- low: -2.00, p = 0.070 (n = 3 and 3)" in text
    assert "high, the tested row with the highest mean;" in text  # "one" is higher, but a single run
    assert "or the best run counts): one, smoke.\n" in text and "little power" in text


def test_where_nothing_can_be_tested():
    for first in (row("a", [1.0]), row("a", [1.0, 2.0], best=True)):
        assert significance_markdown([first, row("b", [2.0, 3.0])]).startswith("No difference between rows can be test")
    assert significance_markdown([row("a", []), row("b", [2.0, 3.0])]) == ""
    assert "cannot be computed" in significance_markdown([row("a", [1.0, 1.0]), row("b", [2.0, 2.0])])
    many = significance_markdown([row("a", [1.0, 1.5, 1.2, 1.1, 1.0]), row("b", [2.0, 2.1, 2.2, 1.9, 2.0])])
    assert "power" not in many and "p < 0.001" in many
