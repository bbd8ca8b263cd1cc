"""Evaluation batches that are read and predicted in threads, one image per thread, for a CPU.

Threads that work on different images never wait for each other, as the threads of one convolution do, and need no
worker processes: decoders and PyTorch's operators release the GIL.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from itertools import islice
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import default_collate

from regseg.data.torch_datasets import EvaluationSet
from regseg.system.cpu import images_at_once, num_threads

PREDICTION = "prediction"  # the key of the predicted labels in a batch


class PredictedImages:
    """Batches of one image each, in order, with the predicted labels (1, h, w) uint8 as ``prediction``.

    The work starts with the iteration, so that the network can be prepared before that. At most twice as many images as
    threads are in memory.

    Args:
        dataset: the images.
        predict: maps (1, H, W, 3) uint8 images and the size (h, w) of the labels to (1, h, w) uint8 class indices;
            called in several threads at once.
        context: entered by each thread around ``predict``, such as autocast, which a thread does not inherit.
    """

    def __init__(
        self,
        dataset: EvaluationSet,
        predict: Callable[[Tensor, tuple[int, int]], Tensor],
        context: Callable[[], AbstractContextManager[Any]],
    ) -> None:
        self.dataset, self._predict, self._context = dataset, predict, context

    def __len__(self) -> int:
        return len(self.dataset)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        threads = images_at_once()
        each = max(1, num_threads() // threads)
        indices = iter(range(len(self)))
        pool = ThreadPoolExecutor(threads, "regseg-evaluation", torch.set_num_threads, (each,))
        before = torch.get_num_threads()
        # Otherwise the threads of this thread's operations (counting labels) would take the cores from the network's.
        torch.set_num_threads(1)
        try:
            waiting: deque[Future[dict[str, Any]]] = deque(
                pool.submit(self._batch, index) for index in islice(indices, 2 * threads)
            )
            while waiting:
                batch = waiting.popleft().result()
                waiting.extend(pool.submit(self._batch, index) for index in islice(indices, 1))
                yield batch
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
            torch.set_num_threads(before)

    def _batch(self, index: int) -> dict[str, Any]:
        batch: dict[str, Any] = default_collate([self.dataset[index]])
        height, width = batch["label"].shape[1:]
        with torch.inference_mode(), self._context():
            batch[PREDICTION] = self._predict(batch["image"], (height, width))
        return batch
