"""A small dataset to time."""

import pytest

from regseg.data.datamodule import SegmentationDataModule


@pytest.fixture(scope="module")
def streets(streets_root):
    options = {"height": 64, "width": 128, "seed": 7, "counts": {"train": 9, "val": 3, "test": 2}}
    return SegmentationDataModule(
        "streets", streets_root, batch_size=2, crop_size=(32, 48), short_side=(32, 96), num_workers=0, options=options
    )
