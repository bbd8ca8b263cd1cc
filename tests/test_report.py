"""`python -m regseg.report`: ours beside paper and author, from run folders alone."""

import json
import re

import cv2
import pytest

from regseg.analysis.published import author_runs
from regseg.analysis.tables import at_same_epochs, compare, markdown, meet, read_runs, runs_markdown
from regseg.data.cityscapes import SPEC
from regseg.report import write
from regseg.runs import write_json, write_metrics


def write_run(folder, group, row, seed, offset=0.0, status="finished", until=500):
    """A run that follows the author's curve, ``offset`` points away, up to an epoch."""
    curve = author_runs(group, row)[0]
    path = folder / group / f"{row}_seed{seed}"
    path.mkdir(parents=True)
    config = {"seed": seed, "run": {"group": group, "name": row}, "trainer": {"max_epochs": 500}}
    write_json(path / "summary.json", {"status": status, "config": config, "best": None, "last": None})
    rows = []
    for epoch in range(0, min(until, 500)):
        iou = dict.fromkeys((f"val/iou/{name}" for name in SPEC.classes), "")
        means = {"val/miou": "", "val/miou_reduced": ""}
        if epoch in curve.epochs:
            at = curve.epochs.index(epoch)
            values = [(value + offset) / 100 for value in curve.iou[at]]
            iou = dict(zip(iou, values, strict=True))
            kept = [value for index, value in enumerate(values) if index not in (14, 15, 16)]
            means = {"val/miou": sum(values) / 19, "val/miou_reduced": sum(kept) / 16}
        rows.append({"epoch": epoch, **means, **iou})
    write_metrics(path, rows)


def without(table, column):
    """The rows of a CSV file with a column emptied, as it is for a class that is absent."""
    header, *rows = [line.split(",") for line in table.splitlines()]
    place = header.index(column)
    emptied = [[*row[:place], "", *row[place + 1 :]] for row in rows]
    return "".join(",".join(row) + "\n" for row in [header, *emptied])


@pytest.fixture
def runs(tmp_path):
    write_run(tmp_path / "runs", "table4", "dilation_1_14", 0, 1.0)
    write_run(tmp_path / "runs", "table4", "dilation_1_14", 1, 2.0)
    write_run(tmp_path / "runs", "table4", "dilation_1_6", 0, -1.0, "running", until=101)
    return tmp_path / "runs"


def test_values_by_the_papers_conventions(runs):
    rows = {row.name: row for row in compare("table4", read_runs(runs, "table4"))}
    assert len(rows) == 10 and rows["dilation_1_12"].state == "not run"
    row = rows["dilation_1_14"]
    assert row.mean == pytest.approx(75.85 + 1.5, abs=0.01) and row.deviation == pytest.approx(0.5)
    assert (row.paper, len(row.author), row.state) == (75.85, 1, "")
    assert rows["dilation_1_6"].state == "seed 0 running at epoch 101 of 500"
    assert not rows["dilation_1_6"].ours and len(rows["dilation_1_6"].so_far) == 1


def test_a_run_that_is_not_finished_stays_out_of_the_mean(runs):
    write_run(runs, "table4", "dilation_1_14", 2, 1.0, "running", until=60)
    rows = compare("table4", read_runs(runs, "table4"))
    assert rows[0].mean == pytest.approx(75.85 + 1.5, abs=0.01) and len(rows[0].so_far) == 1
    text = markdown("table4", rows)
    assert "| dilation_1_14 | 77.35 ± 0.50 | 2 | 75.85 | 75.85 | seed 2 running at epoch 60 of 500 |" in text
    assert "so far | 1 | 75.53" in text


def test_rows_come_in_the_papers_order(runs):
    write_run(runs, "table4", "regnety_600mf", 0)
    write_run(runs, "table4", "dilation_1_10", 0)
    names = [run.row for run in read_runs(runs, "table4")]
    assert names == ["dilation_1_14", "dilation_1_14", "dilation_1_10", "dilation_1_6", "regnety_600mf"]


def test_table_3_is_told_run_by_run(tmp_path):
    """The paper's four lines, to their last digit, and its point: the reduced mean deviates a tenth as much."""
    for seed in range(2):
        write_run(tmp_path, "table3", "dilation_1_6_12_18", seed, 0.5 * seed)
    lines = runs_markdown("table3", read_runs(tmp_path, "table3")).splitlines()
    assert "| paper, run 1 | 68.11 | 73.55 | 35.77 | 72.71 | 75.26 |" in lines
    assert "| paper, standard deviation | 3.34 | 2.95 | 13.76 | 1.01 | 0.11 |" in lines
    assert "| ours, seed 0 | 68.11 | 73.55 | 35.77 | 72.71 | 75.26 |" in lines  # it follows the author's first run
    assert "| ours, standard deviation | 0.25 | 0.25 | 0.25 | 0.25 | 0.25 |" in lines
    assert runs_markdown("table4", []) == ""


