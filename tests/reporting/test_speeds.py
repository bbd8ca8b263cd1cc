"""Speeds of this machine next to the paper's, from the file of the benchmark."""

import json

import pytest

from regseg.errors import InputError
from regseg.reporting.markdown import table as markdown_table
from regseg.reporting.paper_tables import columns_grid
from regseg.reporting.speeds import read_speeds

FLAT = {
    "machine": "Some CPU | 2 threads",
    "results": [
        {"network": "regseg", "runtime": "torch", "precision": "f32", "size": [1024, 2048], "images_per_s": 1.5},
        {"network": "regseg", "runtime": "openvino", "precision": "bf16", "size": [1024, 2048], "images_per_s": 3.25},
        {"network": "regseg", "runtime": "openvino", "precision": "int8", "size": [720, 960], "images_per_s": 10.0},
        {"network": "regseg", "size": "wrong"},
        "damaged",
    ],
}
BY_TITLE = {
    "dilation_1_14 + regseg": {
        "machine": "Some CPU",
        "results": [{"size": [1024, 2048], "way": "torch bf16", "median_ms": 500.0, "images_per_s": 2.0}],
    }
}


@pytest.mark.parametrize(
    ("content", "table", "words"),
    [
        (FLAT, "table9", ["FPS (this machine: Some CPU \\| 2 threads)", "3.2 (openvino bf16) |"]),
        (FLAT, "table8", ["10.0 (openvino int8) |"]),
        (FLAT, "table10", ["3.2 (openvino bf16) |"]),
        (BY_TITLE, "table9", ["FPS (this machine: Some CPU)", "2.0 (torch bf16) |"]),
        (BY_TITLE, "table8", ["FPS (this machine: Some CPU)"]),
    ],
)
def test_speeds_stand_next_to_the_papers(tmp_path, content, table, words):
    path = tmp_path / "inference.json"
    path.write_text(json.dumps(content))
    text = markdown_table(columns_grid(table, tmp_path, read_speeds(path)))
    assert all(word in text for word in words), text
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert len({line.replace("\\|", "").count("|") for line in rows}) == 1
    assert "this machine" not in markdown_table(columns_grid(table, tmp_path))


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"results": 3}', '{"a": {"results": [{"size": [1, 2, 3]}]}}'])
def test_a_file_without_speeds_is_one_sentence(tmp_path, monkeypatch, content):
    path = tmp_path / "x.json"
    path.write_text(content)
    with pytest.raises(InputError, match=r"contains no speeds .*networks=all"):
        read_speeds(path)
    monkeypatch.chdir(tmp_path)
    assert read_speeds(None) is None


@pytest.mark.parametrize("speed", [10**400, float("inf"), float("nan"), -3, True, "9"])
def test_speeds_that_no_machine_has_are_not_read(tmp_path, speed):
    row = {"network": "regseg", "size": [1024, 2048], "images_per_s": speed}
    (tmp_path / "x.json").write_text(json.dumps({"machine": "m", "results": [row]}))
    assert read_speeds(tmp_path / "x.json").fastest == {}
