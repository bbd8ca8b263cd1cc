"""Which images of an evaluation are the worst."""

from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch

from regseg.data.datasets.cityscapes import SPEC
from regseg.errors import InputError
from regseg.training.worst_images import WorstImages, mean_iou


def test_mean_iou_of_one_image():
    label = np.array([[0, 0, 1, 255]], np.uint8)
    prediction = np.array([[0, 1, 1, 7]], np.uint8)
    assert mean_iou(label, prediction, 19) == pytest.approx((1 / 2 + 1 / 2) / 2)
    assert mean_iou(label, np.array([[0, 0, 3, 7]], np.uint8), 19) == pytest.approx((1 + 0 + 0) / 3)
    assert mean_iou(np.full((2, 2), 255, np.uint8), np.zeros((2, 2), np.uint8), 19) is None


def test_the_worst_are_kept_in_order(tmp_path):
    worst, module = WorstImages(2, tmp_path / "out"), SimpleNamespace(spec=SPEC)
    label = torch.zeros(1, 8, 8, dtype=torch.uint8)
    for number, wrong in enumerate([3, 60, 10, 0]):
        prediction = torch.zeros(64, dtype=torch.int64)
        prediction[:wrong] = 1
        batch = {"image": torch.zeros(1, 8, 8, 3, dtype=torch.uint8), "label": label, "name": [f'a/"{number}".png']}
        worst.on_validation_batch_end(None, module, {"prediction": prediction.view(1, 8, 8)}, batch, number)
    ignored = {"image": batch["image"], "label": label + 255, "name": ["ignored.png"]}
    worst.on_validation_batch_end(None, module, {"prediction": prediction.view(1, 8, 8)}, ignored, 4)
    worst.on_validation_end(SimpleNamespace(is_global_zero=True), module)
    assert (tmp_path / "out/worst.csv").read_text().splitlines() == [
        "miou,image",
        f'{(4 / 64) / 2:.6f},"a/""1"".png"',
        f'{(54 / 64) / 2:.6f},"a/""2"".png"',
    ]
    assert cv2.imread(str(tmp_path / "out/worst.png")).shape[1] == 3 * 480 + 8
    with pytest.raises(InputError, match="worst"):
        WorstImages(0, tmp_path)
