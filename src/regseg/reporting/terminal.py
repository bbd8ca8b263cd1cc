"""Prints a report: as Markdown into a file or a pipe, and as tables that fit the width on a terminal."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import takewhile
from typing import TYPE_CHECKING

from markdown_it import MarkdownIt

from regseg.reporting.markdown import Grid
from regseg.system.console import plain_console

if TYPE_CHECKING:
    from markdown_it.token import Token
    from rich.console import Console

_HEADING, _SENTENCE = 11, 24  # characters: of a line of a heading, and of sentences in a narrow column
_GAP = 3  # characters of a border and its margins


def print_report(text: str, console: Console | None = None) -> None:
    """Print a report's Markdown.

    On a terminal, wide tables are split into several tables that repeat the first column. Text that contains a command
    is not wrapped, so that it can be copied.

    Args:
        text: The Markdown.
        console: Where to print; None means standard output.
    """
    console = console or plain_console()
    if not console.is_terminal:
        print(text)
        return
    tokens = iter(MarkdownIt("commonmark", {"html": False}).enable("table").parse(text))
    mark, gap = "", False  # of a list; whether a blank line precedes the next text
    for token in tokens:
        if token.type == "table_open":
            _print_table(_grid(tokens), console)
        elif token.type == "list_item_open":
            mark = "- "
        elif token.type == "heading_open":
            console.print(f"\n{_plain(next(tokens))}", style="bold")
            gap = False
        elif token.type == "inline":
            console.print("\n" * gap + mark + _plain(token), soft_wrap="`" in token.content)
            mark, gap = "", False
        elif token.type in ("paragraph_close", "bullet_list_close") and not token.hidden:
            gap = True
    console.print()


def _plain(token: Token) -> str:
    """Return the text of an inline token without its markup; commands keep their backticks."""
    code = {True: "`{}`", False: "{}"}
    return "".join(
        " " if child.type == "softbreak" else code[child.type == "code_inline"].format(child.content)
        for child in token.children or ()
    )


def _grid(tokens: Iterator[Token]) -> Grid:
    """Read a table up to its end."""
    rows: list[list[str]] = []
    for token in takewhile(lambda token: token.type != "table_close", tokens):
        if token.type == "tr_open":
            rows.append([])
        elif token.type == "inline":
            rows[-1].append(_plain(token))
    return Grid(rows[0], rows[1:])


def _print_table(grid: Grid, console: Console) -> None:
    """Print a table; as several tables if it is wider than the terminal."""
    from rich.table import Table
    from rich.text import Text

    grid = Grid([_stacked(heading) for heading in grid.headings], grid.rows)
    widths = [_width(heading, [row[column] for row in grid.rows]) for column, heading in enumerate(grid.headings)]
    for part in _parts(grid, [_GAP + width for width in widths], console.width - 1):
        table = Table()
        for column, (heading, numeric) in enumerate(zip(part.headings, part.numeric, strict=True)):
            shortest = min(_width(heading, [row[column] for row in part.rows]), (console.width - 2 * _GAP - 1) // 2)
            table.add_column(Text(heading), justify="right" if numeric else "left", overflow="fold", min_width=shortest)
        for row in part.rows:
            table.add_row(*map(Text, row))
        console.print(table)


def _parts(grid: Grid, widths: Sequence[int], room: int) -> list[Grid]:
    """Divide a table into as few as fit, of similar widths: a single last column would look lost."""
    parts = list(grid.parts(widths, room - widths[0]))
    for narrower in range(room - widths[0] - 1, 0, -1):
        if len(narrow := list(grid.parts(widths, narrower))) > len(parts):
            break
        parts = narrow
    return parts


def _width(heading: str, cells: Iterable[str]) -> int:
    """Return the least width of a column: its heading and words remain whole, and sentences have room."""
    return max(len(part) for cell in cells for part in (*heading.split("\n"), *cell.split(), cell[:_SENTENCE]))


def _stacked(heading: str) -> str:
    """Break a heading at spaces and underscores into lines of about `_HEADING` characters."""
    lines = [""]
    for piece in re.findall(r"[^ _]*[ _]?", heading):
        if lines[-1] and len((lines[-1] + piece).rstrip()) > _HEADING:
            lines.append("")
        lines[-1] += piece
    return "\n".join(line.rstrip() for line in lines)
