"""The pictures of a report."""

import warnings

import cv2
import pytest

from regseg.reporting import figures, plots
from regseg.reporting.published import Curve, paper
from regseg.reporting.tables import Row, Run


def run(row, *mious, classes=("a", "b"), mismatch=""):
    iou = [[miou] * len(classes) for miou in mious]
    curve = Curve(0, range(len(mious)), mious, mious, iou)
    return Run(row, "finished", len(mious) - 1, len(mious), curve, classes, mismatch, "", None)


def test_rows_that_are_not_comparable_are_marked(tmp_path, drawn):
    """The picture may be copied without the table that says so."""
    rows = [Row(str(fits), [70.0], [], "75.0", None, [], "", False, fits) for fits in (True, False)]
    assert figures.draw_rows("table4", rows, tmp_path / "rows.png")
    labels = [text.get_text() for text in drawn[0].legends[0].get_texts()]
    assert labels == ["ours", "ours, not comparable", "paper"]
    faces = [bar.lines[0].get_markerfacecolor() for bar in drawn[0].axes[0].containers]
    assert faces == [plots.OURS, "white"]


def test_a_smoke_test_does_not_hide_differences_of_tenths(tmp_path, drawn):
    rows = [
        Row("a", [75.1, 75.3], [], "75.85", None, [75.6], "", False, True),
        Row("smoke", [2.0], [], "75.5", None, [], "", False, False),
        Row("cut", [], [60.0, 90.0], "75.4", None, [], "", False, True),
    ]
    assert figures.draw_rows("table4", rows, tmp_path / "rows.png")
    axes = drawn[0].axes[0]
    low, high = axes.get_xlim()
    assert 74.8 < low < 75.1 and 75.85 < high < 76.15
    assert [(text.get_position()[1], text.get_text()) for text in axes.texts] == [
        (1, "◂ 2.0"),
        (2, "◂ 60.0"),
        (2, "90.0 ▸"),
    ]
    assert figures.draw_rows("mine", [rows[1]._replace(paper=None)], tmp_path / "rows.png")  # nothing is comparable
    low, high = drawn[1].axes[0].get_xlim()
    assert low < 2 < high and not drawn[1].axes[0].texts


def test_values_at_the_edge_cover_no_dots(tmp_path, drawn):
    """With one row, its values at the edge are at the height of its dots."""
    rows = [Row("a", [0.8, 0.2, 0.1, 0.4, 0.3], [99.1, 99.5], "80.9", None, [80.84, 80.86, 81.05], "", False, False)]
    assert figures.draw_rows("table8", rows, tmp_path / "rows.png")
    drawn[0].draw_without_rendering()
    axes = drawn[0].axes[0]
    assert [text.get_text() for text in axes.texts] == ["◂ 0.1 to 0.8", "99.1, 99.5 ▸"]
    inside = [line for line in axes.lines if len(line.get_xdata()) and 80 < line.get_xdata()[0] < 82]
    dots = [line.get_window_extent() for line in inside]
    assert len(dots) == 2 and not any(text.get_window_extent().count_overlaps(dots) for text in axes.texts)


