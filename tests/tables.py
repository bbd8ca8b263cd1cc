"""Tables as a terminal of 80 columns shows them."""

from rich.console import Console


def lines(table, width=80):
    """The lines that are printed at ``width`` columns, without spaces at their ends."""
    console = Console(width=width)
    with console.capture() as capture:
        console.print(table)
    return [line.strip() for line in capture.get().splitlines()]


def fits(table):
    """Whether 80 columns suffice: no cell is cut or wrapped."""
    return lines(table) == lines(table, 400) and not any("…" in line for line in lines(table))
