"""`python -m regseg.report`: ours beside paper and author, from run folders alone."""

import html
import json
import os
import re

import cv2
import pytest

from regseg.data.datasets.cityscapes import SPEC
from regseg.errors import InputError
from regseg.report import write
from regseg.reporting.markdown import at_same_epochs, markdown, runs_markdown
from regseg.reporting.paper_tables import differences_markdown, table8_markdown, table10_markdown
from regseg.reporting.published import author_runs, paper
from regseg.reporting.tables import compare, meet, read_runs
from regseg.run_dir import write_json, write_metrics


def write_run(folder, group, row, seed, offset=0.0, status="finished", until=None, like=0):
    """A run that follows one of the author's curves, ``offset`` points away, up to an epoch."""
    curve = author_runs(group, row)[like]
    of = curve.epochs[-1] + 1
    path = folder / group / f"{row}_seed{seed}"
    path.mkdir(parents=True)
    config = {"seed": seed, "run": {"group": group, "name": row}, "trainer": {"max_epochs": of}}
    write_json(path / "summary.json", {"status": status, "config": config, "best": None, "last": None})
    rows = []
    classes = SPEC.classes if len(curve.iou[0]) == 19 else [f"class {number}" for number in range(11)]
    for epoch in sorted({*curve.epochs, (until or of) - 1}):  # a real run has a row for every epoch
        if epoch >= (until or of):
            break
        iou = dict.fromkeys((f"val/iou/{name}" for name in classes), "")
        means = {"val/miou": "", "val/miou_reduced": ""}
        if epoch in curve.epochs:
            at = curve.epochs.index(epoch)
            values = [min(max(value + offset, 0), 100) / 100 for value in curve.iou[at]]
            iou = dict(zip(iou, values, strict=True))
            kept = [value for index, value in enumerate(values) if index not in (14, 15, 16)]
            means = {"val/miou": sum(values) / len(values), "val/miou_reduced": sum(kept) / len(kept)}
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
    write_run(tmp_path / "runs", "table4", "dilation_1_14", 1, 1.5)
    write_run(tmp_path / "runs", "table4", "dilation_1_6", 0, -1.0, "running", until=101)
    return tmp_path / "runs"


def test_values_by_the_papers_conventions(runs):
    rows = {row.name: row for row in compare("table4", read_runs(runs, "table4"))}
    assert len(rows) == 10 and rows["dilation_1_12"].state == "not run"
    row = rows["dilation_1_14"]
    assert row.value == pytest.approx(75.85 + 1.25, abs=0.01) and row.deviation == pytest.approx(0.25)
    assert (row.paper, len(row.author), row.state) == (75.85, 1, "")
    assert rows["dilation_1_6"].state == "seed 0 interrupted at epoch 101 of 500"
    assert not rows["dilation_1_6"].ours and len(rows["dilation_1_6"].so_far) == 1


def test_a_run_that_is_not_finished_stays_out_of_the_mean(runs):
    write_run(runs, "table4", "dilation_1_14", 2, 1.0, "running", until=60)
    rows = compare("table4", read_runs(runs, "table4"))
    assert rows[0].value == pytest.approx(75.85 + 1.25, abs=0.01) and len(rows[0].so_far) == 1
    text = markdown("table4", rows)
    assert "| dilation_1_14 | 77.10 ± 0.25 | 2 | 75.85 | 75.85 | seed 2 interrupted at epoch 60 of 500 |" in text
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
        offset = {("dilation_1_14", 0): 1, ("dilation_1_14", 1): 1.5, ("dilation_1_6", 0): -1}[run.row, run.curve.seed]
        assert meet("table4", run).iou_difference == pytest.approx([offset] * 19)


