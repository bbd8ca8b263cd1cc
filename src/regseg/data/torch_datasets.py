"""What a loader's worker does: read a pair and make a training crop, or an evaluation image, of it.

Lightning is not imported here: a worker that is not forked would carry its 150 MB.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from torch.utils.data import Dataset as TorchDataset

from regseg.data.augment.crop_resize import resize_image
from regseg.data.augment.transforms import TrainTransform
from regseg.data.datasets.layout import Sample
from regseg.data.datasets.spec import IGNORE_INDEX
from regseg.data.image_cache import Storage
from regseg.data.sampling.epochs import CropRequest, stream
from regseg.errors import InputError


class TrainSet(TorchDataset):
    """Augmented crops; each draw has a random stream of its own."""

    def __init__(self, samples: Sequence[Sample], storage: Storage, transform: TrainTransform, seed: int) -> None:
        self.samples, self.storage, self.transform, self.seed = samples, storage, transform, seed

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, draw: CropRequest | int) -> dict[str, Any]:
        if not isinstance(draw, CropRequest):
            # Lightning's overfit_batches replaces the sampler by a plain one: the same crops every epoch then.
            draw = CropRequest(0, draw)
        image, label = self.storage.read(draw.index)
        if draw.centroid and not all(0 <= at < side for at, side in zip(draw.centroid, label.shape, strict=True)):
            raise InputError(
                f"{self.samples[draw.index].label} has no pixel at the centroid {draw.centroid} that was found in it; "
                "delete the files centroids-*.bin in the dataset's folder .regseg to have them made again."
            )
        image, label = self.transform(image, label, stream(self.seed, *draw.key), draw.centroid)
        self.storage.spec.check_classes(label, self.samples[draw.index].label)
        return {"image": image, "label": label, "name": str(self.samples[draw.index].image)}


class EvaluationSet(TorchDataset):
    """Whole images at the evaluation size, labels at their own.

    An index from the number of images up gives the first image without any label, which changes no score.
    """

    def __init__(self, samples: Sequence[Sample], storage: Storage, val_size: int | None) -> None:
        self.samples, self.storage, self.val_size = samples, storage, val_size

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> dict[str, Any]:
        filling = index >= len(self)
        index = 0 if filling else index
        image, label = self.storage.read(index)
        image = resize_image(image, label.shape, self.val_size)
        self.storage.spec.check_classes(label, self.samples[index].label)
        label = np.full(label.shape, IGNORE_INDEX, np.uint8) if filling else np.array(label)
        return {"image": image, "label": label, "name": str(self.samples[index].image)}
