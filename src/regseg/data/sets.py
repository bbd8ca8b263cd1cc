"""What a loader's worker does: read a pair and make a training crop, or an evaluation image, of it.

Lightning is not imported here: a worker that is not forked would carry its 150 MB.
"""

from __future__ import annotations

import contextlib
import ctypes
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import torch
from torch.utils.data import Dataset as TorchDataset

from regseg import processes
from regseg.data.files import Sample
from regseg.data.sampling import Draw, stream
from regseg.data.spec import IGNORE_INDEX
from regseg.data.storage import Storage
from regseg.data.transforms import TrainTransform
from regseg.data.window import resize_image
from regseg.errors import InputError

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # of malloc.h


class TrainSet(TorchDataset):
    """Augmented crops; each draw has a random stream of its own."""

    def __init__(self, samples: Sequence[Sample], storage: Storage, transform: TrainTransform, seed: int) -> None:
        self.samples, self.storage, self.transform, self.seed = samples, storage, transform, seed

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, draw: Draw | int) -> dict[str, Any]:
        if not isinstance(draw, Draw):
            # Lightning's overfit_batches replaces the sampler by a plain one: the same crops every epoch then.
            draw = Draw(0, draw)
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


def set_up_worker(worker: int) -> None:
    """Set up a loader worker process: its signals, its end with its parent, `take_one_core`."""
    processes.set_up_worker()
    take_one_core()


def take_one_core() -> None:
    """Keep OpenCV and torch to one thread each, and keep freed memory.

    Workers are as many as there are cores; threads within them would only get into each other's way.
    """
    cv2.setNumThreads(0)
    torch.set_num_threads(1)
    keep_memory()


def keep_memory() -> None:
    """Keep arrays of some megabytes when they are freed, instead of giving them back to the system.

    Otherwise the system would map and clear the same megabytes anew for every crop, a tenth of its time. Does nothing
    where the C library is not glibc.
    """
    with contextlib.suppress(OSError, AttributeError, TypeError):
        libc = ctypes.CDLL(None)
        libc.mallopt(_M_MMAP_THRESHOLD, 32 * 2**20)
        libc.mallopt(_M_TRIM_THRESHOLD, 128 * 2**20)
