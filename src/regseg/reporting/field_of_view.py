"""Draws the theoretical and the effective field of view of networks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor, nn

from regseg.models.complexity import field_of_view, field_of_view_by_block
from regseg.models.summary import CITYSCAPES, effective_field_of_view, noise_images, share_within, side_of
from regseg.reporting.plots import CYCLE, figure, require_matplotlib

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import SubFigure
    from matplotlib.image import AxesImage

STYLE: dict[str, Any] = {
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "legend.frameon": False,
    "lines.linewidth": 1.3,
    "svg.fonttype": "none",
}


def draw_field_of_view(
    models: Mapping[str, nn.Module],
    path: str | Path,
    *,
    images: Iterable[Tensor] | None = None,
    size: tuple[int, int] = CITYSCAPES,
) -> Path:
    """Plot the theoretical and the effective field of view of models.

    The upper row has one map per model: the effect of each pixel on the prediction at the centre of the image, with the
    square of the theoretical field of view (Sec. 3.1) and the square that contains half of the effect. Below are the
    theoretical field of view after every block, and the share of the effect in a centred square of a given side.

    Args:
        models: title -> model.
        path: the image file to write; its suffix sets the format.
        images: as for `effective_field_of_view`; None uses noise of `size`.
        size: (height, width) of the noise, in pixels.

    Returns:
        The path.

    Raises:
        InputError: matplotlib is not installed.
    """
    require_matplotlib()  # before the measurement, which takes seconds
    images = noise_images(size) if images is None else list(images)
    seen = {title: effective_field_of_view(model, images) for title, model in models.items()}
    columns = 2 if len(models) in (2, 4) else min(len(models), 3)
    rows = -(-len(models) // columns)
    height, width = next(iter(seen.values())).shape
    maps, curves = rows * (6.2 / columns * height / width + 0.6), 2.7  # inches
    path = Path(path)
    with figure(path, 7.2, maps + curves, style=STYLE, dpi=200) as drawn:
        above, below = np.ravel(np.array(drawn.subfigures(2, 1, height_ratios=[maps, curves])))
        _draw_maps(above, (rows, columns), models, seen)
        left, right = below.subplots(1, 2)
        _draw_growth(left, models)
        _draw_shares(right, models, seen)
    return path


def _draw_maps(
    part: SubFigure, grid: tuple[int, int], models: Mapping[str, nn.Module], seen: Mapping[str, np.ndarray]
) -> None:
    axes = part.subplots(*grid, squeeze=False).ravel()
    for ax in axes[len(models) :]:
        ax.set_axis_off()
    for ax, color, (title, model) in zip(axes, cycle(CYCLE), models.items(), strict=False):
        mesh = _draw_map(ax, seen[title], field_of_view(model))
        ax.set_title(title, loc="left", fontweight="bold", color=color)
    bar = part.colorbar(mesh, ax=axes, shrink=0.8, pad=0.015, aspect=14 * grid[0])
    bar.set_label("effect on the centre,\nrelative to the largest")


def _draw_map(ax: Axes, seen: np.ndarray, theoretical: int | None) -> AxesImage:
    from matplotlib.colors import LogNorm
    from matplotlib.patches import Rectangle

    height, width = seen.shape
    step = max(1, width // 512)  # averaged over cells, because single pixels are noisy and too small to print
    cells = seen[: height // step * step, : width // step * step]
    cells = cells.reshape(height // step, step, width // step, step).mean((1, 3))
    extent = (-width / 2, width / 2, height / 2, -height / 2)
    mesh = ax.imshow(cells / cells.max(), norm=LogNorm(1e-4, 1), cmap="magma", extent=extent, rasterized=True)
    half = side_of(0.5, seen)
    squares = [(half, "-", f"half of the effect: {half} px (solid)")]
    if theoretical is not None:
        where = "dashed" if theoretical < width else "off map"
        squares.append((theoretical, "--", f"theoretical: {theoretical} px ({where})"))
    for side, line, _ in squares:
        ax.add_patch(Rectangle((-side / 2, -side / 2), side, side, fill=False, ec="white", ls=line, lw=0.9))
    ax.set(xlim=extent[:2], ylim=extent[2:], xticks=[], yticks=[])
    ax.set_xlabel("\n".join(text for *_, text in squares))
    for spine in ax.spines.values():
        spine.set_visible(False)
    return mesh


def _draw_growth(ax: Axes, models: Mapping[str, nn.Module]) -> None:
    from matplotlib.ticker import AutoLocator

    top = 4600.0
    for color, (title, model) in zip(cycle(CYCLE), models.items(), strict=False):
        rows = field_of_view_by_block(model)
        if rows is not None:
            top = max(top, 1.05 * rows[-1][2])
            ax.step(range(len(rows)), [k for _, _, k, _ in rows], where="mid", color=color, label=title)
    for pixels, text in ((2 * 1024 - 1, "top to bottom"), (2 * 2048 - 1, "corner to corner")):
        ax.axhline(pixels, color="0.6", lw=0.7, ls=":")
        ax.annotate(f"{text} of 1024x2048", (0, pixels), (0, 2), textcoords="offset points", color="0.45", fontsize=7)
    ax.set(xlabel="block of the backbone (0 is the stem)", ylabel="field of view (px)", ylim=(0, top))
    locator = AutoLocator()
    locator.set_params(integer=True)
    ax.xaxis.set_major_locator(locator)
    ax.set_title("Theoretical, after every block", loc="left")


def _draw_shares(ax: Axes, models: Mapping[str, nn.Module], seen: Mapping[str, np.ndarray]) -> None:
    for color, title in zip(cycle(CYCLE), models, strict=False):
        shares = share_within(seen[title])
        ax.plot(2 * np.arange(len(shares)) + 1, 100 * shares, color=color, label=title)
    ax.set(xlabel="side of a centred square (px)", ylabel="share of the effect (%)", ylim=(0, 100), xlim=(0, None))
    ax.set_title("Effective, within a square", loc="left")
    ax.legend(loc="lower right")