def test_ours_is_marked_in_table_9(tmp_path):
    write_run(tmp_path / "runs", "table10", "regseg", 1)
    write_run(tmp_path / "runs", "table10", "regseg", 2, status="running")
    text, _ = write("table9", tmp_path / "runs", tmp_path / "out")
    last = read_runs(tmp_path / "runs", "table10")[0].curve.miou[-1]
    assert f"validation set: {last:.2f} % mIoU" in text
    assert f"| **RegSeg, your runs** | none | {last:.2f} | – | – | 1024x2048 | 3.33 | 39.1 |" in text


def test_the_author_at_the_same_epoch(runs):
    (sentence,) = [s for s in at_same_epochs("table4", read_runs(runs, "table4")) if "dilation_1_6" in s]
    author = author_runs("table4", "dilation_1_6")[0]
    theirs = author.miou_reduced[author.epochs.index(99)]
    assert f"at epoch 99 the author had {theirs:.1f}; you have {theirs - 1:.1f}." in sentence


def test_the_report_is_written_whole(run_module, runs, tmp_path):
    result = run_module("regseg.report", "table=4", "runs=runs", "out=out")
    assert result.returncode == 0, result.stderr
    text, page = (tmp_path / "out" / "report.md").read_text(), (tmp_path / "out" / "report.html").read_text()
    assert "| dilation_1_14 | 77.10 ± 0.25 | 2 | 75.85 | 75.85 |" in text and "77.10 ± 0.25" in result.stdout
    assert "<li>dilation_1_6, seed 0: at epoch 99 the author had" in page
    assert page.count("data:image/png;base64,") == 3 and not re.search(r'(src|href)="(?!data:)', page)
    for name in ("rows", "curves", "classes"):
        assert cv2.imread(str(tmp_path / "out" / f"{name}.png")).shape[1] > 500


def write_sizes(runs, row, mious, seed=0):
    path = runs / "table6" / f"{row}_seed{seed}"
    path.mkdir(parents=True)
    write_json(path / "summary.json", {"status": "finished", "config": {"run": {"name": row}, "seed": seed}})
    write_metrics(path, [{"epoch": 499, "val/miou": 0.5, "val/miou_reduced": 0.9}])
    write_json(path / "val_sizes.json", [{"val_size": s, "metrics": {"val/miou": v}} for s, v in mious.items()])


FIG6 = ("resize_400_1600_crop_768x768", "resize_512_2048_crop_768x768")


def test_fig6_shows_the_miou_of_table_6s_runs(tmp_path):
    runs = tmp_path / "runs"
    write_sizes(runs, FIG6[0], {512: 0.7, 1024: 0.74})
    write_sizes(runs, FIG6[1], {512: 0.68, 1024: 0.73}, seed=0)
    write_sizes(runs, FIG6[1], {512: 0.66, 1024: 0.75}, seed=1)
    write_sizes(runs, "resize_512_2048_crop_1024x1024", {512: 0.1})  # not in the figure
    text, pictures = write("fig6", runs, tmp_path / "out")
    assert "| 512 | 70.00 | 67.00 | +3.00 |\n| 1024 | 74.00 | 74.00 | +0.00 |" in text and "1024x1024" not in text
    assert [path.name for path in pictures] == ["val_sizes.png"] and "not run" not in text


def test_fig6_names_what_is_missing(tmp_path):
    runs = tmp_path / "runs"
    with pytest.raises(InputError, match=r"-m experiment=fig6. and evaluate each by .*val_sizes="):
        write("fig6", runs, tmp_path / "out")
    write_sizes(runs, FIG6[0], {512: 0.7})
    for content in (
        "",
        "[3]",
        "{}",
        '[{"val_size": "x", "metrics": []}]',
        '[{"val_size": 1, "metrics": {"val/miou": 7}}]',
    ):
        write_sizes(runs, FIG6[1], {}, seed=len(content))
        (runs / "table6" / f"{FIG6[1]}_seed{len(content)}" / "val_sizes.json").write_text(content)
    text, _ = write("fig6", runs, tmp_path / "out")
    assert "| 512 | 70.00 | – | – |" in text and text.count("val_sizes.json is damaged; write it by") == 5


