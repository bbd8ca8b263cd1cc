"""Every printed value of Tables 3 to 8 and 10 follows from the author's runs, to the last printed digit."""

import statistics
from decimal import ROUND_HALF_UP, Decimal

import pytest

from regseg.reporting.published import author_runs, paper

TABLES = ["table4", "table5", "table6", "table7", "table8", "table10"]
ROWS = {"table4": 10, "table5": 8, "table6": 7, "table7": 4, "table8": 1, "table10": 2}


def printed(value, like):
    """``value`` with as many digits as ``like`` was printed with."""
    digits = Decimal(str(like)).as_tuple().exponent
    return float(Decimal(str(round(value, 6))).quantize(Decimal(1).scaleb(digits), ROUND_HALF_UP))


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
        assert like == 75.17 and printed(mean, like) == 75.27
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
        assert [printed(value, 0.01) for value in values] == row


def test_rows_are_the_papers():
    assert {table: len(paper()[table]["rows"]) for table in TABLES} == ROWS
    assert len(author_runs("table3", "dilation_1_6_12_18")) == 4
    assert [len(author_runs("table10", row)) for row in ("ddrnet23", "regseg")] == [3, 3]
    assert len(author_runs("table8", "regseg")) == 5 and len(author_runs("table7", "epochs_1000")) == 3
    assert sum(len(author_runs(t, r)) for t in paper() if t != "table9" for r in paper()[t]["rows"]) == 46
