"""The contact sheet of training crops."""

import numpy as np

from regseg.data.datasets.cityscapes import SPEC
from regseg.data.datasets.spec import IGNORE_INDEX
from regseg.dataset_tools.preview import GAP, WIDTH, contact_sheet


def test_crops_stand_side_by_side_with_their_labels():
    image = np.full((32, 32, 3), 90, np.uint8)
    label = np.zeros((32, 32), np.uint8)
    sheet = contact_sheet([(image, label)] * 4, SPEC)
    assert sheet.shape[1] == 3 * (WIDTH + GAP) and sheet.dtype == np.uint8
    assert (sheet[10, 10] == 90).all()  # the crop itself
    overlaid = sheet[10, WIDTH // 2 + 10]
    assert np.abs(overlaid - (0.45 * 90 + 0.55 * np.array(SPEC.colors[0]))).max() < 1
    assert (sheet[WIDTH // 2 + GAP + 10, -10] == 255).all()  # the second line has one crop


def test_ignored_pixels_are_hatched():
    image, label = np.full((32, 32, 3), 90, np.uint8), np.full((32, 32), IGNORE_INDEX, np.uint8)
    cell = contact_sheet([(image, label)], SPEC)[: WIDTH // 2, WIDTH // 2 : WIDTH]
    assert set(np.unique(cell)) == {40, 255}
