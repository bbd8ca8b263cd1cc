"""Reading, the network and writing at the same time, with a bounded number of images in memory."""

from __future__ import annotations

import os
import sys
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from contextlib import closing
from typing import Generic, NamedTuple, TypeVar

import numpy as np

from regseg.data.io import read_image
from regseg.errors import InputError, lack_of_memory
from regseg.inference.sources import Item
from regseg.inference.tiles import Labeller

T = TypeVar("T")
R = TypeVar("R")
_THREADS = "regseg-pipeline"  # prefix of the threads' names
Writer = Callable[[Item, np.ndarray, np.ndarray], None]


class _Step(NamedTuple):
    """An image in the pipeline; ``error`` says why it is skipped."""

    item: Item
    image: np.ndarray | None = None
    labels: np.ndarray | None = None
    error: str | None = None


def predict_images(
    items: Iterable[Item], labeller: Labeller, write: Writer, advance: Callable[[], None], workers: int | None = None
) -> list[str]:
    """Label images and write the results.

    ``workers`` threads read and as many write, while this thread runs the network. A file that cannot be read or
    labelled, or whose outputs cannot be encoded, is reported on stderr and skipped.

    Args:
        items: the images.
        labeller: maps (H, W, 3) uint8 RGB to (H, W) uint8 class indices.
        write: called with the item, its image and its labels.
        advance: called after each image.
        workers: number of threads; None takes one per core, 4 at most.

    Returns:
        A sentence for each image that was skipped.

    Raises:
        OSError: an output cannot be written, for example because the disk is full.
    """
    workers = min(4, os.cpu_count() or 1) if workers is None else workers
    failures = []
    with (
        closing(map_ahead(_read, items, workers)) as images,
        closing(map_ahead(_writing(write), (_label(step, labeller) for step in images), workers)) as written,
    ):
        for step in written:
            if step.error is not None:
                print(f"regseg: {step.error}", file=sys.stderr, flush=True)
                failures.append(step.error)
            advance()
    return failures


def map_ahead(function: Callable[[T], R], items: Iterable[T], workers: int) -> Generator[R, None, None]:
    """Yield ``map(function, items)``, computed by threads ahead of the consumer, in the order of ``items``.

    At most ``workers + 1`` items are taken before their results are consumed.
    """
    waiting: deque[Future[R]] = deque()
    calls = _Calls(function)
    with ThreadPoolExecutor(workers, _THREADS) as pool:
        try:
            for item in items:
                waiting.append(pool.submit(calls, item))
                if len(waiting) > workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
            calls.stop()


class _Calls(Generic[T, R]):
    """Calls of a function by threads. After `stop` returns, no call is in progress and no call starts.

    A pool does not guarantee this. If a signal raised an exception while a thread was being started, the pool's
    shutdown does not wait for that thread. Closing a decoder or encoder that the thread uses then crashes the process.
    """

    def __init__(self, function: Callable[[T], R]) -> None:
        self._function, self._changed = function, threading.Condition()
        self._running, self._stopped = 0, False

    def __call__(self, item: T) -> R:
        with self._changed:
            if self._stopped:
                raise CancelledError
            self._running += 1
        try:
            return self._function(item)
        finally:
            with self._changed:
                self._running -= 1
                self._changed.notify_all()

    def stop(self) -> None:
        """Wait for the calls in progress."""
        with self._changed:
            self._stopped = True
            self._changed.wait_for(lambda: self._running == 0)


def _read(item: Item) -> _Step:
    try:
        return _Step(item, read_image(item.path))
    except InputError as error:
        return _Step(item, error=str(error))
    except MemoryError:
        return _Step(item, error=f"{item.path} does not fit into memory; scale it down.")


def _label(step: _Step, labeller: Labeller) -> _Step:
    if step.image is None:
        return step
    try:
        return step._replace(labels=labeller(step.image))
    except InputError as error:
        return step._replace(error=f"{step.item.path}: {error}")
    except (MemoryError, RuntimeError) as error:
        if lack_of_memory(type(error).__name__, str(error)) is None:
            raise
        height, width = step.image.shape[:2]
        return step._replace(
            error=f"{step.item.path} has {width}x{height} pixels, too many to fit into memory; set tile=1024 or less."
        )


def _writing(write: Writer) -> Callable[[_Step], _Step]:
    def step_written(step: _Step) -> _Step:
        error = step.error
        if step.image is not None and step.labels is not None and error is None:
            try:
                write(step.item, step.image, step.labels)
            except InputError as failure:
                error = f"{step.item.path}: {failure}"
        return _Step(step.item, error=error)  # without the pixels

    return step_written