@pytest.mark.parametrize("rows", [1, 3])
def test_the_legend_fits_into_the_picture(rows, tmp_path, drawn):
    unfinished = run("a", 3.0, 4.0, mismatch="a smoke test")._replace(status="running")
    names = list(paper()["table4"]["rows"])[:rows]
    runs = [unfinished._replace(row=name) for name in names] + [run(names[0], 50.0)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(figures, "paper", dict)  # only the rows of the runs
        assert figures.draw_curves("table4", runs, tmp_path / "curves.png")
    box = drawn[0].legends[0].get_window_extent()
    assert len(drawn[0].legends[0].get_texts()) == 4 and box.x0 >= 0 and box.x1 <= drawn[0].bbox.width


@pytest.mark.parametrize("key", ["parameters", "gflops"])
def test_names_of_dots_cover_neither_each_other_nor_dots(key, tmp_path, drawn):
    assert figures.draw_trade_off(paper()["table9"], key, key, ("ours", 78.1), tmp_path / "fig.png")
    drawn[0].draw_without_rendering()  # extents are those of the resolution at which it was written
    axes = drawn[0].axes[0]
    names = [text.get_window_extent() for text in axes.texts]
    dots = [line.get_window_extent() for line in axes.lines if line.get_marker() == "o"]  # a star's corners are empty
    assert len(names) > 10 and len(dots) == len(names)
    assert all(not box.count_overlaps([*names[:place], *dots]) for place, box in enumerate(names))


def test_differences_below_a_point_remain_pale(tmp_path, drawn):
    runs = [run("a", 50.0, 60.0), run("b", 50.0, 60.1)]
    assert figures.draw_classes("mine", runs, tmp_path / "classes.png")
    assert drawn[0].axes[0].images[0].get_clim() == (-1, 1)


def test_learning_curves_show_the_first_evaluation(tmp_path, drawn):
    assert figures.draw_curves("mine", [run("row", 3.0, 50.0, 60.0)], tmp_path / "curves.png")
    bottom, top = drawn[0].axes[0].get_ylim()
    assert bottom < 3 and top > 60


def test_runs_that_are_not_comparable_are_dashed_and_not_in_differences_of_classes(tmp_path, drawn, monkeypatch):
    shown = []
    monkeypatch.setattr(figures, "_draw_heatmap", lambda values, rows, *_, **__: shown.append((rows, values)))
    runs = [run("a", 50.0, 60.0), run("b", 1.0, 2.0, mismatch="a smoke test")]
    assert figures.draw_curves("mine", runs, tmp_path / "curves.png")
    assert [line.get_linestyle() for axes in drawn[0].axes for line in axes.lines if len(line.get_xdata())] == [
        "-",
        "--",
    ]
    labels = [text.get_text() for text in drawn[0].legends[0].get_texts()]
    assert labels == ["ours", "ours, not comparable"]
    assert figures.draw_classes("mine", runs, tmp_path / "c.png") and figures.draw_classes("mine", runs[1:], tmp_path)
    assert shown == [(["a"], [[60.0, 60.0]]), (["b"], [[2.0, 2.0]])]


def test_names_without_glyphs_are_drawn_without_a_warning(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert figures.draw_classes("mine", [run("行", 30.0, classes=("道路", "空"))], tmp_path / "classes.png")
    assert cv2.imread(str(tmp_path / "classes.png")) is not None


def test_nothing_to_draw(tmp_path):
    assert not figures.draw_rows("mine", [], tmp_path / "rows.png")
    assert not figures.draw_curves("mine", [], tmp_path / "curves.png")
    assert not figures.draw_classes("mine", [run("row")], tmp_path / "classes.png")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("count", [1, 10, 19, 150])
def test_any_number_of_classes_is_drawn_legibly(count, tmp_path, drawn):
    """Panels below each other, instead of a picture that is many times as wide as a page."""
    classes = tuple(f"{'a very long name of a class ' * 3}{number}" for number in range(count))
    assert figures.draw_classes(
        "mine", [run("a", 30.0, classes=classes), run("b", 31.0, classes=classes)], tmp_path / "c.png"
    )
    height, width = cv2.imread(str(tmp_path / "c.png")).shape[:2]
    assert 700 <= width <= 2000 and height <= 6000
    panels = [axes for axes in drawn[0].axes if axes.images]
    assert sum(axes.images[0].get_array().shape[1] for axes in panels) == count
    assert all(len(label.get_text()) <= 40 for axes in panels for label in axes.get_xticklabels())


def test_a_single_row_shows_its_iou_and_several_show_differences(tmp_path, monkeypatch):
    titles = []
    monkeypatch.setattr(
        figures, "_draw_heatmap", lambda values, rows, columns, title, path, **_: titles.append((title, values))
    )
    figures.draw_classes("mine", [run("a", 30.0)], tmp_path / "c.png")
    figures.draw_classes("mine", [run("a", 30.0), run("b", 32.0)], tmp_path / "c.png")
    assert titles == [
        ("IoU, %", [[30.0, 30.0]]),
        ("IoU minus the mean of all rows, points", [[-1.0, -1.0], [1.0, 1.0]]),
    ]
