"""Images of a few pixels and file names of any bytes, from the file to the batch."""

import os

import numpy as np
import pytest
from layouts import SIZE, noise, write, write_folder

from regseg.data.datamodule import SegmentationDataModule

AUGMENT = {"randaug": {}, "jitter": {"brightness": 0.3, "contrast": 0.4, "saturation": 0.5}}


@pytest.mark.parametrize("size", [(1, 1), (3, 500), (500, 3), (2, 1)])
@pytest.mark.parametrize("kind", ["full", "half", "cache"])
def test_images_of_a_few_pixels(tmp_path, size, kind):
    root = write_folder(tmp_path, ())
    for split in ("train", "val"):
        for number in range(2):
            write(root / f"images/{split}/{number}.png", noise(number, size))
            write(root / f"labels/{split}/{number}.png", np.full(size, number, np.uint8))
    datamodule = SegmentationDataModule(
        "folder", root, batch_size=2, crop_size=(16, 24), short_side=(1, 40), val_size=5, num_workers=0,
        augment=AUGMENT, class_uniform=1.0, storage=kind,
    )  # fmt: skip
    datamodule.setup("fit")
    for epoch in range(8):
        loader = datamodule.train_dataloader()
        loader.sampler.set_epoch(epoch)
        for batch in loader:
            assert batch["image"].shape == (2, 16, 24, 3) and set(batch["label"].unique().tolist()) <= {0, 1, 255}
    batches = list(datamodule.val_dataloader())
    assert [min(batch["image"].shape[1:3]) for batch in batches] == [5, 5]
    assert [tuple(batch["label"].shape) for batch in batches] == [(1, *size)] * 2


@pytest.mark.parametrize("name", [b"caf\xe9", "Straße №1".encode()])
@pytest.mark.parametrize("kind", ["full", "half", "cache"])
def test_names_of_any_bytes(tmp_path, name, kind):
    folder = tmp_path / os.fsdecode(name)
    try:
        root = write_folder(folder, (("train", 2), ("val", 1)))
    except OSError:
        pytest.skip("this file system refuses such names")
    for number in (0, 1):  # each image has the only pixels of a class, so that each is drawn once
        write(root / f"labels/train/{number}.png", np.full(SIZE, number, np.uint8))
    for part in ("images", "labels"):
        (root / part / "train/0.png").rename(root / part / "train" / (os.fsdecode(name) + ".png"))
    datamodule = SegmentationDataModule(
        "folder", root, batch_size=2, crop_size=(8, 8), short_side=(20, 20), num_workers=1, class_uniform=1.0,
        storage=kind,
    )  # fmt: skip
    datamodule.setup("fit")
    (batch,) = datamodule.train_dataloader()
    assert sum(os.fsencode(path).endswith(name + b".png") for path in batch["name"]) == 1
    assert all(os.path.isfile(path) for path in batch["name"])