def test_table_9_needs_no_runs(tmp_path):
    text, pictures = write("table9", tmp_path / "nowhere", tmp_path / "out")
    assert [path.name for path in pictures] == ["fig1.png", "fig7.png"]
    for line in (  # the first, the last, and one with gaps, as the paper prints them
        "| CAS | IM | 71.6 | 70.5 | 108 | 768x1536 | – | – |",
        "| MSFNet | IM | – | 77.1 | 41 | 1024x2048 | – | 96.8 |",
        "| RegSeg | none | 78.13 ± 0.48 | 78.3 | 30 | 1024x2048 | 3.34 | 39.1 |",
        "| **RegSeg, your runs** | none | – | – | – | 1024x2048 | 3.33 | 39.1 |",
        "| RegSeg over FC-HardNet-70 | 1.5 (Sec. 4.9) | +2.30 | – | – |",
    ):
        assert line in text


def test_table_8_has_the_papers_columns(tmp_path):
    for seed in range(1, 6):
        write_run(tmp_path, "table8", "regseg", seed, 0.1, like=seed - 1)
    rows = compare("table8", read_runs(tmp_path, "table8"))
    text = table8_markdown(rows[0])
    assert "| STDC2-Seg | IM | 73.9 | 152.2 |" in text and "| VideoGCRF | C | 75.2 | – |" in text
    assert "| DDRNet-23 | C | 80.1 ± 0.4 | 94 |" in text and "| **RegSeg, your runs** | C | 81.00 ± 0.07 | – |" in text
    assert "| regseg over DDRNet-23 | 0.8 (Sec. 4.8) | +0.80 | +0.80 | +0.90 |" in differences_markdown("table8", rows)


def test_table_10_has_the_papers_columns_and_computed_ones(tmp_path):
    for seed in (1, 2, 3):
        write_run(tmp_path, "table10", "regseg", seed, like=seed - 1)
    rows = compare("table10", read_runs(tmp_path, "table10"))
    text = table10_markdown(rows)
    assert (
        "| paper, ddrnet23 | 30 | 77.59 ± 0.09 | 20.1 | 143.1 |\n| **ours, ddrnet23** | – | – | 20.15 | 143.7 |" in text
    )
    assert "| paper, regseg | 30 | 78.13 ± 0.48 | 3.34 | 39.1 |" in text
    assert "| **ours, regseg** | – | 78.13 ± 0.48 | 3.33 | 39.1 |" in text
    assert "| regseg over ddrnet23 | 0.5 (Sec. 4.9) | +0.54 | +0.54 | – |" in differences_markdown("table10", rows)


def test_differences_of_the_text(tmp_path):
    """What the paper's text claims follows from its tables and the author's runs; ours from finished runs alone."""
    write_run(tmp_path, "table5", "concat_conv3x3", 0, 1.0)
    write_run(tmp_path, "table5", "sum_conv1x1", 0)
    write_run(tmp_path, "table5", "sum_conv3x3", 0, status="running")
    text = differences_markdown("table5", compare("table5", read_runs(tmp_path, "table5")))
    assert "| regseg over lraspp | 1.0 (Sec. 1) | +0.99 | +0.99 | – |" in text
    assert "(sum\\_conv1x1)" not in text and "1x1 conv (sum_conv1x1) | 0.7 (Sec. 4.5) | +0.69 | +0.69 | +1.69 |" in text
    assert "| the same with sums on both sides | – | +0.82 | +0.82 | – |" in text and "used a sum" in text
    for table in ("table4", "table5", "table8", "table9", "table10"):
        for entry, line in zip(
            paper()[table]["differences"], differences_markdown(table, []).splitlines()[2:], strict=False
        ):
            if isinstance(entry.get("text"), float) and entry["over"] != "FC-HardNet-70":  # where the paper differs
                assert abs(float(line.split("|")[3]) - entry["text"]) < 0.0501, line


