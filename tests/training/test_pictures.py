"""Pictures of predictions next to images and labels."""

import numpy as np
import pytest

from regseg.data.datasets.cityscapes import SPEC
from regseg.data.datasets.spec import DatasetSpec, distinct_colors
from regseg.training.pictures import prediction_grid


def test_prediction_grid_shows_image_label_and_prediction():
    image = np.full((32, 64, 3), 200, np.uint8)
    label = np.zeros((32, 64), np.uint8)
    label[:16] = 255
    grid = prediction_grid([(image, label, np.full((32, 64), 13, np.uint8))], SPEC)
    colors = {tuple(color) for color in grid.reshape(-1, 3).tolist()}
    assert {(200, 200, 200), SPEC.colors[0], SPEC.colors[13], (0, 0, 0)} <= colors
    assert grid.dtype == np.uint8 and grid.shape[1] == 3 * 480 + 8


@pytest.mark.parametrize("count", [1, 2, 254])
@pytest.mark.parametrize("shape", [(1, 1), (1, 3000), (3000, 1), (3, 2)])
def test_prediction_grid_of_any_size_and_number_of_classes(shape, count):
    names = tuple(f"class {number} " + "long" * (number % 9) for number in range(count))
    spec = DatasetSpec("own", names, distinct_colors(count))
    image, label = np.zeros((*shape, 3), np.uint8), np.full(shape, 255, np.uint8)
    grid = prediction_grid([(image, label, np.full(shape, count - 1, np.uint8))], spec)
    assert grid.shape[1] == 3 * 480 + 8 and grid.shape[0] < 4000
