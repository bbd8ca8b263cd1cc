"""PyTorch datasets that read an image and its label, and make a training crop or an evaluation image.

Lightning is not imported here, because it takes 150 MB in a worker that is not forked.
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
from regseg.data.sampling.epochs import CropRequest, stream
from regseg.data.storage import Storage
from regseg.errors import InputError


class TrainSet(TorchDataset):
    """Augmented training crops. Every `CropRequest` has its own random stream.

    Args:
        samples: the image and label files.
        storage: reads the files.
        transform: makes a crop of a pair.
        seed: seed of the augmentation.
    """

    def __init__(self, samples: Sequence[Sample], storage: Storage, transform: TrainTransform, seed: int) -> None:
        self.samples, self.storage, self.transform, self.seed = samples, storage, transform, seed

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, request: CropRequest | int) -> dict[str, Any]:
        if not isinstance(request, CropRequest):
            # Lightning's overfit_batches replaces the sampler by one that yields indices: the same crops in every epoch
            request = CropRequest(0, request)
        sample = self.samples[request.index]
        image, label = self.storage.read(request.index)
        if request.centroid and not all(0 <= at < side for at, side in zip(request.centroid, label.shape, strict=True)):
            raise InputError(
                f"The centroid index refers to pixel {request.centroid}, which is outside {sample.label}; delete the "
                "files centroids-*.bin in the dataset's folder .regseg, and they are created again."
            )
        image, label = self.transform(image, label, stream(self.seed, *request.key), request.centroid)
        self.storage.spec.check_classes(label, sample.label)
        return {"image": image, "label": label, "name": str(sample.image)}


class EvaluationSet(TorchDataset):
    """Whole images at the evaluation size, with labels at their original size.

    An index beyond the last image returns the first image with all pixels ignored, which does not change the scores;
    see `UnpaddedSampler`.

    Args:
        samples: the image and label files.
        storage: reads the files.
        val_size: short side of the images, in pixels; None keeps the original size.
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
