"""The tables of a report as Markdown."""

from run_folders import write_run

from regseg.reporting.markdown import Grid, at_same_epochs, classes_grid, markdown, metrics_grid, runs_grid, table
from regseg.reporting.published import Curve, author_runs
from regseg.reporting.tables import Run, compare, read_runs


def without(text, column):
    """The rows of a CSV file with a column emptied, as it is for a class that is absent."""
    header, *rows = [line.split(",") for line in text.splitlines()]
    place = header.index(column)
    emptied = [[*row[:place], "", *row[place + 1 :]] for row in rows]
    return "".join(",".join(row) + "\n" for row in [header, *emptied])


def test_table_3_is_printed_run_by_run(tmp_path):
    """The paper's four lines, to their last digit, and its point: the reduced mean deviates a tenth as much."""
    for seed in range(2):
        write_run(tmp_path, "table3", "dilation_1_6_12_18", seed, 0.5 * seed)
    lines = table(runs_grid("table3", read_runs(tmp_path, "table3"))).splitlines()
    assert "| paper, run 1 | 68.11 | 73.55 | 35.77 | 72.71 | 75.26 |" in lines
    assert "| paper, standard deviation | 3.34 | 2.95 | 13.76 | 1.01 | 0.11 |" in lines
    assert "| ours, seed 0 | 68.11 | 73.55 | 35.77 | 72.71 | 75.26 |" in lines  # it follows the author's first run
    assert "| ours, standard deviation | 0.25 | 0.25 | 0.25 | 0.25 | 0.25 |" in lines
    assert not runs_grid("table4", []).rows


def test_an_absent_class_is_not_a_number(tmp_path):
    for seed in range(2):
        write_run(tmp_path, "table3", "dilation_1_6_12_18", seed)
        path = tmp_path / "table3" / f"dilation_1_6_12_18_seed{seed}" / "metrics.csv"
        path.write_text(without(path.read_text(), "val/iou/train"))
    text = table(runs_grid("table3", read_runs(tmp_path, "table3")))
    assert "| ours, seed 0 | 68.11 | 73.55 | absent |" in text
    assert "| ours, standard deviation | 0.00 | 0.00 | – |" in text


def test_mious_and_reduced_mious_of_every_row(tmp_path):
    """In Table 7, they rank the two random resizes differently; the last row is that of the best run."""
    for seed in (1, 2, 3):
        write_run(tmp_path, "table7", "epochs_1000", seed, like=seed - 1)
    lines = table(metrics_grid("table7", read_runs(tmp_path, "table7"))).splitlines()
    ours = ["best mIoU", "best reduced", "last mIoU", "last reduced"]
    names = ["row", *(f"{whose}: {name}" for whose in ("ours", "author") for name in ours)]
    assert lines[0] == f"| {' | '.join(names)} |"
    assert "| resize_512_2048 | – | – | – | – | 77.20 | 76.70 | 76.62 | 76.59 |" in lines
    assert "| resize_400_1600 | – | – | – | – | 76.84 | 77.16 | 76.54 | 77.00 |" in lines
    assert lines[-1] == "| epochs_1000 | 78.85 | 78.29 | 78.80 | 78.18 | 78.85 | 78.29 | 78.80 | 78.18 |"


def test_reduced_mious_only_of_datasets_that_exclude_classes(tmp_path):
    assert metrics_grid("table8", []).headings == ["row", "author: best mIoU", "author: last mIoU"]
    for seed in range(2):
        write_run(tmp_path, "table4", "dilation_1_14", seed, seed)
    (tmp_path / "table4").rename(tmp_path / "mine")
    grid = metrics_grid("mine", read_runs(tmp_path, "mine"))
    assert grid.headings == ["row", "ours: best mIoU", "ours: best reduced", "ours: last mIoU", "ours: last reduced"]
    assert grid.rows[0][2] == "76.35 ± 0.50"  # of 75.85 and 76.85
    assert not metrics_grid("mine", []).rows


def test_the_author_at_the_same_epoch(runs):
    (sentence,) = [s for s in at_same_epochs("table4", read_runs(runs, "table4")) if "dilation_1_6" in s]
    author = author_runs("table4", "dilation_1_6")[0]
    theirs = author.miou_reduced[author.epochs.index(99)]
    assert (
        f"after epoch 100, the mean reduced mIoU of the author's runs is {theirs:.1f} %; yours is {theirs - 1:.1f} %."
        in sentence
    )


def test_the_best_run_of_table_7s_last_row_counts(tmp_path):
    for seed in (1, 2, 3):
        write_run(tmp_path, "table7", "epochs_1000", seed, like=seed - 1)
    text = markdown("table7", compare("table7", read_runs(tmp_path, "table7")))
    assert "| epochs_1000 | 78.29 (best of 77.96, 78.29, 77.92) | 3 | 78.3 (best run) | 77.96, 78.29, 77.92 |" in text
    assert "For epochs_1000, the value is that of the best run, as in the paper" in text
    assert "tends to be higher" not in text
    write_run(tmp_path, "table7", "epochs_1000", 4)
    text = markdown("table7", compare("table7", read_runs(tmp_path, "table7")))
    assert "ours is the best of 4 runs, but the paper's the best of 3; the best of more runs tends to be" in text


def test_many_runs_are_divided_into_tables_that_fit_on_paper():
    curve = Curve(0, [0], [50.0], [50.0], [[50.0]])
    runs = [Run(f"r{n}", "finished", 0, 1, curve, ("a",), "", "", None) for n in range(12)]
    first, second = table(classes_grid(runs)).split("\n\n")
    assert first.startswith("| class | r0, seed 0 |") and first.splitlines()[0].count("seed") == 10
    assert second.splitlines()[0] == "| class | r10, seed 0 | r11, seed 0 |"


def test_columns_of_numbers_are_aligned_to_the_right():
    rows = [["x", "1.5 ± 0.2", "–", ""], ["y", "-12", "absent", "late"]]
    lines = table(Grid(["a", "b", "c", "d"], rows)).splitlines()
    assert lines[1] == "| --- | ---: | ---: | --- |"


def test_a_group_of_ones_own_is_compared_with_nothing(tmp_path):
    write_run(tmp_path, "table4", "dilation_1_14", 0)
    (tmp_path / "table4").rename(tmp_path / "mine")
    text = markdown("mine", compare("mine", read_runs(tmp_path, "mine")))
    assert text.splitlines()[0] == "| row | ours: last mIoU, % | seeds | state |"


def test_a_deviation_is_explained(tmp_path):
    for seed in range(2):
        write_run(tmp_path, "table4", "dilation_1_14", seed, 0.5 * seed)
        text = markdown("table4", compare("table4", read_runs(tmp_path, "table4")))
        assert ("± is the population standard deviation" in text) == (seed == 1)
