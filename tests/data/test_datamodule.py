"""The DataModule: batches, arguments, and the description in a checkpoint."""

import io
import os

import numpy as np
import pytest
import torch
from batches import SIZES, epochs, fit, make, ranks
from layouts import is_sentence, write, write_cityscapes, write_folder

from regseg.data.datamodule import SegmentationDataModule
from regseg.data.datasets.layout import Sample
from regseg.errors import InputError


def test_training_batches(root):
    datamodule = make(root)
    batches = list(datamodule.train_dataloader())
    assert len(batches) == datamodule.batches_per_epoch == 3  # 7 images: the short batch is dropped
    for batch in batches:
        assert batch["image"].shape == (2, 20, 28, 3) and batch["image"].dtype == torch.uint8
        assert batch["label"].shape == (2, 20, 28) and batch["label"].dtype == torch.uint8
        assert set(batch["label"].unique().tolist()) <= {*range(19), 255}
        assert all(os.path.isfile(name) for name in batch["name"])


def test_evaluation_batches_are_whole_images_in_order(root):
    batches = list(make(root, val_size=12).val_dataloader())
    assert [os.path.basename(batch["name"][0])[:12] for batch in batches] == [
        "town0_000000",
        "town0_000002",
        "town1_000001",
    ]
    for batch in batches:
        assert batch["image"].shape == (1, 12, 16, 3) and batch["image"].dtype == torch.uint8
        assert batch["label"].shape == (1, 24, 32) and batch["label"].dtype == torch.uint8
    assert next(iter(make(root).val_dataloader()))["image"].shape == (1, 24, 32, 3)


def test_splits_are_chosen(root):
    datamodule = make(root, train_split="trainval", val_split="test")
    assert len(datamodule.train_set) == 10 and len(datamodule.val_set) == 1


def test_evaluation_alone_needs_no_training_split(tmp_path):
    datamodule = make(write_cityscapes(tmp_path, (("val", 2),)), stage="validate")
    assert len(list(datamodule.val_dataloader())) == 2


def test_fewer_images_than_a_batch(root):
    for module, words in (
        (lambda: make(root, batch_size=8), ["7 images", "train", "batch of 8", "data.batch_size to at most 7"]),
        (lambda: list(ranks(root, 2, batch_size=4)), ["batch of 8", "data.batch_size to at most 3"]),
        (lambda: list(ranks(root, 8, batch_size=1)), ["batch of 8", "fewer devices"]),
    ):
        with pytest.raises(InputError) as error:
            module()
        assert is_sentence(error, root, *words)
    assert make(root, batch_size=7).batches_per_epoch == 1


@pytest.mark.filterwarnings("ignore")
def test_a_checkpoint_holds_every_argument_as_a_plain_value(root, tmp_path):
    trainer, _ = fit(root, 1, tmp_path, 0)
    trainer.save_checkpoint(tmp_path / "last.ckpt")
    arguments = torch.load(tmp_path / "last.ckpt", weights_only=True)[
        SegmentationDataModule.CHECKPOINT_HYPER_PARAMS_KEY
    ]
    assert arguments == {
        "dataset": "cityscapes", "root": str(root), "batch_size": 2, "crop_size": [20, 28], "short_side": [16, 40],
        "val_size": None, "train_split": "train", "val_split": "val", "augment": {}, "num_workers": 0, "seed": 0,
        "options": {}, "class_uniform": 0.0, "storage": "full",
    }  # fmt: skip
    again = SegmentationDataModule(**arguments)
    again.setup("fit")
    assert epochs(again, [0]) == epochs(make(root), [0])


def test_arguments_as_a_script_writes_them(root):
    file = io.BytesIO()
    datamodule = make(root, crop_size=(20, 28), short_side=(16, 40), augment={"flip": 1.0})
    torch.save(dict(datamodule.hparams), file)
    file.seek(0)
    arguments = torch.load(file, weights_only=True)
    assert (arguments["crop_size"], arguments["augment"]) == ([20, 28], {"flip": 1.0})
    assert 1 <= SegmentationDataModule("cityscapes", root, crop_size=(8, 8), num_workers=None).num_workers <= 8


class FixedPair:
    """A custom dataset, named as ``package.module.Class``."""

    def __init__(self, root, repeat=1):
        from regseg.data.datasets.cityscapes import SPEC

        self.spec, self.root, self.repeat = SPEC, root, repeat

    def samples(self, split):
        image = write(self.path("image"), np.zeros((9, 9, 3), np.uint8))
        return [Sample(image, write(self.path("label"), np.full((9, 9), 7, np.uint8)))] * self.repeat

    def path(self, name):
        from pathlib import Path

        return Path(self.root) / f"{name}.png"


def test_a_custom_dataset_class(tmp_path):
    datamodule = SegmentationDataModule(f"{__name__}.FixedPair", tmp_path, **SIZES, options={"repeat": 4})
    datamodule.setup()
    assert len(list(datamodule.train_dataloader())) == 2


class Pairs(FixedPair):
    """Gives pairs of text instead of `Sample`."""

    def samples(self, split):
        return [tuple(map(str, sample)) for sample in super().samples(split)]


class Names(FixedPair):
    """Gives something else."""

    def samples(self, split):
        return ["image.png"]


