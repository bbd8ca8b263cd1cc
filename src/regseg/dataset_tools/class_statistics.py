"""Measures how often training sees each class, with and without class-uniform sampling (Sec. 4.2)."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from regseg.data.augment.crop_resize import cut_label, draw_window
from regseg.data.datamodule import SegmentationDataModule
from regseg.data.io import read_label
from regseg.data.sampling.centroids import load_index
from regseg.data.sampling.class_uniform import ClassUniformSampler, crops_per_class
from regseg.data.sampling.epochs import CropRequest, EpochSampler, stream
from regseg.reporting.plots import figure, set_log_x
from regseg.system.atomic import write_text
from regseg.system.console import plain_console, progress

CROPS = 1000  # per sampling method, over as many epochs as needed


class Frequencies(NamedTuple):
    """Shares of each class, (C,) float64 in [0, 1].

    Attributes:
        crops: Share of the crops that contain the class.
        pixels: Share of the labelled pixels in the crops.
    """

    crops: np.ndarray
    pixels: np.ndarray


def report(datamodule: SegmentationDataModule, out: Path) -> None:
    """Print the shares of the classes and write them to ``out/class_frequencies.csv`` and ``.png``."""
    from rich.table import Table

    datamodule.batch_size = 1  # crops are drawn one by one, so that datasets smaller than a batch can be measured
    datamodule.setup("fit")
    share = datamodule.class_uniform or 0.5
    files, plain, uniform = measure(datamodule, share)
    headings = ["class", "pixels in files", "crops, plain", "crops, uniform", "pixels, plain", "pixels, uniform"]
    columns = [files, plain.crops, uniform.crops, plain.pixels, uniform.pixels]
    table = Table(title=f"share of each class in percent; class_uniform={share}")
    for heading in headings:
        table.add_column(heading, justify="left" if heading == "class" else "right", overflow="fold")
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(headings)
    for name, *shares in zip(datamodule.spec.classes, *columns, strict=True):
        writer.writerow([name, *(f"{value:.6f}" for value in shares)])
        table.add_row(name, *(f"{100 * value:.2f}" for value in shares))
    write_text(out / "class_frequencies.csv", text.getvalue())
    plain_console().print(table)
    images, number = len(datamodule.train_set.samples), datamodule.spec.num_classes
    if crops_per_class(share, images, number) == 0:
        print(f"{images} images are too few for class-uniform crops of {number} classes: both ways are the same.")
    draw(datamodule.spec.classes, plain, uniform, share, out / "class_frequencies.png")
    print(f"Table and picture: {out / 'class_frequencies.csv'}, {out / 'class_frequencies.png'}")


def measure(datamodule: SegmentationDataModule, share: float) -> tuple[np.ndarray, Frequencies, Frequencies]:
    """Measure the shares of the classes in the files and in training crops.

    The crops are those of the first epochs of training. Only labels are read; flips and colours do not matter.

    Args:
        datamodule: The dataset, set up for training.
        share: The share of class-uniform crops.

    Returns:
        Share of each class in the labelled pixels of the files, (C,) float64; frequencies of plain sampling;
        frequencies of class-uniform sampling.
    """
    samples, spec = datamodule.train_set.samples, datamodule.spec
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        counts = pool.map(lambda sample: _count(read_label(sample.label, spec), spec.num_classes), samples)
        files = np.sum(list(progress(counts, len(samples), "counting pixels")), axis=0)
        centroids = load_index(samples, spec, datamodule.root)
        found = []
        order = (len(samples), datamodule.seed)
        samplers: tuple[tuple[str, Any], ...] = (
            ("plain", EpochSampler(*order)),
            ("class-uniform", ClassUniformSampler(centroids, share, *order)),
        )
        for way, sampler in samplers:
            draws: list[CropRequest] = []
            for sampler.epoch in range(-(-CROPS // len(samples))):
                draws += sampler
            draws = draws[:CROPS]
            crops = pool.map(lambda draw: _crop_counts(datamodule, draw), draws)
            pixels = np.array(list(progress(crops, len(draws), f"counting crops, {way} sampling")))
            found.append(Frequencies((pixels > 0).mean(0), pixels.sum(0) / max(pixels.sum(), 1)))
    return files / max(files.sum(), 1), *found


def draw(classes: Sequence[str], plain: Frequencies, uniform: Frequencies, share: float, path: Path) -> None:
    """Draw the frequencies of both sampling methods as bars, with the rarest class on top."""
    order = np.argsort(-plain.crops, kind="stable")
    with figure(path, 10, 1.2 + 0.3 * len(classes)) as drawn:
        places = np.arange(len(classes))
        titles = ("crops that show the class", "share of the labelled pixels in crops")
        for axes, title, name in zip(drawn.subplots(1, 2, sharey=True), titles, Frequencies._fields, strict=True):
            for offset, frequencies, color, label in (
                (-0.2, plain, "#999999", "every image once"),
                (0.2, uniform, "#0072B2", f"class_uniform={share}"),
            ):
                values = 100 * getattr(frequencies, name)[order]
                axes.barh(places + offset, values, 0.4, color=color, label=label)
            if name == "pixels":
                _use_log_if_wide(axes, 100 * np.concatenate([plain.pixels, uniform.pixels]))
            axes.set_xlabel(f"{title}, %")
            axes.set_yticks(places, [classes[index] for index in order])
            axes.grid(axis="y", visible=False)
        handles, labels = axes.get_legend_handles_labels()
        drawn.legend(handles, labels, loc="outside upper center", ncols=2, frameon=False)


def _use_log_if_wide(axes: Any, values: np.ndarray) -> None:
    """Make the axis of bars logarithmic if they differ much: road and motorcycle by three orders of magnitude."""
    positive = values[values > 0]
    if len(positive) and positive.max() > 10 * positive.min():
        set_log_x(axes)
        axes.set_xlim(left=10 ** np.floor(np.log10(positive.min()) - 0.1))  # otherwise the shortest bar has no length


def _crop_counts(datamodule: SegmentationDataModule, draw: CropRequest) -> np.ndarray:
    transform, rng = datamodule.transform, stream(datamodule.seed, *draw.key)
    label = read_label(datamodule.train_set.samples[draw.index].label, datamodule.spec)
    window = draw_window(label.shape, transform.crop_size, transform.short_side, rng, draw.centroid)
    return _count(cut_label(label, window), datamodule.spec.num_classes)


def _count(label: np.ndarray, num_classes: int) -> np.ndarray:
    return np.bincount(label.ravel(), minlength=256)[:num_classes]
