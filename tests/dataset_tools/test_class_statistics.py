"""How often training sees each class."""

import csv

import numpy as np
import pytest
from layouts import write_folder

from regseg.data.datamodule import SegmentationDataModule
from regseg.dataset_tools.class_statistics import _use_log_if_wide, measure, report


@pytest.fixture
def mine(tmp_path):
    root = write_folder(tmp_path / "mine")
    datamodule = SegmentationDataModule(
        "folder", root, batch_size=2, crop_size=(8, 8), short_side=(24, 24), num_workers=0
    )
    datamodule.setup("fit")
    return datamodule


def test_shares_are_of_the_labelled_pixels(mine):
    files, plain, uniform = measure(mine, 0.5)
    labels = [mine.spec.decode(np.array(_read(sample.label)), sample.label) for sample in mine.train_set.samples]
    counts = np.array([[(label == index).sum() for index in range(2)] for label in labels]).sum(0)
    assert files == pytest.approx(counts / counts.sum())
    for frequencies in (plain, uniform):
        assert frequencies.pixels.sum() == pytest.approx(1) and (frequencies.crops <= 1).all()


def _read(path):
    from PIL import Image

    with Image.open(path) as image:
        return image.copy()


def test_the_report_is_a_table_and_a_picture(mine, tmp_path, capsys):
    report(mine, tmp_path / "out")
    with open(tmp_path / "out" / "class_frequencies.csv", newline="", encoding="utf-8") as file:
        header, *rows = csv.reader(file)
    assert header[:2] == ["class", "pixels in files"] and [row[0] for row in rows] == ["ground", "wall"]
    assert sum(float(row[1]) for row in rows) == pytest.approx(1, abs=1e-5)
    assert (tmp_path / "out" / "class_frequencies.png").stat().st_size > 5000
    assert "class_frequencies.csv" in capsys.readouterr().out


@pytest.mark.parametrize(("share", "too_few"), [(0.1, True), (0.9, False)])
def test_too_few_images_for_class_uniform_crops_are_named(mine, tmp_path, capsys, share, too_few):
    mine.class_uniform = share
    report(mine, tmp_path / "out")
    assert ("images are too few for class-uniform crops of 2 classes" in capsys.readouterr().out) == too_few


@pytest.mark.parametrize(("shares", "scale"), [((0.49, 0.51), "linear"), ((0.9, 0.05, 0), "log")])
def test_the_axis_is_logarithmic_only_if_the_classes_differ_much(shares, scale):
    """On a logarithmic axis without a zero, 49 % and 51 % would look like a rare and a frequent class."""
    from matplotlib.figure import Figure

    axes = Figure().add_subplot()
    axes.barh(range(len(shares)), shares)
    _use_log_if_wide(axes, np.array(shares))
    assert axes.get_xscale() == scale and axes.get_xlim()[0] == pytest.approx(0.01 if scale == "log" else 0)
