"""Rows of a table: which runs count, and next to which values."""

import json

import pytest
from run_folders import write_run

from regseg.reporting.markdown import at_same_epochs, markdown
from regseg.reporting.tables import common_epoch, compare, read_runs
from regseg.run_dir import write_json


def test_values_by_the_papers_conventions(runs):
    rows = {row.name: row for row in compare("table4", read_runs(runs, "table4"))}
    assert len(rows) == 10 and rows["dilation_1_12"].state == "not run"
    row = rows["dilation_1_14"]
    assert row.value == pytest.approx(75.85 + 1.25, abs=0.01) and row.deviation == pytest.approx(0.25)
    assert (row.paper, len(row.author), row.state) == (75.85, 1, "")
    assert rows["dilation_1_6"].state == "seed 0 interrupted at epoch 101 of 500"
    assert not rows["dilation_1_6"].ours and len(rows["dilation_1_6"].unfinished) == 1


def test_a_run_that_is_not_finished_stays_out_of_the_mean(runs):
    write_run(runs, "table4", "dilation_1_14", 2, 1.0, "running", until=60)
    rows = compare("table4", read_runs(runs, "table4"))
    assert rows[0].value == pytest.approx(75.85 + 1.25, abs=0.01) and len(rows[0].unfinished) == 1
    text = markdown("table4", rows)
    assert "| dilation_1_14 | 77.10 ± 0.25 | 2 | 75.85 | 75.85 | seed 2 interrupted at epoch 60 of 500 |" in text
    assert "so far | 1 | 75.53" in text


def test_rows_come_in_the_papers_order(runs):
    write_run(runs, "table4", "regnety_600mf", 0)
    write_run(runs, "table4", "dilation_1_10", 0)
    names = [run.row for run in read_runs(runs, "table4")]
    assert names == ["dilation_1_14", "dilation_1_14", "dilation_1_10", "dilation_1_6", "regnety_600mf"]


def test_classes_are_compared_at_the_same_epoch(runs):
    for run in read_runs(runs, "table4"):
        offset = {("dilation_1_14", 0): 1, ("dilation_1_14", 1): 1.5, ("dilation_1_6", 0): -1}[run.row, run.curve.seed]
        assert common_epoch("table4", run).iou_difference == pytest.approx([offset] * 19)


def test_a_smoke_run_on_streets_is_not_comparable(tmp_path):
    write_run(tmp_path, "table4", "dilation_1_14", 0, until=30)
    summary = tmp_path / "table4" / "dilation_1_14_seed0" / "summary.json"
    content = json.loads(summary.read_text())
    content["config"] |= {"data": {"dataset": "streets"}, "trainer": {"max_epochs": 30, "smoke": True}}
    write_json(summary, content)
    runs = read_runs(tmp_path, "table4")
    assert compare("table4", runs)[0].state == "not comparable: a smoke test on streets"
    assert at_same_epochs("table4", runs) == []