def test_an_absent_class_is_no_number(tmp_path):
    for seed in range(2):
        write_run(tmp_path, "table3", "dilation_1_6_12_18", seed)
        path = tmp_path / "table3" / f"dilation_1_6_12_18_seed{seed}" / "metrics.csv"
        path.write_text(without(path.read_text(), "val/iou/train"))
    text = runs_markdown("table3", read_runs(tmp_path, "table3"))
    assert "| ours, seed 0 | 68.11 | 73.55 | absent |" in text
    assert "| ours, standard deviation | 0.00 | 0.00 | absent |" in text


def test_classes_are_compared_at_the_same_epoch(runs):
    for run in read_runs(runs, "table4"):
        offset = {("dilation_1_14", 0): 1, ("dilation_1_14", 1): 2, ("dilation_1_6", 0): -1}[run.row, run.curve.seed]
        assert meet("table4", run).iou_difference == pytest.approx([offset] * 19)


def test_ours_is_marked_beside_table_9(run_module, tmp_path):
    write_run(tmp_path / "runs", "table10", "regseg", 1)
    result = run_module("regseg.report", "table=9")
    last = read_runs(tmp_path / "runs", "table10")[0].curve.miou[-1]
    assert f"validation set: {last:.2f} % mIoU" in result.stdout


def test_the_author_at_the_same_epoch(runs):
    (sentence,) = [s for s in at_same_epochs("table4", read_runs(runs, "table4")) if "dilation_1_6" in s]
    author = author_runs("table4", "dilation_1_6")[0]
    theirs = author.miou_reduced[author.epochs.index(99)]
    assert f"at epoch 99 the author had {theirs:.1f}; you have {theirs - 1:.1f}." in sentence


def test_the_report_is_written_whole(run_module, runs, tmp_path):
    result = run_module("regseg.report", "table=4", "runs=runs", "out=out")
    assert result.returncode == 0, result.stderr
    text, page = (tmp_path / "out" / "report.md").read_text(), (tmp_path / "out" / "report.html").read_text()
    assert "| dilation_1_14 | 77.35 ± 0.50 | 2 | 75.85 | 75.85 |" in text and "77.35 ± 0.50" in result.stdout
    assert "<li>dilation_1_6, seed 0: at epoch 99 the author had" in page
    assert page.count("data:image/png;base64,") == 3 and not re.search(r'(src|href)="(?!data:)', page)
    for name in ("rows", "curves", "classes"):
        assert cv2.imread(str(tmp_path / "out" / f"{name}.png")).shape[1] > 500


def test_sizes_are_drawn_where_they_were_evaluated(run_module, tmp_path):
    for row in ("resize_400_1600", "resize_512_2048"):
        path = tmp_path / "runs" / "fig6" / f"{row}_seed0"
        path.mkdir(parents=True)
        write_json(path / "summary.json", {"status": "finished", "config": {"run": {"name": row}, "seed": 0}})
        sizes = [{"val_size": size, "metrics": {"val/miou": size / 2000}} for size in (512, 1024)]
        (path / "val_sizes.json").write_text(json.dumps(sizes))
    result = run_module("regseg.report", "table=fig6")
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "reports" / "fig6" / "val_sizes.png").exists()


@pytest.mark.parametrize(("table", "pictures"), [("3", 2), ("10", 4), ("9", 2)])
def test_without_runs_paper_and_author_are_shown(run_module, tmp_path, table, pictures):
    result = run_module("regseg.report", f"table={table}")
    assert result.returncode == 0, result.stderr
    assert len(list((tmp_path / "reports" / f"table{table}").glob("*.png"))) == pictures
    assert table == "9" or f"python -m regseg.train -m experiment=table{table}" in result.stdout


def test_an_unknown_table_is_told_of(run_module):
    result = run_module("regseg.report", "table=11")
    assert result.returncode == 2 and "table=table11 has no runs" in result.stderr and "table10" in result.stderr


def test_runs_without_evaluations_or_with_other_classes_do_no_harm(tmp_path):
    path = tmp_path / "table3" / "dilation_1_6_12_18_seed0"
    path.mkdir(parents=True)
    config = {"seed": 0, "run": {"name": "dilation_1_6_12_18"}, "trainer": {"max_epochs": 1}}
    write_json(path / "summary.json", {"status": "finished", "config": config})
    other = tmp_path / "table3" / "dilation_1_6_12_18_seed1"
    other.mkdir()
    write_json(other / "summary.json", {"status": "finished", "config": config | {"seed": 1}})
    row = {"epoch": 499, "val/miou": 0.5, "val/miou_reduced": 0.5, "val/iou/road": 0.4, "val/iou/car": 0.6}
    write_metrics(other, [row])
    text, _ = write("table3", tmp_path, tmp_path / "out")
    assert "ours, seed" not in text and "the author had" not in text


def test_a_smoke_run_on_streets_is_not_held_against_the_author(tmp_path):
    write_run(tmp_path, "table4", "dilation_1_14", 0, until=30)
    summary = tmp_path / "table4" / "dilation_1_14_seed0" / "summary.json"
    content = json.loads(summary.read_text())
    content["config"] |= {"data": {"dataset": "streets"}, "trainer": {"max_epochs": 30, "smoke": True}}
    write_json(summary, content)
    runs = read_runs(tmp_path, "table4")
    assert compare("table4", runs)[0].state == "not comparable: a smoke test on streets"
    assert at_same_epochs("table4", runs) == []
