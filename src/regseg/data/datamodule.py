"""The LightningDataModule: dataset, storage, augmentation, sampling and loaders."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.utilities import rank_zero_only
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset

from regseg.data.augment.transforms import TrainTransform
from regseg.data.datasets.layout import DatasetLayout, Sample, check_split, list_samples
from regseg.data.datasets.names import CUSTOM_DATASET, DATASETS, accepted_options, create_dataset, dataset_class
from regseg.data.datasets.spec import DatasetSpec
from regseg.data.datasets.streets import only_read
from regseg.data.decoding import LARGEST_SIDE
from regseg.data.io import any_labelled
from regseg.data.sampling.centroids import CentroidIndex, load_index
from regseg.data.sampling.class_uniform import ClassUniformSampler
from regseg.data.sampling.epochs import EpochSampler, UnpaddedSampler
from regseg.data.storage import STORAGE, Storage, open_storage
from regseg.data.torch_datasets import EvaluationSet, TrainSet
from regseg.data.training_notes import notes_on_training
from regseg.data.worker import set_up_worker
from regseg.errors import InputError, check_choice, check_number, check_options, counted, shortened, typed
from regseg.system.checkpoint_file import dataset_in
from regseg.system.cpu import usable_cores
from regseg.system.folders import expanded

MOST_WORKERS = 1024  # more than the cores of any machine; without a limit, a typo could exhaust the process table


class SegmentationDataModule(L.LightningDataModule):
    """Training and evaluation batches of a dataset.

    A training batch is a dict of ``image`` (B, H, W, 3) uint8 RGB, ``label`` (B, H, W) uint8 class indices (255 is
    ignored), and ``name``, the image files. An evaluation batch is one whole image at the evaluation size, with its
    label at the original size. All arguments are plain values and are stored in checkpoints.

    Args:
        dataset: a name of `DATASETS`, or a custom `DatasetLayout`: the class itself or ``package.module.Class``.
        root: the dataset's folder.
        batch_size: images per training batch and process.
        crop_size: (height, width) of training crops, in pixels.
        short_side: range of the random short side before the crop, in pixels, both ends included.
        val_size: short side of evaluation images, in pixels; None keeps their size.
        train_split: train, val, test or trainval.
        val_split: train, val, test or trainval.
        augment: arguments of `TrainTransform` other than the sizes.
        class_uniform: share of an epoch's crops that are placed to contain a class centroid, the same number for each
            class (Sec. 4.2).
        storage: where images are read from: the original files (full), halved images (half) or decoded arrays (cache).
        num_workers: loader processes; None uses one per core, at most 8. The batches do not depend on it.
        seed: seed of the image order and the augmentation.
        options: further arguments of the dataset's class.
        dataset_options: the same, given as keywords, such as ``val_share=0.1``.

    Raises:
        InputError: an argument is invalid. `setup` raises it if files are missing.
    """

    def __init__(
        self,
        dataset: str | Callable[..., DatasetLayout] = "streets",
        root: str | Path = "datasets/streets",
        *,
        batch_size: int = 8,
        crop_size: Sequence[int] = (768, 768),
        short_side: Sequence[int] = (400, 1600),
        val_size: int | None = None,
        train_split: str = "train",
        val_split: str = "val",
        augment: Mapping[str, Any] | None = None,
        class_uniform: float = 0.0,
        storage: str = "full",
        num_workers: int | None = None,
        seed: int = 0,
        options: Mapping[str, Any] | None = None,
        **dataset_options: Any,
    ) -> None:
        super().__init__()
        self.batch_size, self.val_size, self.seed = batch_size, val_size, seed
        self.class_uniform, self.storage = class_uniform, storage
        self.train_split, self.val_split = train_split, val_split
        self.num_workers = min(8, usable_cores()) if num_workers is None else num_workers
        self._check_values()
        if not isinstance(root, (str, Path)):
            raise InputError(f"data.root={typed(root)} is not a path; write it in quotes in a YAML file.")
        augment = check_options("data.augment", augment, TrainTransform, crop_size, short_side)
        self.transform = TrainTransform(crop_size, short_side, **augment)
        # Absolute, because checkpoints store it and may be evaluated from another working directory.
        layout, root = dataset_class(dataset), str(expanded(root).absolute())
        options = accepted_options(dataset, dataset_options) | check_options("data.options", options, layout, root)
        check_options("data", options, layout, root, near=inspect.signature(type(self)).parameters)
        self.root = Path(root)
        self.dataset = create_dataset(layout, root, options)
        self.save_hyperparameters(logger=False, ignore=list(dataset_options))
        # A checkpoint contains no name that could be imported; a custom class must be named again.
        known = dataset if dataset in DATASETS else CUSTOM_DATASET
        sizes = {"crop_size": list(crop_size), "short_side": list(short_side)}
        self.hparams.update(dataset=known, root=root, augment=augment, options=options, **sizes)

    def _check_values(self) -> None:
        check_number("data.batch_size", self.batch_size, lowest=1, integer=True)
        check_number("data.seed", self.seed, integer=True)
        check_number("data.class_uniform", self.class_uniform, highest=1)
        check_choice("data.storage", self.storage, STORAGE)
        if self.val_size is not None:
            check_number("data.val_size", self.val_size, lowest=1, highest=LARGEST_SIDE, integer=True)
        check_number("data.num_workers", self.num_workers, highest=MOST_WORKERS, integer=True)
        for split in (self.train_split, self.val_split):
            check_split(split)

    @classmethod
    def from_description(cls, values: Any, source: str | Path, **changes: Any) -> SegmentationDataModule:
        """Create the DataModule that a checkpoint describes. Only names of `DATASETS` and plain values are accepted.

        Args:
            values: the arguments stored in the checkpoint.
            source: the checkpoint, for the error.
            **changes: arguments that replace the stored ones.

        Raises:
            InputError: the checkpoint contains no valid description, or the dataset is a custom class and ``changes``
                does not name it.
        """
        if not isinstance(values, Mapping):
            raise InputError(f"{source} does not record its dataset; choose one, such as data=cityscapes.")
        arguments = {**values, **changes}
        # A larger number was recorded on a machine with more cores.
        if isinstance(workers := values.get("num_workers"), int) and workers > usable_cores():
            arguments["num_workers"] = changes.get("num_workers")
        if "root" not in arguments:
            raise InputError(f"{source} does not record the folder of its dataset; add data.root=FOLDER.")
        if "dataset" not in changes and values.get("dataset") not in tuple(DATASETS):
            raise InputError(
                f"{source} was trained on a custom dataset class; name the class again with data=folder "
                "data.dataset=package.module.Class data.root=FOLDER (in Python, dataset=Class)."
            )
        try:
            datamodule = cls(**check_options("data", arguments, cls))
            only_read(datamodule.dataset)
            return datamodule
        except InputError:
            raise
        except (TypeError, ValueError, AttributeError, OverflowError) as error:
            raise InputError(
                f"{source} has an invalid description of its dataset ({shortened(str(error))}); choose another."
            ) from error

    @classmethod
    def load_from_checkpoint(  # type: ignore[override]  # Lightning's further arguments do not apply here
        cls, checkpoint_path: str | Path, *, weights_only: bool | None = True, **changes: Any
    ) -> SegmentationDataModule:
        """Create the DataModule that a checkpoint was trained with, without running code from the file.

        Args:
            checkpoint_path: the checkpoint.
            weights_only: an argument of Lightning's method; it has no effect, because code is never run.
            **changes: arguments that replace the stored ones.

        Raises:
            InputError: as for `from_description`, or the file is unreadable.
        """
        return cls.from_description(dataset_in(checkpoint_path), checkpoint_path, **changes)

    @property
    def spec(self) -> DatasetSpec:
        """The dataset's classes and how label files encode them."""
        return self.dataset.spec

    def setup(self, stage: str | None = None) -> None:
        """List the files of a stage, and open their storage.

        Testing uses the split ``test``, prediction the images of ``val_split``.

        Args:
            stage: fit, validate, test, predict, or None for fit and validate.

        Raises:
            InputError: a file is missing, every training pixel is ignored, or there are fewer training images than one
                batch needs.
        """
        if stage in (None, "fit"):
            samples = list_samples(self.dataset, self.train_split)
            needed = self.batch_size * self._world[1]
            if len(samples) < needed:
                fitting = len(samples) // self._world[1]
                remedy = f"set data.batch_size to at most {fitting}" if fitting else "use fewer devices"
                raise InputError(
                    f"{self.root} has {counted(len(samples), 'image')} in the split {self.train_split}, fewer than one "
                    f"batch of {needed}; {remedy}."
                )
            # Once: the command calls this to check the data, and then Lightning does.
            for note in () if hasattr(self, "train_set") else notes_on_training(self.spec, self.transform):
                rank_zero_only(print)(note)
            if not any_labelled(samples, self.spec):
                raise InputError(f"There is nothing to learn: {self._ignored(self.train_split)}.")
            self.train_set = TrainSet(samples, self.open(samples), self.transform, self.seed)
            self.centroids = self._load_centroids(samples) if self.class_uniform else None
        if stage == "test":
            self.test_set = self._evaluation_set("test")
        else:
            self.val_set = self._evaluation_set(self.val_split)

    def _evaluation_set(self, split: str) -> EvaluationSet:
        samples = list_samples(self.dataset, split)
        if not any_labelled(samples, self.spec):
            rank_zero_only(print)(f"The evaluation will count no pixels: {self._ignored(split)}.")
        return EvaluationSet(samples, self.open(samples), self.val_size)

    def _ignored(self, split: str) -> str:
        return (
            f"every pixel of every label in the split {split} of {self.root} is ignored; check the ids, the colours "
            "and `ignore` in the dataset's classes, or choose a labelled split"
        )

    def open(self, samples: Sequence[Sample]) -> Storage:
        """Open the storage of these files, and create it if it does not exist; see `open_storage`."""
        return open_storage(self.storage, samples, self.spec, self.root)

    def _load_centroids(self, samples: Sequence[Sample]) -> CentroidIndex:
        centroids = load_index(samples, self.spec, self.root)
        if absent := [self.spec.classes[number] for number in centroids.absent]:
            share, verb = ("its share", "is") if len(absent) == 1 else ("their shares", "are")
            rank_zero_only(print)(
                f"Class-uniform sampling: no training label contains {', '.join(absent)}; {share} of the crops {verb} "
                "taken at random positions instead."
            )
        if int(self.class_uniform * len(samples) / self.spec.num_classes) == 0:
            rank_zero_only(print)(
                f"Class-uniform sampling: {len(samples)} images are too few for {self.spec.num_classes} classes; every "
                "image is used once per epoch."
            )
        return centroids

    @property
    def batches_per_epoch(self) -> int:
        """Training batches per epoch and process; an incomplete last batch is dropped."""
        return len(self.train_set) // self._world[1] // self.batch_size

    def train_dataloader(self) -> DataLoader:
        """Return the loader of training batches; its epoch follows the trainer's. Calls `setup` if needed."""
        if not hasattr(self, "train_set"):
            self.setup("fit")
        epoch = 0
        if self.trainer:
            # Lightning counts finished epochs in `processed`; after a resume, current_epoch is still one behind here.
            current: Any = self.trainer.fit_loop.epoch_progress.current
            epoch = current.processed
        order = (len(self.train_set), self.seed, epoch, *self._world)
        if self.centroids is None:
            sampler = EpochSampler(*order)
        else:
            sampler = ClassUniformSampler(self.centroids, self.class_uniform, *order)
        return self._loader(self.train_set, batch_size=self.batch_size, sampler=sampler, drop_last=True)

    def val_dataloader(self) -> DataLoader:
        """Return the loader of evaluation images, each once. Calls `setup` if needed."""
        if not hasattr(self, "val_set"):
            self.setup("validate")
        return self._evaluation_loader(self.val_set)

    def test_dataloader(self) -> DataLoader:
        """Return the loader of the images of the split ``test``, each once. Calls `setup` if needed."""
        if not hasattr(self, "test_set"):
            self.setup("test")
        return self._evaluation_loader(self.test_set)

    def predict_dataloader(self) -> DataLoader:
        """Return the loader of the images to predict, those of `val_dataloader`."""
        return self.val_dataloader()

    def _evaluation_loader(self, dataset: EvaluationSet) -> DataLoader:
        # A repeated image would change the mean IoU.
        return self._loader(dataset, batch_size=1, sampler=UnpaddedSampler(len(dataset), *self._world))

    def _loader(self, dataset: TorchDataset, **options: Any) -> DataLoader:
        return DataLoader(
            dataset,
            num_workers=self.num_workers,
            persistent_workers=self.num_workers > 0,
            pin_memory=self.trainer is not None and self.trainer.strategy.root_device.type == "cuda",
            worker_init_fn=set_up_worker,
            # Without a generator, the loader would advance the global one in every epoch, and so change the model's
            # random numbers. The data do not depend on this generator.
            generator=torch.Generator(),
            **options,
        )

    @property
    def _world(self) -> tuple[int, int]:
        """The rank of this process and the number of processes."""
        return (self.trainer.global_rank, self.trainer.world_size) if self.trainer else (0, 1)