def test_a_class_itself_and_pairs_of_text(tmp_path):
    datamodule = SegmentationDataModule(Pairs, tmp_path, **SIZES, repeat=4)
    assert len(list(datamodule.train_dataloader())) == 2 and len(list(datamodule.val_dataloader())) == 4
    assert datamodule.hparams["dataset"] == "own" and datamodule.hparams["options"] == {"repeat": 4}


def test_a_class_that_is_not_a_dataset(tmp_path):
    with pytest.raises(InputError) as error:
        SegmentationDataModule(Names, tmp_path, **SIZES).setup()
    assert is_sentence(error, "Names.samples('train')", "Sample")
    with pytest.raises(InputError) as error:
        SegmentationDataModule(type("Empty", (), {"__init__": lambda self, root: None}), tmp_path, **SIZES)
    assert is_sentence(error, "Empty has no attribute spec", "DatasetLayout")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"batch_size": 0}, ["data.batch_size=0"]),
        ({"batch_size": None}, ["data.batch_size=null"]),
        ({"batch_size": 2.5}, ["data.batch_size=2.5"]),
        ({"num_workers": -1}, ["data.num_workers=-1"]),
        ({"num_workers": 10**6}, ["data.num_workers=1000000", "from 0 to 1024"]),
        ({"root": 2024}, ["data.root=2024 is not a path", "quotes"]),  # as YAML reads it
        ({"augment": {"flip": True}}, ["data.augment.flip=true"]),  # would flip every image
        ({"val_size": 0}, ["data.val_size=0"]),
        ({"val_size": [1024, 2048]}, ["data.val_size=[1024,2048]"]),
        ({"seed": -1}, ["data.seed=-1"]),
        ({"seed": None}, ["data.seed=null"]),
        ({"crop_size": 768}, ["data.crop_size=768"]),
        ({"short_side": [40, 16]}, ["data.short_side=[40,16]"]),
        ({"train_split": "training"}, ["training", "trainval"]),
        ({"val_split": "valid"}, ["valid", "trainval"]),
        ({"batchsize": 4}, ["data.batchsize", "did you mean data.batch_size?"]),
        ({"val_share": 0.2}, ["data.val_share is an option of data=folder", "type data=cityscapes"]),
        ({"storage": ["half"]}, ["data.storage=[half] does not exist", "full, half, cache"]),
        ({"dataset": 3}, ["data.dataset is of the type int", "class"]),
        ({"augment": {"blur": 1}}, ["data.augment", "blur", "flip"]),
        ({"augment": {"crop_size": [1, 1]}}, ["data.augment", "crop_size"]),
        ({"augment": [0.5]}, ["data.augment=[0.5]"]),
        ({"augment": {"flip": 2}}, ["data.augment.flip=2"]),
        ({"options": {"height": 4}}, ["data.options", "height"]),
        ({"dataset": "nowhere"}, ["data.dataset=nowhere", "camvid", "package.module.Class"]),
        ({"dataset": "regseg.data.nowhere.Nowhere"}, ["regseg.data.nowhere", "camvid"]),
        ({"dataset": "regseg.data.datasets.camvid.Nowhere"}, ["Nowhere", "camvid"]),
    ],
)
def test_invalid_arguments_are_reported(root, arguments, words):
    with pytest.raises(InputError) as error:
        SegmentationDataModule(**{"dataset": "cityscapes", "root": root, **SIZES, **arguments})
    assert is_sentence(error, *words)


def test_a_missing_root_is_reported(tmp_path):
    with pytest.raises(InputError) as error:
        make(tmp_path / "nowhere")
    assert is_sentence(error, tmp_path / "nowhere", "leftImg8bit", "data.root")


@pytest.mark.parametrize("workers", [0, 1])
def test_a_damaged_file_is_named_during_training(tmp_path, workers):
    root = write_folder(tmp_path)
    (root / "labels/train/2.png").write_bytes((root / "labels/train/2.png").read_bytes()[:60])
    datamodule = SegmentationDataModule("folder", root, **{**SIZES, "num_workers": workers})
    datamodule.setup("fit")
    with pytest.raises(InputError, match=r"2\.png is not a readable image; replace it or leave it out\.\s*$"):
        list(datamodule.train_dataloader())


def test_loaders_need_no_setup(tmp_path):
    root = write_folder(tmp_path / "mine")
    data = SegmentationDataModule("folder", root, batch_size=2, crop_size=(8, 8), short_side=(8, 9), num_workers=0)
    assert next(iter(data.train_dataloader()))["image"].shape == (2, 8, 8, 3)
    again = SegmentationDataModule("folder", root, crop_size=(8, 8), short_side=(8, 9), num_workers=0)
    assert len(list(again.val_dataloader())) == 2 and not hasattr(again, "train_set")


def test_more_worker_processes_than_cores_are_not_started_because_a_file_says_so(tmp_path):
    values = {"dataset": "streets", "root": str(tmp_path), "num_workers": 10**9}
    assert SegmentationDataModule.from_description(values, "net.ckpt").num_workers <= 8
    assert SegmentationDataModule.from_description(values, "net.ckpt", num_workers=9).num_workers == 9
