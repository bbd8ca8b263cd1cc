"""What all figures share: how they look, and how they are written. matplotlib is loaded when one is drawn."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from regseg.errors import InputError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Okabe and Ito's colours, which the colour-blind can tell apart.
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


@contextmanager
def figure(path: Path, width: float = 6.4, height: float = 4.0) -> Iterator[Figure]:
    """A figure of that many inches, in the end written to ``path`` whole or not at all.

    Raises:
        InputError: matplotlib is missing.
    """
    try:
        import matplotlib
    except ImportError as error:
        raise InputError("drawing needs matplotlib: pip install 'regseg[report]'") from error
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with matplotlib.rc_context(STYLE):
        drawn = Figure(figsize=(width, height), layout="constrained")
        FigureCanvasAgg(drawn)
        yield drawn
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.tmp")
        try:
            drawn.savefig(temporary, dpi=160, format=path.suffix[1:])
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
