"""The dataset of synthetic street scenes."""

import pytest
import torch
from layouts import files, is_sentence
from omegaconf import OmegaConf

from regseg.data.datamodule import SegmentationDataModule
from regseg.data.datasets.streets import Streets, only_read
from regseg.data.sampling.epochs import CropRequest
from regseg.errors import InputError
from regseg.evaluate import make_datamodule
from regseg.streets import write_streets

SMALL = {"height": 32, "width": 64, "counts": {"train": 3, "val": 2, "test": 1}}
SIZES = {"batch_size": 2, "crop_size": [20, 28], "short_side": [16, 40], "num_workers": 0}


def test_streets_are_created_on_first_use(tmp_path, capsys):
    options = {"height": 32, "width": 64, "counts": {"train": 2, "val": 1, "test": 0}}
    for printed in (True, False):
        datamodule = SegmentationDataModule("streets", tmp_path / "streets", **SIZES, options=options)
        datamodule.setup("fit")
        assert ("Creating 3 street scenes" in capsys.readouterr().out) == printed
    assert len(datamodule.train_set) == 2 and datamodule.spec.name == "streets"
    assert datamodule.train_set[CropRequest(0, 0)]["image"].shape == (20, 28, 3)


def test_a_read_only_dataset_creates_nothing(tmp_path):
    """For example, a dataset from a checkpoint with a mistyped root."""
    options = {"height": 32, "width": 64, "counts": SMALL["counts"]}
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(KeyboardInterrupt):
        write_streets(tmp_path / "interrupted", **SMALL, progress=interrupted)
    for root in (tmp_path / "typo", empty, tmp_path / "interrupted"):
        dataset = Streets(root, **options)
        only_read(dataset)
        with pytest.raises(InputError) as error:
            dataset.samples("val")
        assert is_sentence(error, root, "root", "data=streets")
    assert not (tmp_path / "typo").exists() and not list(empty.iterdir())
    assert files(tmp_path / "interrupted") == ["streets.json"]
    write_streets(tmp_path / "there", **SMALL)
    dataset = Streets(tmp_path / "there", **options)
    only_read(dataset)
    assert len(dataset.samples("val")) == 2


def interrupted(scenes):
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("height", 0), ("height", 128.0), ("width", -4), ("width", 1), ("seed", -1), ("seed", "a"), ("counts", 3),
        ("counts.train", -1), ("counts.val", 2.5),
    ],
)  # fmt: skip
def test_wrong_numbers_are_reported_before_anything_is_written(tmp_path, option, value):
    name, _, split = option.partition(".")
    with pytest.raises(InputError) as error:
        SegmentationDataModule("streets", tmp_path, **SIZES, options={name: {split: value} if split else value})
    assert is_sentence(error, f"data.options.{option}={value!r}") and not list(tmp_path.iterdir())


def test_a_dataset_from_a_checkpoint_is_not_created_at_a_mistyped_root(streets_root, tmp_path):
    options = {"height": 64, "width": 128, "seed": 7, "counts": {"train": 9, "val": 3, "test": 2}}
    trained = SegmentationDataModule("streets", streets_root, crop_size=(8, 8), short_side=(8, 8), options=options)
    key = SegmentationDataModule.CHECKPOINT_HYPER_PARAMS_KEY
    torch.save({key: dict(trained.hparams), "state_dict": {}}, tmp_path / "last.ckpt")
    cfg = {"weights": str(tmp_path / "last.ckpt"), "split": "val", "val_size": None}
    with pytest.raises(InputError) as error:
        make_datamodule(OmegaConf.create({**cfg, "data": {"root": str(tmp_path / "typo")}})).setup("validate")
    assert is_sentence(error, tmp_path / "typo", "data=streets") and not (tmp_path / "typo").exists()
    datamodule = make_datamodule(OmegaConf.create({**cfg, "data": {"root": None}}))
    datamodule.setup("validate")
    assert len(datamodule.val_set) == 3
