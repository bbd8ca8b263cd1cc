"""Every printed value of Tables 3 to 8 and 10 follows from the author's runs, to the last printed digit."""

import statistics
from decimal import ROUND_HALF_UP, Decimal

import pytest

from regseg.reporting.csv_and_latex import csv_text, latex_text
from regseg.reporting.markdown import markdown
from regseg.reporting.paper_tables import columns_grid
from regseg.reporting.published import author_runs, paper
from regseg.reporting.tables import compare

TABLES = ["table4", "table5", "table6", "table7", "table8", "table10"]
ROWS = {"table4": 10, "table5": 8, "table6": 7, "table7": 4, "table8": 1, "table10": 2}


def printed(value, like):
    """``value`` with as many digits as ``like`` was printed with."""
    digits = Decimal(like).as_tuple().exponent
    return str(Decimal(str(round(value, 6))).quantize(Decimal(1).scaleb(digits), ROUND_HALF_UP))


def figures(table, row):
    content = paper()[table]
    values = [run.value(content["metric"]) for run in author_runs(table, row)]
    best = row in content.get("best_of_runs", ())
    return (max(values) if best else statistics.mean(values)), statistics.pstdev(values)


@pytest.mark.parametrize(("table", "row"), [(t, r) for t in TABLES for r in paper()[t]["rows"]])
def test_printed_values(table, row):
    mean, deviation = figures(table, row)
    like = paper()[table]["rows"][row]
    if (table, row) == ("table4", "dilation_1_4_8_12"):  # the known misprint
        assert like == "75.17" and printed(mean, like) == "75.27"
        return
    assert printed(mean, like) == like
    if "deviations" in paper()[table]:
        spread = paper()[table]["deviations"][row]
        assert printed(deviation, spread) == spread


def test_table_3():
    runs = author_runs("table3", "dilation_1_6_12_18")
    for run, row in zip(runs, paper()["table3"]["runs"], strict=True):
        last = run.iou[-1]
        values = [*(last[index] for index in (14, 15, 16)), run.value("last/miou"), run.value("last/miou_reduced")]
        assert [printed(value, "0.01") for value in values] == row


def test_rows_are_the_papers():
    assert {table: len(paper()[table]["rows"]) for table in TABLES} == ROWS
    assert len(author_runs("table3", "dilation_1_6_12_18")) == 4
    assert [len(author_runs("table10", row)) for row in ("ddrnet23", "regseg")] == [3, 3]
    assert len(author_runs("table8", "regseg")) == 5 and len(author_runs("table7", "epochs_1000")) == 3
    assert sum(len(author_runs(t, r)) for t in paper() if t != "table9" for r in paper()[t]["rows"]) == 46


# The columns of the paper's tables, copied with all their digits; - where it prints nothing.
COLUMNS = {
    "table4": "75.85 75.75 75.69 75.58 75.54 75.53 75.45 75.44 75.17 73.25",
    "table5": "75.84 75.75 75.70 75.62 74.93 74.85 74.80 74.68",
    "table6": "76.25 76.15 76.10 75.82 75.78 75.17 75.03",
    "table7": "76.70 77.16 77.55 78.3",
    "table8": "80.9±0.07",
    "table10": "77.59±0.09 78.13±0.48",
}
METHODS = {
    ("table8", "miou"): "73.9 72.8 71.2 70.4 73.8 75.4 78.4 72.6 75.2 76.7 78.5 79.1 80.1±0.4 80.9±0.07",
    ("table8", "fps"): "152.2 153.1 169 134 36 91 38.0 25.0 - 124 33 - 94 70",
    ("table9", "val"): "71.6 - 73.1 72.4 72.36 - 75.0 75.8 76.9 - 76.2 76.6 77.7 77.0 - - 79.1±0.3 78.13±0.48",
    ("table9", "miou"): "70.5 71.3 71.5 71.8 72.6 74.3 74.9 75.3 75.3 75.5 75.8 75.9 76.0 76.8 77.1 77.8 79.4 78.3",
    ("table9", "fps"): "108 100 163.9 108.4 - 83.2 47.6 47.3 56.3 39.9 36.9 76.5 53 97.0 41 53 37.1 30",
    ("table9", "parameters"): "- 7.8 4.4 - 1.51 - - 4.59 - 11.8 10.3 2.64 4.12 16.1 - 17.9 20.1 3.34",
    ("table9", "gflops"): "- 3.4 28.2 - 9.74 - - 139 - 104 8.4 12 35.6 54.9 96.8 80.4 143.1 39.1",
    ("table10", "miou"): "77.59±0.09 78.13±0.48",
    ("table10", "parameters"): "20.1 3.34",
    ("table10", "gflops"): "143.1 39.1",
}


@pytest.mark.parametrize("table", COLUMNS)
def test_values_are_shown_as_the_paper_prints_them(table):
    """In Markdown, CSV and LaTeX alike: 75.70 is not 75.7, and 78.3 is not 78.30."""
    texts = COLUMNS[table].split()
    rows = compare(table, [])
    lines = markdown(table, rows).splitlines()[2 : 2 + len(rows)]
    shown = [line.split(" | ")[3].removesuffix(" (best run)").replace(" ", "") for line in lines]
    latex = [line for line in latex_text(table, rows).splitlines() if line.count(" & ") == 3][1:]
    assert shown == texts
    assert [line.split(" & ")[3].removesuffix(r" \\").replace(r" $\pm$ ", "±") for line in latex] == texts
    cells = [line.split(",")[4:6] for line in csv_text(table, rows).splitlines()[1:]]
    assert ["±".join(filter(None, cell)) for cell in cells] == texts


@pytest.mark.parametrize(("table", "key"), METHODS)
def test_figures_of_methods_are_shown_as_the_paper_prints_them(table, key, tmp_path, monkeypatch):
    monkeypatch.setattr("regseg.reporting.paper_tables.network_cost", lambda name: ("", ""))  # takes seconds
    grid, place = columns_grid(table, tmp_path), 1 + list(paper()[table]["columns"]).index(key)
    shown = [row[place] for number, row in enumerate(grid.rows) if number not in grid.ours]
    assert [text.replace(" ", "").replace("–", "-") for text in shown] == METHODS[table, key].split()