def test_the_best_run_of_table_7s_last_row_counts(tmp_path):
    for seed in (1, 2, 3):
        write_run(tmp_path, "table7", "epochs_1000", seed, like=seed - 1)
    text = markdown("table7", compare("table7", read_runs(tmp_path, "table7")))
    assert "| epochs_1000 | 78.29 (best of 77.96, 78.29, 77.92) | 3 | 78.3 (best run) | 77.96, 78.29, 77.92 |" in text
    assert "Of epochs_1000 the best run counts, as in the paper" in text


@pytest.mark.parametrize(
    ("table", "command"),
    [
        ("table10", "-m experiment=table10"),
        ("table8", "-m experiment=table8"),
        ("camvid_table4", "-m experiment=camvid_table4"),
        ("sec4_2", "train experiment=sec4_2"),
        ("fig6", "-m experiment=fig6"),
    ],
)
def test_without_runs_an_earlier_report_stays(tmp_path, table, command):
    out, empty = tmp_path / "out", tmp_path / "empty"
    empty.mkdir()
    out.mkdir()
    (out / "report.md").write_text("earlier")
    for folder, words in ((tmp_path / "nowhere", "is not a folder"), (empty, f"holds no runs of {table}")):
        with pytest.raises(InputError) as error:
            write(table, folder, out)
        assert words in str(error.value) and command in str(error.value) and str(folder) in str(error.value)
    assert [path.name for path in out.iterdir()] == ["report.md"] and (out / "report.md").read_text() == "earlier"


def test_an_unknown_table_is_one_sentence(run_module, tmp_path):
    (tmp_path / "runs" / "mine").mkdir(parents=True)
    result = run_module("regseg.report", "table=11")
    assert result.returncode == 2 and "table=table11 has no runs" in result.stderr
    assert "table10" in result.stderr and "mine" in result.stderr and len(result.stderr.strip().splitlines()) == 1


def test_a_report_that_fails_changes_nothing(runs, tmp_path, monkeypatch):
    def fail(*_):
        raise OSError("disk full")

    out = tmp_path / "out"
    out.mkdir()
    for name in ("report.md", "report.html", "rows.png", "curves.png"):
        (out / name).write_text("earlier")
    monkeypatch.setattr("regseg.reporting.figures.draw_classes", fail)  # the last picture
    with pytest.raises(OSError, match="disk full"):
        write("table4", runs, out)
    assert len(list(out.iterdir())) == 4 and {path.read_text() for path in out.iterdir()} == {"earlier"}
    with pytest.raises(InputError, match="is not a folder"):
        write("table4", runs, out / "report.md")


SUMMARY, METRICS = "summary.json", "metrics.csv"


