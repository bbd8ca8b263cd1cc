"""The content of a report: what each kind of page contains."""

from pathlib import Path

from run_folders import write_run

from regseg.reporting.pages import page_of, sizes_command


def test_a_table_of_runs_has_its_sections_and_tables(tmp_path):
    write_run(tmp_path, "table4", "dilation_1_14", 0)
    text, drawings, tables = page_of("table4", tmp_path)
    assert text.startswith("# table4: Backbone ablation\n")
    for heading in (
        "Differences stated in the paper's text",
        "IoU per class at the last evaluation, %",
        "At the same epochs",
    ):
        assert f"\n## {heading}\n" in text
    assert set(drawings) == {"rows", "curves", "classes", "val_sizes"} and set(tables) == {"table.csv", "table.tex"}


def test_without_runs_there_is_no_page(tmp_path):
    assert page_of("table4", tmp_path) is None and page_of("mine", tmp_path) is None
    assert page_of("fig6", tmp_path) is None


def test_a_table_of_methods_needs_no_runs(tmp_path):
    text, drawings, tables = page_of("table9", tmp_path)
    assert "RegSeg" in text and "The star" not in text and tables == {} and drawings


def test_a_custom_group_has_its_name_as_heading(tmp_path):
    write_run(tmp_path, "table4", "dilation_1_14", 0)
    (tmp_path / "table4").rename(tmp_path / "my_group")
    text, drawings, _ = page_of("my_group", tmp_path)
    assert text.startswith("# my_group\n") and "At the same epochs" not in text and "rows" in drawings


def test_the_command_for_several_sizes_names_the_last_checkpoint():
    command = sizes_command(Path("runs/table6/row_seed0"))
    assert "weights=runs/table6/row_seed0/checkpoints/last.ckpt 'val_sizes=[512," in command
