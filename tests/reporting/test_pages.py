"""The content of a report: what each kind of page contains."""

from pathlib import Path

import pytest
from run_folders import write_run

from regseg.reporting.pages import files_of_pages, page_of, sizes_command


def test_a_table_of_runs_has_its_sections_and_tables(tmp_path):
    write_run(tmp_path, "table4", "dilation_1_14", 0)
    text, drawings, tables = page_of("table4", tmp_path)
    assert text.startswith("# table4: Backbone ablation\n")
    for heading in (
        "Best and last evaluation, %",
        "Differences stated in the paper's text",
        "IoU per class at the last evaluation, %",
        "At the same epochs",
    ):
        assert f"\n## {heading}\n" in text
    assert set(drawings) == {"rows", "curves", "classes", "val_sizes"}
    names = ["table", "table_metrics", "table_differences", "table_classes"]
    assert set(tables) == {f"{name}.{suffix}" for name in names for suffix in ("csv", "tex")}
    assert {*tables, *(f"{name}.png" for name in drawings)} <= files_of_pages()
    assert tables["table_classes.csv"].startswith('class,"dilation_1_14, seed 0"\nroad,')
    assert r"\caption{Backbone ablation: IoU per class at the last evaluation, \%.}" in tables["table_classes.tex"]


@pytest.mark.parametrize(
    ("table", "row", "name", "heading", "line"),
    [
        ("table3", "dilation_1_6_12_18", "table_runs", "run,truck,bus,train,", '\n"paper, run 1",68.11,73.55,35.77,'),
        ("table8", "regseg", "table_columns", "method,extra data,", "\nDDRNet-23,C,80.1 ± 0.4,94\n"),
        ("table9", None, "table", "method,extra data,", "\nHMSeg,none,,74.3,83.2,768x1536,,\n"),
        ("table10", "regseg", "table_columns", "method,FPS,", "\nddrnet23,30,77.59 ± 0.09,20.1,143.1\n"),
    ],
)
def test_every_table_of_a_page_is_a_file(tmp_path, table, row, name, heading, line):
    if row:
        write_run(tmp_path, table, row, 1)
    _, drawings, tables = page_of(table, tmp_path)
    text, latex = tables[f"{name}.csv"], tables[f"{name}.tex"]
    assert text.startswith(heading) and line in text, text
    assert text.count("\n") == latex.count(" \\\\\n") and latex.count(r"\toprule") == 1
    assert "table.csv" in tables and "table.tex" in tables
    assert {*tables, *(f"{name}.png" for name in drawings)} <= files_of_pages()


def test_without_runs_there_is_no_page(tmp_path):
    assert page_of("table4", tmp_path) is None and page_of("mine", tmp_path) is None
    assert page_of("fig6", tmp_path) is None


def test_a_table_of_methods_needs_no_runs(tmp_path):
    text, drawings, tables = page_of("table9", tmp_path)
    assert "RegSeg" in text and "The star" not in text and drawings
    assert set(tables) == {f"{name}.{kind}" for name in ("table", "table_differences") for kind in ("csv", "tex")}


def test_a_custom_group_has_its_name_as_heading(tmp_path):
    write_run(tmp_path, "table4", "dilation_1_14", 0)
    (tmp_path / "table4").rename(tmp_path / "my_group")
    text, drawings, _ = page_of("my_group", tmp_path)
    assert text.startswith("# my_group\n") and "At the same epochs" not in text and "rows" in drawings


def test_the_command_for_several_sizes_names_the_last_checkpoint():
    command = sizes_command(Path("runs/table6/row_seed0"))
    assert "weights=runs/table6/row_seed0/checkpoints/last.ckpt 'val_sizes=[512," in command
    command = sizes_command(Path("my runs/table6/row_seed0"))
    assert "'weights=my runs/table6/row_seed0/checkpoints/last.ckpt' 'val_sizes=[512," in command
