"""Measures how fast training crops are prepared, compared with a plain Pillow pipeline of the same recipe."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import product
from pathlib import Path
from statistics import mean, median
from typing import TYPE_CHECKING, Any, cast

import cv2
import torch
from rich.box import SIMPLE_HEAD
from rich.table import Table

from regseg.benchmarks.pillow_baseline import pillow_crop
from regseg.data.augment.crop_resize import cut_image, cut_label, draw_window
from regseg.data.augment.transforms import normalize
from regseg.data.datasets.layout import Sample
from regseg.data.sampling.centroids import build_table
from regseg.data.sampling.epochs import CropRequest, stream
from regseg.data.storage import STORAGE, Storage, open_storage
from regseg.data.torch_datasets import TrainSet
from regseg.data.worker import take_one_core
from regseg.system.processes import in_new_process

if TYPE_CHECKING:
    from regseg.data.datamodule import SegmentationDataModule

STAGES = ("read", "scale, crop", "augment", "to tensors")
BASELINE = "Pillow, full"
Pipeline = Callable[[CropRequest, Callable[[str], None]], Any]  # prepares a crop and reports the end of each stage
TURN = 10  # images that a pipeline prepares before the next one takes over


@dataclass
class PipelineTime:
    """The time of one pipeline.

    Attributes:
        name: The pipeline's name.
        stages: Mean milliseconds per crop of each of `STAGES`.
        rates: Images/s on one core, one value per round.
        ratios: Rates relative to the Pillow pipeline in the same round.
    """

    name: str
    stages: dict[str, float]
    rates: list[float]
    ratios: list[float] = field(default_factory=list)


def benchmark_loader(datamodule: SegmentationDataModule, images: int = 64, rounds: int = 3) -> list[PipelineTime]:
    """Prepare the same crops with every pipeline on one thread, from files to normalized float tensors.

    The pipelines alternate every `TURN` images, so that other load on the machine affects all of them equally. If
    they alternated every image, they would find each other's data in the processor's cache, which a loader worker does
    not. An uncounted round comes first, after which the files are in the page cache.

    Args:
        datamodule: The dataset and its augmentation.
        images: Crops per round.
        rounds: Counted rounds.

    Returns:
        One result per pipeline, the Pillow pipelines first.
    """
    datamodule.setup("fit")
    pipelines = _pipelines(datamodule)
    sampler: Any = datamodule.train_dataloader().sampler
    draws: list[CropRequest] = []
    while len(draws) < images:
        draws += sampler
        sampler.epoch += 1
    draws = draws[:images]
    clocks = {name: [_Clock() for _ in range(rounds)] for name in pipelines}
    with as_in_a_worker():
        for number in range(-1, rounds):
            for start, (name, prepare) in product(range(0, images, TURN), pipelines.items()):
                clock = clocks[name][number] if number >= 0 else _Clock()
                for draw in draws[start : start + TURN]:
                    clock.start()
                    prepare(draw, clock.done)
    results = []
    for name, of_rounds in clocks.items():
        stages = {stage: mean(1000 * clock.seconds[stage] / images for clock in of_rounds) for stage in STAGES}
        rates = [images / sum(clock.seconds.values()) for clock in of_rounds]
        results.append(PipelineTime(name, stages, rates))
    baseline = next(result for result in results if result.name == BASELINE)
    for result in results:
        result.ratios = [rate / other for rate, other in zip(result.rates, baseline.rates, strict=True)]
    return results


def worker_memory(datamodule: SegmentationDataModule, images: int = 20) -> float:
    """Return the peak resident memory of one loader worker in MB after ``images`` crops (Linux only)."""
    return in_new_process(_peak, datamodule.train_set, images)


def index_seconds(datamodule: SegmentationDataModule, labels: int) -> float:
    """Return the seconds for computing the centroids of ``labels`` training labels on all cores; labels may repeat."""
    paths = [sample.label for sample in datamodule.train_set.samples]
    paths = (paths * -(-labels // len(paths)))[:labels]
    began = time.perf_counter()
    build_table(paths, datamodule.spec)
    return time.perf_counter() - began


def loader_table(times: Iterable[PipelineTime]) -> Table:
    """Format the results of `benchmark_loader` as a table of at most 80 characters."""
    title = "milliseconds per training crop on one core, to normalized floats"
    table = Table(title=title, box=SIMPLE_HEAD, padding=0)
    for column in ("pipeline", *STAGES, "images/s", "speedup", "rounds"):
        table.add_column(column, justify="left" if column == "pipeline" else "right", no_wrap=column == "pipeline")
    for row in times:
        spread = f"{min(row.ratios):.1f}-{max(row.ratios):.1f}"
        stages = [f"{row.stages[stage]:.1f}" for stage in STAGES]
        table.add_row(row.name, *stages, f"{median(row.rates):.1f}", f"{median(row.ratios):.1f}", spread)
    return table


@contextmanager
def as_in_a_worker() -> Iterator[None]:
    """Limit OpenCV and torch to one thread and keep freed memory, as a loader worker does."""
    threads, torch_threads = cv2.getNumThreads(), torch.get_num_threads()
    take_one_core()
    try:
        yield
    finally:
        cv2.setNumThreads(threads)
        torch.set_num_threads(torch_threads)


class _Clock:
    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)

    def start(self) -> None:
        self._last = time.perf_counter()

    def done(self, stage: str) -> None:
        now = time.perf_counter()
        self.seconds[stage] += now - self._last
        self._last = now


def _pipelines(datamodule: SegmentationDataModule) -> dict[str, Pipeline]:
    samples, spec, root = datamodule.train_set.samples, datamodule.spec, datamodule.root
    storages = {kind: open_storage(kind, samples, spec, root) for kind in STORAGE}
    halves = cast(Any, storages["half"]).halves
    halved = [Sample(half, sample.label) for half, sample in zip(halves, samples, strict=True)]
    pipelines: dict[str, Pipeline] = {
        BASELINE: partial(_by_pillow, datamodule, samples),
        "Pillow, half": partial(_by_pillow, datamodule, halved),
    }
    return pipelines | {kind: partial(_ours, datamodule, storage) for kind, storage in storages.items()}


def _by_pillow(
    datamodule: SegmentationDataModule, samples: Sequence[Sample], draw: CropRequest, done: Callable[[str], None]
) -> None:
    transform, rng = datamodule.transform, stream(datamodule.seed, *draw.key)
    sizes = transform.crop_size, transform.short_side
    pillow_crop(samples[draw.index], datamodule.spec, *sizes, rng, draw.centroid, done)


def _ours(datamodule: SegmentationDataModule, storage: Storage, draw: CropRequest, done: Callable[[str], None]) -> None:
    """Run the steps of `TrainTransform` one by one, and the normalization that a GPU does in training."""
    transform, rng = datamodule.transform, stream(datamodule.seed, *draw.key)
    image, label = storage.read(draw.index)
    done("read")
    window = draw_window(label.shape, transform.crop_size, transform.short_side, rng, draw.centroid)
    image, label = cut_image(image, window), cut_label(label, window)
    done("scale, crop")
    image, label = transform.after_crop(image, label, rng)
    done("augment")
    normalize(torch.from_numpy(image)[None]), torch.from_numpy(label)
    done("to tensors")


def _peak(train_set: TrainSet, images: int) -> float:
    with as_in_a_worker():
        for number in range(images):
            train_set[CropRequest(number // len(train_set), number % len(train_set))]
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1000
