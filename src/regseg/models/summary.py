"""A model's size, cost and field of view, as values and as a plot."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from regseg.errors import InputError
from regseg.models.backbones import STEM_CHANNELS
from regseg.models.complexity import BlockView, count_parameters, field_of_view, field_of_view_by_block, gflops
from regseg.models.description import config_of
from regseg.system.atomic import write_whole

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import SubFigure
    from matplotlib.image import AxesImage

CITYSCAPES = (1024, 2048)


def describe(model: nn.Module, size: tuple[int, int] = CITYSCAPES) -> dict[str, Any]:
    """Describe a model of `create_model`.

    Args:
        model: the model.
        size: (height, width) in pixels of the image for which operations are counted.

    Returns:
        Plain values: `model` (its config), `parameters`, `size`, `gflops` and `gflops_convolutions` (billions),
        `field_of_view` (pixels, or None), and `blocks`, the stem and every block of the backbone with its `name`,
        `channels`, `stride`, `rates`, `field_of_view` and `bound`, the largest rate without holes (Sec. 3.1);
        `blocks` is empty for DDRNet-23.
    """
    return {
        "model": config_of(model),
        "parameters": count_parameters(model),
        "size": list(size),
        "gflops": gflops(model, size),
        "gflops_convolutions": gflops(model, size, convolutions_only=True),
        "field_of_view": field_of_view(model),
        "blocks": _blocks(model),
    }


def _blocks(model: nn.Module) -> list[dict[str, Any]]:
    rows = field_of_view_by_block(model)
    if rows is None:
        return []
    described = [_described(rows[0], STEM_CHANNELS, [1], 1.0)]
    for before, row in pairwise(rows):
        conv = row.conv
        assert conv is not None
        bound = before.field_of_view / before.stride
        described.append(_described(row, conv.out_channels, list(conv.dilations), bound))
    return described


def _described(row: BlockView, channels: int, rates: list[int], bound: float) -> dict[str, Any]:
    return {
        "name": row.name,
        "channels": channels,
        "stride": row.stride,
        "rates": rates,
        "field_of_view": row.field_of_view,
        "bound": bound,
    }


def effective_field_of_view(model: nn.Module, images: Iterable[Tensor]) -> np.ndarray:
    """Measure how much each input pixel affects the prediction at the centre of the image.

    It is |d logit / d pixel| for the predicted class of the centre pixel, summed over the three colours and averaged
    over the images (Luo et al., 2016, "Understanding the effective receptive field"). The whole model is included, with
    its decoder and global pooling.

    Args:
        model: the model; it is not changed.
        images: batches of normalised images (B, 3, H, W), all of one size.

    Returns:
        (H, W) float64; the sum is 1.

    Raises:
        InputError: there are no images, or their sizes differ.
    """
    images = [image for batch in images for image in batch]
    sizes = sorted({tuple(image.shape[-2:]) for image in images})
    if len(sizes) != 1:
        raise InputError(
            f"The field of view is measured on images of one size, but the sizes are {sizes or 'none'}; give images "
            "of one size."
        )
    model = _settled(model, images)
    total = torch.zeros(sizes[0], dtype=torch.float64, device=next(model.parameters()).device)
    for image in images:
        pixels = image[None].to(next(model.parameters()).device).requires_grad_()
        logits = model(pixels)
        centre = logits[0, :, logits.shape[2] // 2, logits.shape[3] // 2]
        (gradient,) = torch.autograd.grad(centre.max(), pixels)
        seen = gradient[0].abs().sum(0).double()  # (H, W)
        total = total + seen / seen.sum()
    return (total / total.sum()).cpu().numpy()


def _settled(model: nn.Module, images: list[Tensor]) -> nn.Module:
    """Return a copy in eval mode; if the model is untrained, set the statistics of its BatchNorms from a crop.

    With the initial statistics, the contribution of the residual branches would vanish.
    """
    model = copy.deepcopy(model)
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    if all(norm.num_batches_tracked == 0 for norm in norms):
        for norm in norms:
            norm.momentum = 1.0
        crop = images[0][None, :, :512, :512].to(next(model.parameters()).device)
        with torch.no_grad():
            model.train()(torch.cat([crop, crop.flip(-1)]))  # two images, as a globally pooled map is a single value
    return model.eval()


def noise_images(size: tuple[int, int], count: int = 4) -> list[Tensor]:
    """Return `count` normalised images (1, 3, H, W) of Gaussian noise, the same in every call."""
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(1, 3, *size, generator=generator) for _ in range(count)]


def share_within(seen: np.ndarray) -> np.ndarray:
    """Return the share of `seen` (H, W) in the centred square of side 2d + 1, for every distance d from the centre."""
    height, width = seen.shape
    rows, columns = np.abs(np.arange(height) - height // 2), np.abs(np.arange(width) - width // 2)
    distance = np.maximum(rows[:, None], columns[None, :])
    return np.cumsum(np.bincount(distance.ravel(), weights=seen.ravel()))


def side_of(share: float, seen: np.ndarray) -> int:
    """Return the side of the smallest centred square that contains `share` (between 0 and 1) of `seen` (H, W)."""
    return 2 * int(np.searchsorted(share_within(seen), share)) + 1


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
    try:
        import matplotlib
    except ImportError as error:
        raise InputError("Plots need matplotlib; install it with pip install 'regseg[report]'.") from error
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    images = noise_images(size) if images is None else list(images)
    seen = {title: effective_field_of_view(model, images) for title, model in models.items()}
    columns = 2 if len(models) in (2, 4) else min(len(models), 3)
    rows = -(-len(models) // columns)
    height, width = next(iter(seen.values())).shape
    with matplotlib.rc_context(STYLE):
        maps, curves = rows * (6.2 / columns * height / width + 0.6), 2.7  # inches
        figure = Figure(figsize=(7.2, maps + curves), layout="constrained")
        FigureCanvasAgg(figure)
        above, below = np.ravel(np.array(figure.subfigures(2, 1, height_ratios=[maps, curves])))
        _draw_maps(above, (rows, columns), models, seen)
        left, right = below.subplots(1, 2)
        _draw_growth(left, models)
        _draw_shares(right, models, seen)
        path = Path(path)
        write_whole(path, lambda file: figure.savefig(file, dpi=200, format=path.suffix[1:]))
    return path


STYLE: dict[Any, Any] = {
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
COLORS = [
    "#0072B2",
    "#D55E00",
    "#009E73",
    "#CC79A7",
    "#E69F00",
    "#56B4E9",
]  # Okabe and Ito, distinguishable with colour blindness


def _draw_maps(
    figure: SubFigure, grid: tuple[int, int], models: Mapping[str, nn.Module], seen: Mapping[str, np.ndarray]
) -> None:
    axes = figure.subplots(*grid, squeeze=False).ravel()
    for ax in axes[len(models) :]:
        ax.set_axis_off()
    for ax, color, (title, model) in zip(axes, _colors(len(models)), models.items(), strict=False):
        mesh = _draw_map(ax, seen[title], field_of_view(model))
        ax.set_title(title, loc="left", fontweight="bold", color=color)
    bar = figure.colorbar(mesh, ax=axes, shrink=0.8, pad=0.015, aspect=14 * grid[0])
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
    for color, (title, model) in zip(_colors(len(models)), models.items(), strict=True):
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
    for color, title in zip(_colors(len(models)), models, strict=True):
        shares = share_within(seen[title])
        ax.plot(2 * np.arange(len(shares)) + 1, 100 * shares, color=color, label=title)
    ax.set(xlabel="side of a centred square (px)", ylabel="share of the effect (%)", ylim=(0, 100), xlim=(0, None))
    ax.set_title("Effective, within a square", loc="left")
    ax.legend(loc="lower right")


def _colors(count: int) -> list[str]:
    return [COLORS[i % len(COLORS)] for i in range(count)]
