"""Evaluation batches that are read and predicted in threads, one image per thread, for a CPU.

Threads that work on different images never wait for each other, as the threads of one convolution do, and need no
worker processes: decoders and PyTorch's operators release the GIL.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, closing
from itertools import islice
from typing import Any

import torch
from torch import Tensor

from regseg.data.torch_datasets import EvaluationSet
from regseg.system.cpu import images_at_once, num_threads

PREDICTION = "prediction"  # the key of the predicted labels in a batch


class PredictedImages:
    """Batches of images in order, as lists, with the predicted labels (h, w) uint8 as ``prediction``.

    The work starts with the iteration, so that the network can be prepared before that. At most the images of one batch
    and twice as many images as threads are in memory.

    Args:
        dataset: the images.
        predict: maps (1, H, W, 3) uint8 images and the size (h, w) of the labels to (1, h, w) uint8 class indices;
            called in several threads at once.
        context: entered by each thread around ``predict``, such as autocast, which a thread does not inherit.
        batch_size: images per batch. Lightning's loop takes 2 ms per batch, time that the threads could use.
    """

    def __init__(
        self,
        dataset: EvaluationSet,
        predict: Callable[[Tensor, tuple[int, int]], Tensor],
        context: Callable[[], AbstractContextManager[Any]],
        batch_size: int = 1,
    ) -> None:
        self.dataset, self._predict, self._context, self.batch_size = dataset, predict, context, batch_size

    def __len__(self) -> int:
        return -(-len(self.dataset) // self.batch_size)

    def __iter__(self) -> Iterator[dict[str, list[Any]]]:
        images = self._images()
        with closing(images):  # ends its threads, also if the consumer stops early
            while batch := list(islice(images, self.batch_size)):
                yield {key: [image[key] for image in batch] for key in batch[0]}

    def _images(self) -> Generator[dict[str, Any], None, None]:
        threads = images_at_once()
        each = max(1, num_threads() // threads)
        indices = iter(range(len(self.dataset)))
        pool = ThreadPoolExecutor(threads, "regseg-evaluation", torch.set_num_threads, (each,))
        before = torch.get_num_threads()
        # Otherwise the threads of this thread's operations (counting labels) would take the cores from the network's.
        torch.set_num_threads(1)
        try:
            waiting: deque[Future[dict[str, Any]]] = deque(
                pool.submit(self._image, index) for index in islice(indices, 2 * threads)
            )
            while waiting:
                image = waiting.popleft().result()
                waiting.extend(pool.submit(self._image, index) for index in islice(indices, 1))
                yield image
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
            torch.set_num_threads(before)

    def _image(self, index: int) -> dict[str, Any]:
        sample = self.dataset[index]
        image, label = torch.from_numpy(sample["image"]), torch.from_numpy(sample["label"])
        with torch.inference_mode(), self._context():
            prediction = self._predict(image[None], (label.shape[0], label.shape[1]))[0]
        return {"image": image, "label": label, "name": sample["name"], PREDICTION: prediction}
