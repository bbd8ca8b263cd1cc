"""The comparison of resampling kernels."""

import numpy as np
import pytest

from regseg.benchmarks.resizing import _share_change, compare_kernels, kernels_table
from regseg.data.datamodule import SegmentationDataModule


def test_our_kernels_are_close_to_pillows(streets_root):
    options = {"height": 64, "width": 128, "seed": 7, "counts": {"train": 9, "val": 3, "test": 2}}
    datamodule = SegmentationDataModule("streets", streets_root, num_workers=0, batch_size=1, options=options)
    datamodule.setup("fit")
    kernels = {kernel.name: kernel for kernel in compare_kernels(datamodule, 2)}
    assert kernels["image, Pillow bilinear"].difference == 0
    assert kernels["image, ours"].difference < 0.5 and kernels["label, ours"].difference < 1
    assert len(list(kernels_table(kernels.values()).columns[0].cells)) == 6


def test_the_change_of_a_classs_share():
    label = np.zeros((10, 10), np.uint8)
    label[:, :5] = 1
    small = np.zeros((2, 2), np.uint8)
    assert _share_change(label, label) == 0
    assert _share_change(label, small) == pytest.approx(1)  # class 1 is gone
