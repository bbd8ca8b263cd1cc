"""Records of runs that are missing, truncated, damaged or edited."""

import os

import pytest
from run_folders import write_run

from regseg.report import write
from regseg.reporting.tables import compare, read_runs
from regseg.run_dir import write_json, write_metrics

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
    assert "ours, seed" not in text and "the author's runs is" not in text
