"""The console for tables and bars, on which a user's own words appear as they are."""

from __future__ import annotations

from typing import Any

from rich.console import Console


def plain_console(**options: Any) -> Console:
    """A rich console that reads no markup, so that a class called ``road [paved]`` or ``:car:`` is printed whole.

    Args:
        options: of `rich.console.Console`.
    """
    return Console(markup=False, emoji=False, highlight=False, **options)


def duration(seconds: float) -> str:
    """Seconds as people read them: 42 s, 3 min 10 s, 5 h 20 min."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
