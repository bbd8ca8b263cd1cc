"""How the size of the evaluated images changes mIoU (Fig. 6)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.table import Table

from regseg.analysis.plots import CYCLE, figure
from regseg.console import plain_console

Results = Sequence[Mapping[str, Any]]  # {"val_size": pixels, "metrics": {"val/miou": fraction, …}}


def sizes_table(results: Results) -> None:
    """Print mIoU, reduced mIoU and pixel accuracy in percent, a row a size."""
    table = Table()
    for heading in ("short side", "mIoU", "reduced mIoU", "pixel accuracy"):
        table.add_column(heading, justify="right")
    for result in results:
        means = (result["metrics"][f"val/{name}"] for name in ("miou", "miou_reduced", "accuracy"))
        table.add_row(str(result["val_size"]), *(f"{100 * mean:.2f}" for mean in means))
    plain_console().print(table)


def draw(curves: Mapping[str, Results], path: Path) -> None:
    """A curve of mIoU over the short side for every name, as a picture."""
    with figure(path) as drawn:
        axes = drawn.add_subplot()
        for (name, results), color in zip(curves.items(), CYCLE * len(curves), strict=False):
            sizes = [result["val_size"] for result in results]
            mious = [100 * (result["metrics"]["val/miou"] or 0.0) for result in results]
            axes.plot(sizes, mious, "o-", color=color, label=name)
        axes.set_xlabel("short side of the evaluated images, pixels")
        axes.set_ylabel("mIoU, %")
        axes.set_xticks(sorted({result["val_size"] for results in curves.values() for result in results}))
        axes.legend()
