"""The paper's tables and the author's runs, read from ``experiments/``."""

from __future__ import annotations

import functools
import json
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import yaml

METRICS = ("best/miou", "best/miou_reduced", "last/miou", "last/miou_reduced")


class _Loader(yaml.SafeLoader):
    """Reads numbers with decimals as text, so that they keep the zeros with which they are printed, as in 75.70."""

    yaml_implicit_resolvers: ClassVar[dict[str, list[Any]]] = {
        first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:float"]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


class Curve(NamedTuple):
    """The evaluations of one run.

    Attributes:
        seed: The run's seed.
        epochs: The evaluated epochs, counted from 0.
        miou: Mean IoU at each of them, in percent.
        miou_reduced: Mean IoU without the excluded classes, in percent.
        iou: IoU of every class at each of them, in percent; NaN for an absent class.
    """

    seed: int
    epochs: Sequence[int]
    miou: Sequence[float]
    miou_reduced: Sequence[float]
    iou: Sequence[Sequence[float]]

    def value(self, metric: str) -> float:
        """Return one of `METRICS`: its value at the last evaluation or its highest value; NaN without evaluations."""
        which, _, name = metric.partition("/")
        values = getattr(self, name)
        if not values:
            return float("nan")
        return values[-1] if which == "last" else max((v for v in values if v == v), default=float("nan"))


def folder() -> Path:
    """Return the folder of the published values: ``regseg/experiments`` in a wheel, ``experiments/`` in a checkout."""
    installed = Path(__file__).parents[1] / "experiments"
    return installed if installed.is_dir() else Path(__file__).parents[3] / "experiments"


@functools.cache
def paper() -> dict[str, Any]:
    """Return the published tables by name, from all YAML files of `folder`; paper.yaml explains the fields.

    Numbers with decimals are text, exactly as the file has them; use `float` to compute with them.
    """
    tables: dict[str, Any] = {}
    for path in sorted(folder().glob("*.yaml")):
        content = yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)
        assert not tables.keys() & content.keys(), f"{path} repeats a table of another file"
        tables |= content
    return tables


def needs_of(table: str) -> dict[str, str]:
    """Return the options that the runs of a table need besides the experiment: ``weights=FILE``, with what they are."""
    return paper().get(table, {}).get("needs", {})


@functools.cache
def _records() -> list[dict[str, Any]]:
    return json.loads((folder() / "author_runs.json").read_text(encoding="utf-8"))


def author_runs(table: str, row: str) -> list[Curve]:
    """Return the author's runs behind a table's row, in the order of the logs; empty if there are none."""
    return [_curve(record) for record in _records() if (record["table"], record["row"]) == (table, row)]


def epochs_of(table: str, row: str) -> int | None:
    """Return for how many epochs the published runs of a row were trained; None if that is not known."""
    runs = author_runs(table, row)
    return runs[0].epochs[-1] + 1 if runs else paper().get(table, {}).get("epochs")


def _curve(record: Mapping[str, Any]) -> Curve:
    excluded = record.get("excluded", ())
    means = [_mean(iou) for iou in record["iou"]]
    reduced = [_mean(iou, excluded) for iou in record["iou"]]
    return Curve(record["seed"], record["epochs"], means, reduced, record["iou"])


def _mean(values: Sequence[float], excluded: Collection[int] = ()) -> float:
    kept = [value for index, value in enumerate(values) if index not in excluded]
    return sum(kept) / len(kept)
