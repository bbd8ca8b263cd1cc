"""Batches: the same whatever loads them, from a script as from Hydra, and back from a checkpoint."""

import io
import os
import pickle
from itertools import islice
from types import SimpleNamespace

import lightning as L
import numpy as np
import pytest
import torch
from layouts import is_sentence, write, write_cityscapes, write_folder

from regseg.data.datamodule import SegmentationDataModule
from regseg.data.datasets.layout import Sample
from regseg.data.sampling.epochs import CropRequest
from regseg.errors import InputError

SIZES = {"batch_size": 2, "crop_size": [20, 28], "short_side": [16, 40], "num_workers": 0}


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return write_cityscapes(tmp_path_factory.mktemp("data") / "cityscapes", (("train", 7), ("val", 3), ("test", 1)))


def make(root, stage="fit", **options):
    datamodule = SegmentationDataModule("cityscapes", root, **{**SIZES, **options})
    if stage:
        datamodule.setup(stage)
    return datamodule


def plain(batch):
    return batch["image"].numpy().tobytes(), batch["label"].numpy().tobytes(), tuple(batch["name"])


def epochs(datamodule, numbers, stop_after=None):
    """Batches of the epochs from one loader, as Lightning draws them."""
    loader = datamodule.train_dataloader()
    result = []
    for epoch in numbers:
        loader.sampler.set_epoch(epoch)
        result.append([plain(batch) for batch in islice(loader, stop_after)])
    return result


@pytest.fixture(scope="module")
def three_epochs(root):
    return epochs(make(root), range(3))


# --- batches ----------------------------------------------------------------------------------------------------------


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


# --- nothing but seed, epoch and index decides ------------------------------------------------------------------------


def test_epochs_and_seeds_differ(root, three_epochs):
    assert len({image for epoch in three_epochs for image, _, _ in epoch}) == 9
    assert epochs(make(root, seed=1), [0])[0] != three_epochs[0]


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_any_number_of_workers_draws_the_same(root, three_epochs, workers):
    datamodule = make(root, num_workers=workers)
    assert epochs(datamodule, range(3)) == three_epochs
    assert epochs(datamodule, [2, 0]) == [three_epochs[2], three_epochs[0]]  # a fresh loader, in any order


@pytest.mark.parametrize("workers", [0, 2])
def test_epochs_cut_short_leave_nothing_behind(root, three_epochs, workers):
    """Batches that workers had already prepared must not show up in the next epoch."""
    assert epochs(make(root, num_workers=workers), range(3), stop_after=1) == [epoch[:1] for epoch in three_epochs]


def test_other_generators_neither_matter_nor_notice(root, three_epochs):
    torch.manual_seed(1)
    np.random.seed(1)
    state, numpy_state = torch.get_rng_state(), pickle.dumps(np.random.get_state())
    assert epochs(make(root, num_workers=1), [1]) == three_epochs[1:2]
    assert torch.equal(torch.get_rng_state(), state) and pickle.dumps(np.random.get_state()) == numpy_state


def test_datasets_travel_to_workers_that_are_not_forked(root, three_epochs):
    train_set = pickle.loads(pickle.dumps(make(root).train_set))
    first, second = three_epochs[0][0][2], three_epochs[1][0][2]
    for epoch, names in enumerate((first, second)):
        images = [train_set[CropRequest(epoch, _index(train_set, name))]["image"] for name in names]
        assert np.stack(images).tobytes() == three_epochs[epoch][0][0]


def _index(dataset, name):
    return [str(sample.image) for sample in dataset.samples].index(name)


