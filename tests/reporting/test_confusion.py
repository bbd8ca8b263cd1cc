"""The picture of a confusion matrix."""

import cv2
import numpy as np
import pytest

from regseg.reporting.confusion import draw_confusion


def size_of(path, names):
    counts = np.eye(len(names), dtype=np.int64) * 100
    draw_confusion(counts, names, path)
    return cv2.imread(str(path)).shape[:2]


@pytest.mark.parametrize("count", [1, 2, 19, 150])
def test_any_number_of_classes_fits(count, tmp_path):
    height, width = size_of(tmp_path / "confusion.png", [f"class {number}" for number in range(count)])
    assert min(height, width) >= 400 and max(height, width) <= 4500


def test_long_names_are_shortened_on_the_axes(tmp_path):
    _, forty = size_of(tmp_path / "a.png", ["x" * 40, "y"])
    _, longer = size_of(tmp_path / "b.png", ["x" * 400, "y"])
    assert abs(longer - forty) <= 2
