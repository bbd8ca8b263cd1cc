"""Rows of a table: which runs count, and next to which values."""

import pytest
from run_folders import write_run

from regseg.reporting.csv_and_latex import csv_text, latex_text, significance_markdown
from regseg.reporting.markdown import at_same_epochs, markdown
from regseg.reporting.tables import common_epoch, compare, counted, read_runs


def test_values_by_the_papers_conventions(runs):
    rows = {row.name: row for row in compare("table4", read_runs(runs, "table4"))}
    assert len(rows) == 10 and rows["dilation_1_12"].state == "not run"
    row = rows["dilation_1_14"]
    assert row.value == pytest.approx(75.85 + 1.25, abs=0.01) and row.deviation == pytest.approx(0.25)
    assert (row.paper, len(row.author), row.state) == ("75.85", 1, "")
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


CITYSCAPES = {"dataset": "cityscapes", "train_split": "train", "val_split": "val", "val_size": 1024}


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({}, ""),
        ({"data": CITYSCAPES, "trainer": {"max_epochs": 500, "limit_val_batches": 1.0}}, ""),
        ({"data": {"dataset": "streets"}, "trainer": {"max_epochs": 2, "smoke": True}}, "a smoke test on streets"),
        ({"data": CITYSCAPES | {"dataset": "camvid", "val_size": 360}}, "on camvid"),
        ({"data": CITYSCAPES | {"val_size": 512}}, "val_size=512 instead of 1024"),
        ({"data": CITYSCAPES | {"val_size": None}}, "val_size=null instead of 1024"),
        ({"data": CITYSCAPES | {"train_split": "trainval"}}, "train_split=trainval instead of train"),
        ({"trainer": {"max_epochs": 50}}, "50 epochs instead of 500"),
        ({"until": 100}, "100 epochs instead of 500"),  # by early stopping or trainer.max_time
        ({"until": 100, "status": "interrupted"}, ""),  # it may still be continued
        ({"trainer": {"limit_val_batches": 1}}, "limit_val_batches=1"),
        (
            {"data": {"val_split": "test"}, "trainer": {"max_epochs": 50}},
            "50 epochs instead of 500 and val_split=test instead of val",
        ),
    ],
)
def test_why_a_run_is_not_comparable(tmp_path, options, reason):
    write_run(tmp_path, "table4", "dilation_1_14", 0, **options)
    runs = read_runs(tmp_path, "table4")
    assert runs[0].mismatch == reason and bool(at_same_epochs("table4", runs)) == (not reason)
    (row, *_) = compare("table4", runs)
    assert row.comparable == (not reason)
    assert not reason or (row.state == f"not comparable: {reason}" and len(row.values) == 1)


@pytest.mark.parametrize("group", ["table4", "mine"])
def test_smoke_tests_do_not_count_next_to_real_runs(tmp_path, group):
    """In no group: neither in means and figures nor in the test of significance."""
    for row in ("dilation_1_14", "dilation_1_12"):
        write_run(tmp_path, "table4", row, 0, 2.0)
        for seed in (1, 2):
            write_run(tmp_path, "table4", row, seed, -70.0 - seed, trainer={"smoke": True, "max_epochs": 1}, until=1)
    write_run(tmp_path, "table4", "dilation_1_6", 1, trainer={"smoke": True})
    write_run(tmp_path, "table4", "dilation_1_6", 2, trainer={"smoke": True})
    (tmp_path / "table4").rename(tmp_path / group)
    runs = read_runs(tmp_path, group)
    (real,) = [run for run in counted(runs) if run.row == "dilation_1_14"]
    rows = {row.name: row for row in compare(group, runs)}
    row, smoke = rows["dilation_1_14"], rows["dilation_1_6"]
    assert row.ours == [real.curve.value("best/miou_reduced" if group == "table4" else "last/miou")]
    assert row.comparable and row.deviation is None and row.state == "seed 1 and 2 not counted: a smoke test"
    assert not smoke.comparable and len(smoke.ours) == 2 and smoke.state == "not comparable: a smoke test"
    latex, best = latex_text(group, list(rows.values())), max(row.value, rows["dilation_1_12"].value)
    assert latex.count("textbf") == 1 and f"textbf{{{best:.2f}}}" in latex
    assert r"Not comparable: dilation\_1\_6." in latex
    assert significance_markdown(list(rows.values())).startswith("No difference between rows can be tested")
    assert ",not comparable: a smoke test\n" in csv_text(group, list(rows.values()))


def test_a_comparable_run_counts_from_its_first_score(tmp_path):
    write_run(tmp_path, "table4", "dilation_1_14", 0, trainer={"max_epochs": 50})
    write_run(tmp_path, "table4", "dilation_1_14", 1, status="interrupted", until=60)
    (row, *_) = compare("table4", read_runs(tmp_path, "table4"))
    assert not row.ours and len(row.unfinished) == 1 and row.comparable
    assert row.state == "seed 1 interrupted at epoch 60 of 500; seed 0 not counted: 50 epochs instead of 500"
    (tmp_path / "table4" / "dilation_1_14_seed1" / "metrics.csv").unlink()
    (row, *_) = compare("table4", read_runs(tmp_path, "table4"))
    assert len(row.ours) == 1 and not row.comparable
    assert row.state == "seed 1 interrupted at epoch 0 of 500; seed 0 not comparable: 50 epochs instead of 500"
