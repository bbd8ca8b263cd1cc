"""`python -m regseg.report`: our runs next to the paper and the author, from run folders alone."""

import html
import re
import shutil

import cv2
import pytest

from regseg.errors import InputError
from regseg.report import group_of, write
from regseg.reporting.pages import page_of
from regseg.run_dir import write_json, write_metrics

SUMMARY, METRICS = "summary.json", "metrics.csv"


def test_the_report_is_written_whole(run_module, runs, tmp_path):
    result = run_module("regseg.report", "table=4", "runs=runs", "out=out")
    assert result.returncode == 0, result.stderr
    text, page = (tmp_path / "out" / "report.md").read_text(), (tmp_path / "out" / "report.html").read_text()
    assert "| dilation_1_14 | 77.10 ± 0.25 | 2 | 75.85 | 75.85 |" in text and "77.10 ± 0.25" in result.stdout
    assert "<li>dilation_1_6, seed 0: after epoch 100, the mean reduced mIoU of the author" in page
    assert page.count("data:image/png;base64,") == 3 and not re.search(r'(src|href)="(?!data:)', page)
    assert (tmp_path / "out" / "table.csv").read_text().startswith("row,")
    assert "\\toprule" in (tmp_path / "out" / "table.tex").read_text()
    for name in ("rows", "curves", "classes"):
        assert cv2.imread(str(tmp_path / "out" / f"{name}.png")).shape[1] > 500


PLAIN = {"weights": "last.ckpt", "dataset": "cityscapes", "split": "val", "flip": False, "scales": [1.0]}


def write_sizes(runs, row, mious, seed=0, **options):
    path = runs / "table6" / f"{row}_seed{seed}"
    path.mkdir(parents=True)
    write_json(path / "summary.json", {"status": "finished", "config": {"run": {"name": row}, "seed": seed}})
    write_metrics(path, [{"epoch": 499, "val/miou": 0.5, "val/miou_reduced": 0.9}])
    how = PLAIN | {"images": 500, "images_of_split": 500} | options
    write_json(path / "val_sizes.json", [{"val_size": s, **how, "metrics": {"val/miou": v}} for s, v in mious.items()])


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
    lines = (tmp_path / "out" / "table.csv").read_text().splitlines()
    assert lines[0] == f'"short side, pixels",{",".join(FIG6)},first minus last'
    assert lines[1:] == ["512,70.00,67.00,+3.00", "1024,74.00,74.00,+0.00"]
    assert r"512 & 70.00 & 67.00 & +3.00 \\" in (tmp_path / "out" / "table.tex").read_text()


def test_fig6_says_which_evaluations_are_not_of_the_last_checkpoint_on_all_images(tmp_path, monkeypatch):
    """They do not count next to others, and their curves are not drawn as if they were the paper's."""
    drawn = []
    monkeypatch.setattr("regseg.reporting.val_sizes.draw", lambda curves, path: drawn.append(list(curves)))
    runs = tmp_path / "my runs"
    write_sizes(runs, FIG6[0], {512: 0.7})
    write_sizes(runs, FIG6[0], {512: 0.9}, seed=1, split="train", images=5, images_of_split=2975)
    write_sizes(runs, FIG6[1], {512: 0.8}, weights="best.ckpt", flip=True)
    text, drawings, _ = page_of("fig6", runs)
    assert f"| short side, pixels | {FIG6[0]} | {FIG6[1]} (not comparable) |" in text
    assert "| 512 | 70.00 | 80.00 |" in text
    assert f"- {FIG6[0]}_seed1: not comparable: evaluated with split=train, 5 of 2975 images; evaluate it" in text
    assert (
        f"- {FIG6[1]}_seed0: not comparable: evaluated with weights=best.ckpt, flip=True; evaluate it again with"
        in text
    )
    assert f"`python -m regseg.evaluate 'weights={runs}/table6/{FIG6[1]}_seed0/checkpoints/last.ckpt' 'val_s" in text
    assert drawings["val_sizes"](tmp_path / "val_sizes.png")
    assert drawn == [[f"{FIG6[0]}_seed0", f"{FIG6[1]}_seed0 (weights=best.ckpt, flip=True)"]]


