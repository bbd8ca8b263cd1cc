import numpy as np
import pytest

from regseg.data.datasets.spec import DatasetSpec
from regseg.inference.drawing import overlay, with_legend

SPEC = DatasetSpec("two", ("ground", "wall", "sky"), ((200, 0, 0), (0, 200, 0), (0, 0, 200)))


def test_an_overlay_mixes_colours_and_leaves_unlabelled_pixels():
    image = np.full((2, 3, 3), 100, np.uint8)
    labels = np.array([[0, 1, 2], [0, 255, 255]], np.uint8)
    drawn = overlay(image, labels, SPEC, opacity=0.25)
    assert drawn[0].tolist() == [[125, 75, 75], [75, 125, 75], [75, 75, 125]]
    assert drawn[1].tolist() == [[125, 75, 75], [100, 100, 100], [100, 100, 100]]
    assert (overlay(image, labels, SPEC, opacity=0.0) == image).all()


@pytest.mark.parametrize("size", [(40, 60), (50, 700), (100, 4000)])
def test_the_legend_shows_the_classes_that_occur(size):
    labels = np.zeros(size, np.uint8)
    labels[:, 10:] = 2
    picture = np.zeros((*size, 3), np.uint8)
    drawn = with_legend(picture, labels, SPEC)
    strip = drawn[size[0] :]
    assert drawn.shape[1] == max(300, size[1]) and (drawn[: size[0], : size[1]] == 0).all()
    found = {tuple(color) for color in strip.reshape(-1, 3).tolist()}
    assert {SPEC.colors[0], SPEC.colors[2]} <= found and SPEC.colors[1] not in found
    assert (strip == 0).all(2).any()  # names
    boxes = (strip == SPEC.colors[0]).all(2)
    scale = max(1, round(size[1] / 1024))
    assert boxes.any(1).sum() == 13 * scale and boxes.any(0).sum() == 17 * scale