@pytest.mark.parametrize(
    ("name", "damage", "words"),
    [
        (SUMMARY, lambda text: b"", "summary.json is damaged"),
        (SUMMARY, lambda text: text[: len(text) // 2], "summary.json is damaged"),
        (SUMMARY, lambda text: b"\xff\x00\xfe", "summary.json is damaged"),
        (SUMMARY, lambda text: b"[" * 100_000, "summary.json is damaged"),
        (SUMMARY, lambda text: b"[1]", "summary.json is damaged"),
        (SUMMARY, lambda text: None, "summary.json is missing"),
        (SUMMARY, lambda text: text.replace(b'"max_epochs": 500', b'"max_epochs": "x"'), "config.trainer.max_epochs"),
        (SUMMARY, lambda text: text.replace(b'"seed": 3', b'"seed": [3]'), "config.seed"),
        (SUMMARY, lambda text: text.replace(b'"finished"', b"[]"), "no valid status"),
        (SUMMARY, lambda text: b'{"status": "finished", "config": 3}', "no valid config"),
        (METRICS, lambda text: b"", "metrics.csv is empty"),
        (METRICS, lambda text: None, "metrics.csv is missing"),
        (METRICS, lambda text: text[:-30], "1 of 40 rows of metrics.csv cannot be read"),
        (METRICS, lambda text: text.rstrip(b"\r\n"), "1 of 40 rows of metrics.csv cannot be read"),
        (METRICS, lambda text: text[:-50] + b"\x00" * 50, "1 of 40 rows of metrics.csv cannot be read"),
        (METRICS, lambda text: b"\x00" * 4096, "metrics.csv has no column epoch"),
        (METRICS, lambda text: text.partition(b"\n")[2], "metrics.csv has no column epoch"),
        (METRICS, lambda text: text.replace(b"val/miou_reduced", b"val/mean"), "has no column val/miou_reduced"),
        (METRICS, lambda text: text.replace(b"\n24,0.", b"\n24,7."), "1 of 40 rows of metrics.csv cannot be read"),
        (METRICS, lambda text: text.replace(b"\n24,", b"\nx,"), "1 of 40 rows of metrics.csv cannot be read"),
        (METRICS, lambda text: b'"' + b"x" * 200_000, "metrics.csv is damaged"),
    ],
)
def test_a_damaged_run_is_listed_and_does_not_count(runs, name, damage, words):
    write_run(runs, "table4", "dilation_1_14", 3, 1.7)
    path = runs / "table4" / "dilation_1_14_seed3" / name
    if (damaged := damage(path.read_bytes())) is None:
        path.unlink()
    else:
        path.write_bytes(damaged)
    row = compare("table4", read_runs(runs, "table4"))[0]
    assert row.value == pytest.approx(75.85 + 1.25, abs=0.01) and len(row.ours) == 2
    assert row.state.startswith("dilation_1_14_seed3 (") and words in row.state


def test_damaged_runs_are_reported_whole(runs, tmp_path):
    """All of them at once, with a folder for a file, a FIFO and a configuration that is no YAML."""
    for seed, name in ((3, SUMMARY), (4, METRICS)):
        write_run(runs, "table4", "dilation_1_14", seed)
        path = runs / "table4" / f"dilation_1_14_seed{seed}" / name
        path.unlink()
        path.mkdir() if seed == 3 else os.mkfifo(path)
    write_run(runs, "table4", "regnety_600mf", 0)
    (runs / "table4" / "regnety_600mf_seed0" / "config.yaml").write_bytes(b"\x00: [")
    text, pictures = write("table4", runs, tmp_path / "out")
    assert text.count("is damaged:") == 2 and len(pictures) == 3 and "| regnety_600mf | 73.25 | 1 |" in text


STRANGE = ["a|b", "<b>bold</b>", "[x](y)", "*é* `日本`", "$x^", "a\\b", "_under_", "&amp;", "1. #~~s~~"]


def test_strange_names_come_out_whole(tmp_path):
    """Of classes and rows: the HTML's text is the names themselves, the Markdown one row per class."""
    path = tmp_path / "own" / "x_seed0"
    path.mkdir(parents=True)
    name = " ".join(STRANGE)
    config = {"seed": 0, "run": {"name": name + "\n\ud800"}}  # half a character, as JSON may hold it
    write_json(path / SUMMARY, {"status": "finished", "config": config})
    classes = {f"val/iou/{name}": 0.5 for name in STRANGE}
    write_metrics(path, [{"epoch": 0, "val/miou": 0.5, "val/miou_reduced": "", **classes}])
    text, pictures = write("own", tmp_path, tmp_path / "out")
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    cells = [html.unescape(cell) for cell in re.findall(r"<td>(.*?)</td>", page)]
    assert [cell for cell in cells if cell in STRANGE] == STRANGE and f"{name} ?" in cells and len(pictures) == 3
    rows = [line for line in text.splitlines() if line.endswith("| 50.00 |") and "seed" not in line]
    assert all(len(re.findall(r"(?<!\\)\|", row)) == 3 for row in rows[-len(STRANGE) :])


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
