"""The rich console on which tables and progress bars are printed."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from rich.console import Console


def plain_console(**options: Any) -> Console:
    """Return a rich console without markup, so that a class named ``road [paved]`` or ``:car:`` is printed unchanged.

    In a notebook it prints text, as to a file: widgets would need ipywidgets and are not stored. Jupyter and some CI
    systems set ``FORCE_COLOR``, which would make rich redraw bars in a file.

    Args:
        **options: arguments of `rich.console.Console`.
    """
    terminal = (options.get("file") or sys.stdout).isatty()
    options = {"force_terminal": terminal, "force_jupyter": False} | options
    return Console(markup=False, emoji=False, highlight=False, **options)


def shown(path: str | Path) -> str:
    """Return a path as a user would type it: relative to the current folder if it is inside."""
    absolute, here = Path(path).absolute(), Path.cwd()
    return str(absolute.relative_to(here)) if absolute.is_relative_to(here) else str(path)


def duration(seconds: float) -> str:
    """Format seconds: 42 s, 3 min 10 s, 5 h 20 min."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