def test_the_dataset_of_a_smoke_test_is_named_once(tmp_path, monkeypatch):
    """Evaluating it at other sizes would not make it comparable."""
    drawn = []
    monkeypatch.setattr("regseg.reporting.val_sizes.draw", lambda curves, path: drawn.append(list(curves)))
    write_sizes(tmp_path, FIG6[0], {64: 0.7}, dataset="streets", images=4, images_of_split=4)
    config = {"run": {"name": FIG6[0]}, "data": {"dataset": "streets"}, "trainer": {"smoke": True}}
    write_json(tmp_path / "table6" / f"{FIG6[0]}_seed0/summary.json", {"status": "finished", "config": config})
    text, drawings, _ = page_of("fig6", tmp_path)
    assert f"\n- {FIG6[0]}_seed0: not comparable: a smoke test on streets.\n" in text and text.count("seed0:") == 1
    assert drawings["val_sizes"](tmp_path / "val_sizes.png")
    assert drawn == [[f"{FIG6[0]}_seed0 (a smoke test on streets)"]]


def test_fig6_names_what_is_missing(tmp_path):
    runs = tmp_path / "runs"
    with pytest.raises(InputError, match=r"-m experiment=fig6. and evaluate each with .*val_sizes="):
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
    assert "| 512 | 70.00 | – | – |" in text and text.count("val_sizes.json is damaged; create it with") == 5


@pytest.mark.parametrize(
    ("table", "command"),
    [
        ("table10", "-m experiment=table10"),
        ("table8", "`python -m regseg.train -m experiment=table8 weights=FILE`"),
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
    for folder, words in ((tmp_path / "nowhere", "is not a folder"), (empty, f"contains no runs of {table}")):
        with pytest.raises(InputError) as error:
            write(table, folder, out)
        assert words in str(error.value) and command in str(error.value) and str(folder) in str(error.value)
    assert [path.name for path in out.iterdir()] == ["report.md"] and (out / "report.md").read_text() == "earlier"


def test_an_unknown_table_is_one_sentence(run_module, tmp_path):
    write_sizes(tmp_path / "runs" / "mine", "row", {})
    (tmp_path / "runs" / "mine" / "table6").rename(tmp_path / "runs" / "of_mine")
    (tmp_path / "runs" / "begun" / "run_seed0").mkdir(parents=True)  # without any record
    result = run_module("regseg.report", "table=11")
    assert result.returncode == 2 and "table=11 has no runs" in result.stderr
    assert (
        "table10" in result.stderr
        and "of_mine" in result.stderr
        and "begun" not in result.stderr
        and len(result.stderr.strip().splitlines()) == 1
    )


@pytest.mark.parametrize(("table", "group"), [("4", "table4"), ("2024", "2024"), ("fig6", "fig6"), ("mine", "mine")])
def test_a_number_is_a_table_of_the_paper_or_a_group_of_runs(tmp_path, table, group):
    assert group_of(table, tmp_path) == group


def test_a_number_that_names_two_groups_is_ambiguous(runs):
    (runs / "table4").rename(runs / "4")
    assert group_of("4", runs) == "4" and group_of("table4", runs) == "table4"
    shutil.copytree(runs / "4", runs / "table4")
    with pytest.raises(InputError, match=r"table=4 may mean .*table4 or .*4; type table=table4 for the former, or"):
        group_of("4", runs)


def test_another_report_in_the_folder_leaves_nothing_behind(run_module, runs, tmp_path):
    """Not even a table that would be announced as one of the new report; files of others stay."""
    out = tmp_path / "out"
    write("table4", runs, out)
    (out / "mine.csv").write_text("mine")
    assert {"table_classes.csv", "table_classes.tex", "rows.png"} <= {path.name for path in out.iterdir()}
    result = run_module("regseg.report", "table=9", "out=out")
    assert result.returncode == 0, result.stderr
    tables = ["table.csv", "table.tex", "table_differences.csv", "table_differences.tex"]
    pages = ["fig1.png", "fig7.png", "report.html", "report.md"]
    assert sorted(path.name for path in out.iterdir()) == sorted([*tables, *pages, "mine.csv"])
    assert f"tables: {', '.join(tables)}\n" in result.stdout and "STDC2-Seg75" in (out / "table.csv").read_text()


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
