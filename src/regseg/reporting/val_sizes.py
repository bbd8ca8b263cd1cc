"""mIoU over the size of the evaluated images (Fig. 6): reading, printing and drawing ``val_sizes.json``."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.table import Table

from regseg.reporting.plots import CYCLE, figure
from regseg.reporting.run_records import printable
from regseg.system.console import plain_console
from regseg.system.records import read_json

_LARGEST = 2**31  # pixels
_MOST_TICKS = 30
# {"val_size": pixels, "metrics": {"val/miou": fraction, …}, and how they were measured: "weights" (the file's name),
# "dataset", "split", "flip", "scales", "images" (number of evaluated ones) and "images_of_split"}
Results = Sequence[Mapping[str, Any]]


def sizes_table(results: Results, *, reduced: bool) -> None:
    """Print mIoU, pixel accuracy and, if ``reduced``, the reduced mIoU in percent, one row per size."""
    table = Table()
    columns = {"miou": "mIoU %"} | ({"miou_reduced": "reduced mIoU %"} if reduced else {})
    columns |= {"accuracy": "pixel accuracy %"}
    for heading in ("short side, pixels", *columns.values()):
        table.add_column(heading, justify="right")
    for result in results:
        means = (result["metrics"][f"val/{name}"] for name in columns)
        table.add_row(str(result["val_size"]), *(f"{100 * mean:.2f}" for mean in means))
    plain_console().print(table)


def read(folder: Path) -> tuple[Results, str]:
    """Return (results, problem) of a run's ``val_sizes.json``; one of them is empty."""
    content, problem = read_json(folder / "val_sizes.json")
    if not problem and not (isinstance(content, list) and all(_is_result(entry) for entry in content)):
        problem = "val_sizes.json is damaged"
    if problem:
        return [], problem
    scored = [entry for entry in content if entry["metrics"]["val/miou"] is not None]
    return scored, "" if scored else "val_sizes.json has no scores"


def deviation(results: Results, data: Mapping[str, Any]) -> str:
    """Return how results differ from those of a run's last checkpoint on all images, without flip and scales.

    Args:
        results: Of one run.
        data: The expected ``dataset`` and ``val_split``; one that is missing may have any value.

    Returns:
        The differing options, such as ``split=train, 5 of 500 images``; empty if there are none.
    """
    expected = {"weights": "last.ckpt", "flip": False, "scales": [1.0]}
    expected |= {name: data[key] for name, key in (("dataset", "dataset"), ("split", "val_split")) if key in data}
    found: dict[str, None] = {}
    for entry in results:
        if "weights" not in entry:  # of an earlier version
            return "options that are not recorded"
        other = (name for name, value in expected.items() if entry.get(name) != value)
        found |= dict.fromkeys(f"{name}={entry.get(name)}" for name in other)
        images, total = entry.get("images"), entry.get("images_of_split")
        found |= {} if images == total else {f"{images} of {total} images": None}
    return printable(", ".join(found))


def _is_result(entry: Any) -> bool:
    size, metrics = (entry.get("val_size"), entry.get("metrics")) if isinstance(entry, dict) else (None, None)
    if type(size) is not int or not 0 < size < _LARGEST or not isinstance(metrics, dict) or "val/miou" not in metrics:
        return False
    miou = metrics["val/miou"]  # null if every pixel was ignored
    return miou is None or (type(miou) in (int, float) and 0 <= miou <= 1)


def means_by_size(results: Sequence[Results]) -> dict[int, float]:
    """Return the mean mIoU over several runs in percent, by short side."""
    values: dict[int, list[float]] = {}
    for result in (result for run in results for result in run):
        values.setdefault(result["val_size"], []).append(100 * result["metrics"]["val/miou"])
    return {size: statistics.mean(of_size) for size, of_size in sorted(values.items())}


def draw(curves: Mapping[str, Results], path: Path) -> None:
    """Draw mIoU over the short side, one curve per name."""
    with figure(path, 6.4, 3.8 + 0.22 * len(curves)) as drawn:
        axes = drawn.add_subplot()
        for (name, results), color in zip(curves.items(), CYCLE * len(curves), strict=False):
            sizes = [result["val_size"] for result in results]
            mious = [100 * (result["metrics"]["val/miou"] or 0.0) for result in results]
            axes.plot(sizes, mious, "o-", color=color, label=name)
        axes.set_xlabel("short side of the evaluated images, pixels")
        axes.set_ylabel("mIoU, %")
        ticks = sorted({result["val_size"] for results in curves.values() for result in results})
        if len(ticks) <= _MOST_TICKS:
            axes.set_xticks(ticks)
        drawn.legend(loc="outside lower center")  # names of runs with remarks are long, and would cover curves
