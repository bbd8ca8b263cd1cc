"""What the paper prints and what the author's logs hold, as data."""

from __future__ import annotations

import functools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml

LEFT_OUT = (14, 15, 16)  # truck, bus, train: not in the reduced mIoU of Cityscapes (Sec. 4.3)
METRICS = ("best/miou", "best/miou_reduced", "last/miou", "last/miou_reduced")


class Curve(NamedTuple):
    """One run's evaluations.

    Attributes:
        seed: of the run.
        epochs: at which it was evaluated, counted from 0.
        miou: mean IoU at each of them, in percent.
        miou_reduced: without truck, bus and train.
        iou: of every class at the epoch that its table prints, in percent; NaN where a class was absent.
    """

    seed: int
    epochs: Sequence[int]
    miou: Sequence[float]
    miou_reduced: Sequence[float]
    iou: Sequence[Sequence[float]]

    def value(self, metric: str) -> float:
        """The figure of one of `METRICS`: of the last evaluation or the highest of all; NaN where there is none."""
        which, _, name = metric.partition("/")
        values = getattr(self, name)
        if not values:
            return float("nan")
        return values[-1] if which == "last" else max((v for v in values if v == v), default=float("nan"))


def folder() -> Path:
    """Where the data is: ``regseg/experiments`` in an installed wheel, ``experiments/`` in a checkout."""
    installed = Path(__file__).parents[1] / "experiments"
    return installed if installed.is_dir() else Path(__file__).parents[3] / "experiments"


@functools.cache
def paper() -> dict[str, Any]:
    """The tables of the paper by name, as ``experiments/paper.yaml`` holds them."""
    return yaml.safe_load((folder() / "paper.yaml").read_text(encoding="utf-8"))


@functools.cache
def _records() -> list[dict[str, Any]]:
    return json.loads((folder() / "author_runs.json").read_text(encoding="utf-8"))


def author_runs(table: str, row: str) -> list[Curve]:
    """The author's runs behind a table's row, in the order of his logs; empty where there are none."""
    return [
        Curve(
            record["seed"],
            record["epochs"],
            [_mean(iou) for iou in record["iou"]],
            [_mean([value for index, value in enumerate(iou) if index not in LEFT_OUT]) for iou in record["iou"]]
            if len(record["iou"][0]) == 19
            else [_mean(iou) for iou in record["iou"]],
            record["iou"],
        )
        for record in _records()
        if (record["table"], record["row"]) == (table, row)
    ]


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
