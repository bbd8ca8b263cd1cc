"""The style of all plots, and how they are written. matplotlib is imported when a plot is drawn."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from regseg.errors import InputError
from regseg.system.atomic import write_whole

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# The colours of Okabe and Ito, which are distinguishable with colour blindness.
OURS, AUTHOR, PAPER, OTHERS = "#D55E00", "#0072B2", "#000000", "#999999"
CYCLE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#999999", "#F0E442", "#882255")
STYLE: dict[str, Any] = {
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.alpha": 0.3,
    "legend.frameon": False,
    "text.parse_math": False,  # a class or a row may be called $x
}
# Fonts with Chinese, Japanese and Korean glyphs, which matplotlib's own font lacks; those that are installed are used.
CJK_FONTS = (
    "Noto Sans CJK SC", "Noto Sans CJK JP", "Noto Sans CJK KR", "Source Han Sans SC", "WenQuanYi Micro Hei",
    "WenQuanYi Zen Hei", "Droid Sans Fallback", "PingFang SC", "Hiragino Sans", "Arial Unicode MS", "Microsoft YaHei",
    "Yu Gothic", "Malgun Gothic",
)  # fmt: skip

_LONGEST = 40  # characters of a name on an axis


def axis_name(name: str) -> str:
    """Shorten the name of a class or a run, so that it leaves room for the plot."""
    return name if len(name) <= _LONGEST else f"{name[: _LONGEST - 1]}…"


def require_matplotlib() -> ModuleType:
    """Import matplotlib.

    Raises:
        InputError: It is not installed; names the command that installs it.
    """
    try:
        return importlib.import_module("matplotlib")
    except ImportError as error:
        raise InputError("Figures need matplotlib; run pip install 'regseg[report]'.") from error


def set_log_x(axes: Any) -> None:
    """Make the x axis of matplotlib axes logarithmic, with plain numbers: formulas are not parsed (see `STYLE`)."""
    from matplotlib.ticker import LogFormatter

    class Plain(LogFormatter):
        """Labels only if the range is small; 0.2 instead of matplotlib's 2e-01, which would overlap."""

        def __call__(self, x: float, pos: int | None = None) -> str:
            return f"{x:g}" if super().__call__(x, pos) else ""

    axes.set_xscale("log")
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_formatter(Plain(minor_thresholds=(2, 0.5)))


def add_legend(drawn: Figure) -> None:
    """Add a legend above the plot, in as many columns as fit into the figure."""
    if not any(axes.get_legend_handles_labels()[0] for axes in drawn.axes):
        return
    for columns in (4, 3, 2, 1):
        legend = drawn.legend(loc="outside upper center", ncols=columns)
        if columns == 1 or legend.get_window_extent().width <= drawn.bbox.width:
            return
        legend.remove()


@contextmanager
def figure(
    path: Path, width: float = 6.4, height: float = 4.0, *, style: Mapping[str, Any] = STYLE, dpi: int = 160
) -> Iterator[Figure]:
    """Yield a figure to draw on; afterwards write it to ``path``, whole or not at all.

    Args:
        path: The picture; its suffix is the format.
        width: In inches.
        height: In inches.
        style: Settings of matplotlib.
        dpi: Pixels per inch.

    Yields:
        An empty figure.

    Raises:
        InputError: matplotlib is missing.
    """
    matplotlib = require_matplotlib()
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.font_manager import get_font_names

    installed = set(get_font_names())
    fonts = {"font.family": ["sans-serif", *(font for font in CJK_FONTS if font in installed)]}
    with matplotlib.rc_context({**style, **fonts}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from font")  # drawn as a box; the tables have the name
        drawn = Figure(figsize=(width, height), layout="constrained")
        FigureCanvasAgg(drawn)
        yield drawn
        write_whole(path, lambda file: drawn.savefig(file, dpi=dpi, format=path.suffix[1:]))
