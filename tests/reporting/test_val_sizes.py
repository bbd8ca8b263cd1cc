"""mIoU over evaluation sizes."""

import json

import pytest

from regseg.reporting.val_sizes import deviation, draw, means_by_size, read, sizes_table


def results(**mious):
    return [{"val_size": int(size[1:]), "metrics": {"val/miou": miou}} for size, miou in mious.items()]


def test_means_over_runs():
    assert means_by_size([results(s512=0.5, s256=0.3), results(s512=0.7)]) == pytest.approx({256: 30.0, 512: 60.0})


def test_sizes_without_scores_are_skipped(tmp_path):
    (tmp_path / "val_sizes.json").write_text(json.dumps(results(s64=None, s128=0.5)))
    assert read(tmp_path) == (results(s128=0.5), "")
    (tmp_path / "val_sizes.json").write_text(json.dumps(results(s64=None)))
    assert read(tmp_path) == ([], "val_sizes.json has no scores")
    assert read(tmp_path / "nowhere") == ([], "val_sizes.json is missing")


@pytest.mark.parametrize("reduced", [True, False])
def test_reduced_miou_is_printed_where_classes_are_excluded(reduced, capsys):
    metrics = {"val/miou": 0.5, "val/miou_reduced": 0.25, "val/accuracy": 0.75}
    sizes_table([{"val_size": 64, "metrics": metrics}], reduced=reduced)
    printed = capsys.readouterr().out
    assert "50.00" in printed and "75.00" in printed and "┃ mIoU % ┃" in printed
    assert ("reduced" in printed) == ("25.00" in printed) == reduced


@pytest.mark.parametrize("size", [0, -5, 10**400, 512.0, True, None])
def test_sizes_that_no_image_has_are_damage(tmp_path, size):
    (tmp_path / "val_sizes.json").write_text(json.dumps([{"val_size": size, "metrics": {"val/miou": 0.5}}]))
    assert read(tmp_path) == ([], "val_sizes.json is damaged")


PLAIN = {"weights": "last.ckpt", "dataset": "cityscapes", "split": "val", "flip": False, "scales": [1.0]}
PLAIN |= {"images": 500, "images_of_split": 500}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, ""),
        ({"weights": "best.ckpt"}, "weights=best.ckpt"),
        ({"split": "train", "images": 2975, "images_of_split": 2975}, "split=train"),
        ({"flip": True, "scales": [0.75, 1.0]}, "flip=True, scales=[0.75, 1.0]"),
        ({"images": 5}, "5 of 500 images"),
        ({"dataset": "streets"}, "dataset=streets"),
        ({"split": ["x"]}, "split=['x']"),  # an edited file
    ],
)
def test_how_an_evaluation_differs(options, words):
    entry = results(s512=0.5)[0] | PLAIN
    data = {"dataset": "cityscapes", "val_split": "val"}
    assert deviation([entry, entry | options], data) == words
    assert deviation([entry | {"split": "test", "dataset": "mine"}], {}) == ""  # of a custom group
    assert deviation(results(s512=0.5), data) == "options that are not recorded"


@pytest.mark.parametrize("count", [1, 14])
def test_the_legend_covers_no_curve(count, tmp_path, drawn):
    remark = "not comparable: split=train, 5 of 500 images"
    curves = {f"resize_400_1600_crop_768x768_seed{n} ({remark})": results(s512=0.5, s1024=0.6) for n in range(count)}
    draw(curves, tmp_path / "val_sizes.png")
    drawn[0].draw_without_rendering()
    (axes,), (legend,) = drawn[0].axes, drawn[0].legends
    assert axes.get_legend() is None and axes.bbox.height > 200
    assert not legend.get_window_extent().overlaps(axes.bbox)
