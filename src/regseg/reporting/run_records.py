"""Reads the records of a run folder, which may be truncated, damaged or edited; reports what cannot be read."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, NamedTuple

from regseg.system.records import read_csv, read_json

_RECORDS = ("summary.json", "metrics.csv", "config.yaml", "checkpoints")
_MEANS = ("val/miou", "val/miou_reduced")


class Evaluations(NamedTuple):
    """The content of ``metrics.csv``; values in percent, NaN if there was nothing to score.

    Attributes:
        epoch: The last trained epoch, counted from 0; -1 if there is none.
        classes: Class names, in the order of ``iou``.
        epochs: The evaluated epochs.
        miou: Mean IoU at each of them.
        miou_reduced: Mean IoU without the excluded classes at each of them.
        iou: IoU of every class at each of them.
    """

    epoch: int = -1
    classes: tuple[str, ...] = ()
    epochs: tuple[int, ...] = ()
    miou: tuple[float, ...] = ()
    miou_reduced: tuple[float, ...] = ()
    iou: tuple[tuple[float, ...], ...] = ()


def run_folders(folder: Path) -> list[Path]:
    """Return the subfolders of ``folder`` that contain any record of a run, sorted by name."""
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if any((path / name).exists() for name in _RECORDS))


def printable(text: str) -> str:
    """Return ``text`` as one line that can be encoded as UTF-8."""
    return " ".join(text.encode("utf-8", "replace").decode().split())


class Summary:
    """``summary.json`` with checked values; ``problems`` lists what is damaged or of the wrong type."""

    def __init__(self, folder: Path) -> None:
        content, problem = read_json(folder / "summary.json")
        if not problem and not isinstance(content, dict):
            problem = "summary.json is damaged"
        self.content: dict[str, Any] = {} if problem else content
        self.problems = [problem] if problem else []

    def get(self, name: str, kinds: type | tuple[type, ...], default: Any) -> Any:
        """Return the value at a dotted name, or ``default`` if it is missing, null or not of the types ``kinds``."""
        value: Any = self.content
        for part in name.split("."):
            if value is None:
                return default
            value = value.get(part) if isinstance(value, dict) else _WRONG
            if value is _WRONG:
                break
        if value is None:
            return default
        if not isinstance(value, kinds) or (isinstance(value, bool) and kinds is not bool):
            problem = f"summary.json has no valid {name}"
            self.problems += [problem] if problem not in self.problems else []
            return default
        return value


_WRONG = object()  # marks a dotted name whose parent is not a mapping


def read_evaluations(folder: Path) -> tuple[Evaluations, str]:
    """Return (content, problem) of ``metrics.csv``; rows that cannot be read are skipped and counted."""
    header, rows, count, problem = read_csv(folder / "metrics.csv")
    if problem:
        return Evaluations(), problem
    if missing := [name for name in ("epoch", *_MEANS) if name not in header]:
        return Evaluations(), f"metrics.csv has no column {missing[0]}"
    values = [value for row in rows if (value := _row(header, row)) is not None]
    bad = count - len(values)
    return _evaluations(header, values), f"{bad} of {count} rows of metrics.csv cannot be read" if bad else ""


def classes_of(group: Path) -> tuple[list[str], bool]:
    """Return the classes of the runs in a group's folder, and whether any dataset excludes some from the reduced mIoU.

    The runs of a group may have different datasets; there are no classes without a run that records them.
    """
    classes: dict[str, None] = {}
    reduced = False
    for folder in run_folders(group):
        summary = Summary(folder)
        names = summary.get("data.classes", list, [])
        classes |= dict.fromkeys(printable(name) for name in names if isinstance(name, str))
        excluded = summary.get("data.excluded", list, None)
        if excluded is None:  # a run of an earlier version
            scores = summary.get("last.metrics", dict, {})
            reduced |= scores.get("val/miou_reduced") != scores.get("val/miou")
        reduced |= bool(excluded)
    return list(classes), reduced


def only_smoke_tests(group: Path) -> bool:
    """Return whether all runs in a group's folder are smoke tests."""
    return all(Summary(folder).get("config.trainer.smoke", bool, False) for folder in run_folders(group))


def _row(header: list[str], cells: list[str]) -> dict[str, float] | None:
    """Return the epoch and scores of a row, NaN for empty cells; None if any cell is invalid."""
    values = {}
    for name, cell in zip(header, cells, strict=True):
        if name == "epoch" or name in _MEANS or name.startswith("val/iou/"):
            try:
                values[name] = float(cell) if cell else math.nan
            except ValueError:
                return None
    means = [value for name, value in values.items() if name != "epoch" and value == value]
    epoch = values["epoch"]
    sound = 0 <= epoch < 1e9 and epoch == int(epoch) and all(0 <= value <= 1 for value in means)
    return values if sound else None


def _evaluations(header: list[str], rows: list[dict[str, float]]) -> Evaluations:
    names = [name for name in header if name.startswith("val/iou/")]
    evaluated = [row for row in rows if row["val/miou"] == row["val/miou"]]
    return Evaluations(
        int(rows[-1]["epoch"]) if rows else -1,
        tuple(printable(name.removeprefix("val/iou/")) for name in names),
        tuple(int(row["epoch"]) for row in evaluated),
        tuple(100 * row["val/miou"] for row in evaluated),
        tuple(100 * row["val/miou_reduced"] for row in evaluated),
        tuple(tuple(100 * row[name] for name in names) for row in evaluated),
    )