class Recorder(L.LightningModule):
    """Keeps the batches of every epoch."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.epochs = {}

    def training_step(self, batch, batch_idx):
        self.epochs.setdefault(self.current_epoch, []).append(plain(batch))
        return self.weight * 0

    def validation_step(self, batch, batch_idx):
        pass

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


def fit(root, max_epochs, folder, workers, checkpoint=None, **arguments):
    trainer = L.Trainer(
        max_epochs=max_epochs, default_root_dir=folder, accelerator="cpu", logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, **arguments,
    )  # fmt: skip
    recorder = Recorder()
    datamodule = SegmentationDataModule("cityscapes", root, **{**SIZES, "num_workers": workers})
    trainer.fit(recorder, datamodule, ckpt_path=checkpoint, weights_only=True)
    return trainer, recorder.epochs


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("workers", [0, 2])
def test_lightning_and_resuming_draw_the_same(root, three_epochs, tmp_path, workers):
    _, seen = fit(root, 3, tmp_path, workers)
    assert seen == dict(enumerate(three_epochs))
    trainer, _ = fit(root, 1, tmp_path, workers)
    trainer.save_checkpoint(tmp_path / "one.ckpt")
    _, seen = fit(root, 3, tmp_path, workers, tmp_path / "one.ckpt")
    assert seen == {1: three_epochs[1], 2: three_epochs[2]}


# --- several processes ------------------------------------------------------------------------------------------------


def ranks(root, world_size, stage="fit", **options):
    for rank in range(world_size):
        datamodule = make(root, stage=None, **options)
        progress = SimpleNamespace(current=SimpleNamespace(processed=0))
        datamodule.trainer = SimpleNamespace(
            global_rank=rank,
            world_size=world_size,
            fit_loop=SimpleNamespace(epoch_progress=progress),
            strategy=SimpleNamespace(root_device=torch.device("cpu")),
        )
        datamodule.setup(stage)
        yield datamodule


def names(loader):
    return [name for batch in loader for name in batch["name"]]


def test_ranks_share_the_images_without_repeats(root):
    shares = [(names(module.train_dataloader()), module.batches_per_epoch) for module in ranks(root, 3)]
    assert [(len(share), batches) for share, batches in shares] == [(2, 1)] * 3
    assert len({name for share, _ in shares for name in share}) == 6
    batches = [batch for module in ranks(root, 2, "validate") for batch in module.val_dataloader()]
    labelled = [batch["name"][0] for batch in batches if (batch["label"] != 255).any()]
    assert len(batches) == 4 and len(labelled) == len(set(labelled)) == 3  # the fourth fills a rank, without any label


def test_a_crop_does_not_depend_on_the_rank_that_draws_it(root):
    crops = {}
    for module in [make(root, batch_size=1), *ranks(root, 2, batch_size=1)]:
        for image, label, name in map(plain, module.train_dataloader()):
            assert crops.setdefault(name, (image, label)) == (image, label)
    assert len(crops) == 7


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


# --- arguments and checkpoints ----------------------------------------------------------------------------------------


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
    """A dataset of one's own, as ``package.module.Class``."""

    def __init__(self, root, repeat=1):
        from regseg.data.datasets.cityscapes import SPEC

        self.spec, self.root, self.repeat = SPEC, root, repeat

    def samples(self, split):
        image = write(self.path("image"), np.zeros((9, 9, 3), np.uint8))
        return [Sample(image, write(self.path("label"), np.full((9, 9), 7, np.uint8)))] * self.repeat

    def path(self, name):
        from pathlib import Path

        return Path(self.root) / f"{name}.png"


def test_a_dataset_class_of_ones_own(tmp_path):
    datamodule = SegmentationDataModule(f"{__name__}.FixedPair", tmp_path, **SIZES, options={"repeat": 4})
    datamodule.setup()
    assert len(list(datamodule.train_dataloader())) == 2


def test_streets_are_drawn_on_first_use(tmp_path, capsys):
    options = {"height": 32, "width": 64, "counts": {"train": 2, "val": 1, "test": 0}}
    for printed in (True, False):
        datamodule = SegmentationDataModule("streets", tmp_path / "streets", **SIZES, options=options)
        datamodule.setup("fit")
        assert ("Creating 3 street scenes" in capsys.readouterr().out) == printed
    assert len(datamodule.train_set) == 2 and datamodule.spec.name == "streets"
    assert datamodule.train_set[CropRequest(0, 0)]["image"].shape == (20, 28, 3)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"batch_size": 0}, ["data.batch_size=0"]),
        ({"batch_size": None}, ["data.batch_size=None"]),
        ({"batch_size": 2.5}, ["data.batch_size=2.5"]),
        ({"num_workers": -1}, ["data.num_workers=-1"]),
        ({"val_size": 0}, ["data.val_size=0"]),
        ({"val_size": [1024, 2048]}, ["data.val_size=[1024, 2048]"]),
        ({"seed": -1}, ["data.seed=-1"]),
        ({"seed": None}, ["data.seed=None"]),
        ({"crop_size": 768}, ["data.crop_size=768"]),
        ({"short_side": [40, 16]}, ["data.short_side=[40,16]"]),
        ({"train_split": "training"}, ["training", "trainval"]),
        ({"val_split": "valid"}, ["valid", "trainval"]),
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
def test_wrong_arguments_are_told_of(root, arguments, words):
    with pytest.raises(InputError) as error:
        SegmentationDataModule(**{"dataset": "cityscapes", "root": root, **SIZES, **arguments})
    assert is_sentence(error, *words)


def test_a_wrong_root_is_told_of(tmp_path):
    with pytest.raises(InputError) as error:
        make(tmp_path / "nowhere")
    assert is_sentence(error, tmp_path / "nowhere", "leftImg8bit", "data.root")


@pytest.mark.parametrize("workers", [0, 1])
def test_a_bad_file_met_while_training_is_named(tmp_path, workers):
    root = write_folder(tmp_path)
    (root / "labels/train/2.png").write_bytes((root / "labels/train/2.png").read_bytes()[:60])
    datamodule = SegmentationDataModule("folder", root, **{**SIZES, "num_workers": workers})
    datamodule.setup("fit")
    with pytest.raises(
        InputError, match=r"2\.png is not a readable image; replace it or remove it from the dataset\.\s*$"
    ):
        list(datamodule.train_dataloader())


def test_loaders_need_no_setup(tmp_path):
    root = write_folder(tmp_path / "mine")
    data = SegmentationDataModule("folder", root, batch_size=2, crop_size=(8, 8), short_side=(8, 9), num_workers=0)
    assert next(iter(data.train_dataloader()))["image"].shape == (2, 8, 8, 3)
    again = SegmentationDataModule("folder", root, crop_size=(8, 8), short_side=(8, 9), num_workers=0)
    assert len(list(again.val_dataloader())) == 2 and not hasattr(again, "train_set")
