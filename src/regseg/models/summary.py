"""What a model is: its size, cost and field of view, and a picture of what it sees."""

import copy
from collections.abc import Iterable, Mapping
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from regseg.errors import InputError
from regseg.models.complexity import count_parameters, field_of_view, field_of_view_by_block, gflops
from regseg.system.atomic import write_whole

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import SubFigure
    from matplotlib.image import AxesImage

CITYSCAPES = (1024, 2048)


def describe(model: nn.Module, size: tuple[int, int] = CITYSCAPES) -> dict[str, Any]:
    """Plain values that describe a model of `create_model`, counted for an image of `size` (height, width).

    Keys: model (its config), parameters, size, gflops and gflops_convolutions (billions), field_of_view (pixels, or
    None), blocks (the stem and every block of the backbone: name, channels, stride, rates, field_of_view, and bound,
    the largest rate without holes by Sec. 3.1; empty for DDRNet-23).
    """
    return {
        "model": model.config,
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
    name, _, seen, stride = rows[0]
    channels = model.stem.conv.out_channels
    described = [
        {"name": name, "channels": channels, "stride": stride, "rates": [1], "field_of_view": seen, "bound": 1.0}
    ]
    for (_, _, k, s), (name, block, seen, stride) in pairwise(rows):
        conv = block.conv2.conv
        described.append(
            {
                "name": name,
                "channels": conv.out_channels,
                "stride": stride,  # of its output, in pixels of the image
                "rates": list(conv.dilations),
                "field_of_view": seen,
                "bound": k / s,
            }
        )
    return described


def effective_field_of_view(model: nn.Module, images: Iterable[Tensor]) -> np.ndarray:
    """How much each input pixel moves the prediction at the centre: (H, W) float64, summing to 1.

    The mean over `images`, normalised (B, 3, H, W) of one size, of |d logit / d pixel|, summed over the three colours,
    for the winning class at the centre pixel (Luo et al., 2016, "Understanding the effective receptive field"). The
    whole model counts here, its decoder and global pooling too. Raises InputError without images or on mixed sizes.
    """
    images = [image for batch in images for image in batch]
    sizes = sorted({tuple(image.shape[-2:]) for image in images})
    if len(sizes) != 1:
        raise InputError(
            f"the field of view is measured on images of one size, these have {sizes or 'none'}: give such"
        )
    model = _settled(model, images)
    total = 0
    for image in images:
        pixels = image[None].to(next(model.parameters()).device).requires_grad_()
        logits = model(pixels)
        centre = logits[0, :, logits.shape[2] // 2, logits.shape[3] // 2]
        (gradient,) = torch.autograd.grad(centre.max(), pixels)
        seen = gradient[0].abs().sum(0).double()  # (H, W)
        total = total + seen / seen.sum()
    return (total / total.sum()).cpu().numpy()


def _settled(model: nn.Module, images: list[Tensor]) -> nn.Module:
    """A copy in eval mode; in a new model BatchNorm first sees a crop, else what the residual branches add vanishes."""
    model = copy.deepcopy(model)
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    if all(norm.num_batches_tracked == 0 for norm in norms):
        for norm in norms:
            norm.momentum = 1.0
        crop = images[0][None, :, :512, :512].to(next(model.parameters()).device)
        with torch.no_grad():
            model.train()(torch.cat([crop, crop.flip(-1)]))  # two, since a globally pooled map is one value a channel
    return model.eval()


def noise_images(size: tuple[int, int], count: int = 4) -> list[Tensor]:
    """`count` normalised images (1, 3, H, W) of Gaussian noise, the same at every call."""
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(1, 3, *size, generator=generator) for _ in range(count)]


def share_within(seen: np.ndarray) -> np.ndarray:
    """Share of `seen` (H, W) in the centred square of side 2d + 1, for every distance d from the centre."""
    height, width = seen.shape
    rows, columns = np.abs(np.arange(height) - height // 2), np.abs(np.arange(width) - width // 2)
    distance = np.maximum(rows[:, None], columns[None, :])
    return np.cumsum(np.bincount(distance.ravel(), weights=seen.ravel()))


def side_of(share: float, seen: np.ndarray) -> int:
    """Side of the smallest centred square that holds `share` (between 0 and 1) of `seen`."""
    return 2 * int(np.searchsorted(share_within(seen), share)) + 1


def draw_field_of_view(
    models: Mapping[str, nn.Module],
    path: str | Path,
    *,
    images: Iterable[Tensor] | None = None,
    size: tuple[int, int] = CITYSCAPES,
) -> Path:
    """Draws the theoretical and the effective field of view of models, by their titles, as a picture.

    Above, one map a model: what moves its prediction at the centre of the image, with the square that Sec. 3.1 gives
    its backbone and the square that holds half of the effect. Below, the theoretical field of view after every block,
    and the share of the effect in a centred square as it grows. `images` are as for `effective_field_of_view`; without
    them it is noise of `size`. The format follows the path's ending. Raises InputError where matplotlib is missing.
    """
    try:
        import matplotlib
    except ImportError as error:
        raise InputError("drawing needs matplotlib: pip install 'regseg[report]'") from error
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
        above, below = figure.subfigures(2, 1, height_ratios=[maps, curves])
        _draw_maps(above, (rows, columns), models, seen)
        left, right = below.subplots(1, 2)
        _draw_growth(left, models)
        _draw_shares(right, models, seen)
        path = Path(path)
        write_whole(path, lambda file: figure.savefig(file, dpi=200, format=path.suffix[1:]))
    return path


STYLE = {
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
COLORS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9"]  # Okabe and Ito, told apart by everyone


def _draw_maps(
    figure: "SubFigure", grid: tuple[int, int], models: Mapping[str, nn.Module], seen: Mapping[str, np.ndarray]
) -> None:
    axes = figure.subplots(*grid, squeeze=False).ravel()
    for ax in axes[len(models) :]:
        ax.set_axis_off()
    for ax, color, (title, model) in zip(axes, _colors(len(models)), models.items(), strict=False):
        mesh = _draw_map(ax, seen[title], field_of_view(model))
        ax.set_title(title, loc="left", fontweight="bold", color=color)
    bar = figure.colorbar(mesh, ax=axes, shrink=0.8, pad=0.015, aspect=14 * grid[0])
    bar.set_label("effect on the centre,\nrelative to the largest")


def _draw_map(ax: "Axes", seen: np.ndarray, theoretical: int | None) -> "AxesImage":
    from matplotlib.colors import LogNorm
    from matplotlib.patches import Rectangle

    height, width = seen.shape
    step = max(1, width // 512)  # means over cells: single pixels are noise, and too small to print
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


def _draw_growth(ax: "Axes", models: Mapping[str, nn.Module]) -> None:
    top = 4600
    for color, (title, model) in zip(_colors(len(models)), models.items(), strict=True):
        rows = field_of_view_by_block(model)
        if rows is not None:
            top = max(top, 1.05 * rows[-1][2])
            ax.step(range(len(rows)), [k for _, _, k, _ in rows], where="mid", color=color, label=title)
    for pixels, text in ((2 * 1024 - 1, "top to bottom"), (2 * 2048 - 1, "corner to corner")):
        ax.axhline(pixels, color="0.6", lw=0.7, ls=":")
        ax.annotate(f"{text} of 1024x2048", (0, pixels), (0, 2), textcoords="offset points", color="0.45", fontsize=7)
    ax.set(xlabel="block of the backbone (0 is the stem)", ylabel="field of view (px)", ylim=(0, top))
    ax.xaxis.get_major_locator().set_params(integer=True)
    ax.set_title("Theoretical, after every block", loc="left")


def _draw_shares(ax: "Axes", models: Mapping[str, nn.Module], seen: Mapping[str, np.ndarray]) -> None:
    for color, title in zip(_colors(len(models)), models, strict=True):
        shares = share_within(seen[title])
        ax.plot(2 * np.arange(len(shares)) + 1, 100 * shares, color=color, label=title)
    ax.set(xlabel="side of a centred square (px)", ylabel="share of the effect (%)", ylim=(0, 100), xlim=(0, None))
    ax.set_title("Effective, within a square", loc="left")
    ax.legend(loc="lower right")


def _colors(count: int) -> list[str]:
    return [COLORS[i % len(COLORS)] for i in range(count)]
