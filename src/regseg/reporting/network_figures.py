"""The size, cost and field of view of a network next to the published values."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table
from torch import nn

from regseg.models.complexity import count_parameters, field_of_view, gflops
from regseg.models.description import config_of
from regseg.models.summary import CITYSCAPES, describe
from regseg.reporting.published import paper
from regseg.system.console import plain_console


def describe_with_paper(model: nn.Module, size: tuple[int, int] = CITYSCAPES) -> dict[str, Any]:
    """Describe a network by `regseg.models.summary.describe`, and add the published values.

    Args:
        model: A network of `create_model`.
        size: (height, width) in pixels at which GFLOPs are counted.

    Returns:
        The description with two more keys. ``needed_field_of_view`` lists the fields of view that Sec. 3.1 asks for:
        pixels, what they cover, and whether the network reaches them (None without a single field of view). ``paper``
        lists the published values: quantity, ours, paper, where, and why they differ (or an empty string).
    """
    facts = describe(model, size)
    seen = facts["field_of_view"]
    needed = [
        {**row, "met": None if seen is None else seen >= row["pixels"]}
        for table in paper().values()
        for row in table.get("needed_field_of_view", ())
    ]
    names = ("quantity", "ours", "paper", "where", "why")
    published = [dict(zip(names, values, strict=True)) for values in [*_costs(model), *_fields_of_view(model)]]
    return facts | {"needed_field_of_view": needed, "paper": published}


def _costs(model: nn.Module) -> Iterator[tuple[Any, ...]]:
    """Yield the published parameters and GFLOPs of the network, from every table that lists it."""
    config = config_of(model)
    if config["num_classes"] != 19:
        return
    for group, table in paper().items():
        for name, figures in table.get("models", {}).items():
            network = figures.get("network")
            if not network or any(config.get(key) != value for key, value in network.items()):
                continue
            why = table.get("why", {}).get(name, {})
            for key, quantity, ours in (
                ("parameters", "parameters (millions)", count_parameters(model) / 1e6),
                ("gflops", "GFLOPs at 1024x2048", gflops(model, CITYSCAPES)),
            ):
                yield quantity, ours, float(figures[key]), printed_name(group), why.get(key, "")


def _fields_of_view(model: nn.Module) -> Iterator[tuple[Any, ...]]:
    """Yield the published field of view of the network's backbone, from every table that lists it."""
    config = config_of(model)
    backbone = config.get("backbone", config["name"])
    if not isinstance(backbone, str):  # custom dilations are in no table
        return
    for group, table in paper().items():
        published = table.get("field_of_view", {})
        if backbone in published:
            where = f"{printed_name(group)}, row {list(published).index(backbone) + 1}"
            why = table.get("why_field_of_view", {}).get(backbone, "")
            yield "field of view (pixels)", field_of_view(model), published[backbone], where, why


def printed_name(group: str) -> str:
    """Return a table's name as the paper writes it: ``Table 10`` for ``table10``."""
    number = group.removeprefix("table")
    return f"Table {number}" if number.isdigit() else group


def print_table(descriptions: dict[str, dict[str, Any]]) -> None:
    """Print one line of at most 80 characters per network, with the paper's value in brackets where it differs."""
    height, width = next(iter(descriptions.values()))["size"]
    caption = f"GFLOPs at {height}x{width}; the paper's value in brackets where it differs"
    table = Table(caption=caption, box=SIMPLE_HEAD, padding=0)
    table.add_column("network", no_wrap=True)
    for column in ("parameters", "GFLOPs", "field\nof view"):
        table.add_column(column, justify="right")
    for title, facts in descriptions.items():
        paper = {row["quantity"].split()[0]: f" ({row['paper']})" for row in facts["paper"] if row["why"]}
        at_the_papers_size = (height, width) == (1024, 2048)
        table.add_row(
            title,
            f"{facts['parameters']:,}" + paper.get("parameters", ""),
            f"{facts['gflops']:.2f}" + (paper.get("GFLOPs", "") if at_the_papers_size else ""),
            ("–" if facts["field_of_view"] is None else f"{facts['field_of_view']}") + paper.get("field", ""),
        )
    plain_console().print(table)


def print_speeds(descriptions: dict[str, dict[str, Any]]) -> None:
    """Print the images per second that the benchmark measured, if it did."""
    first = next(iter(descriptions.values()))
    if "speed" not in first:
        return
    height, width = first["size"]
    table = Table(caption=f"Images per second at {height}x{width} on this machine: {first['speed']['machine']}")
    table.add_column("network", no_wrap=True)
    table.add_column("FPS (runtime and precision)", justify="right")
    for title, facts in descriptions.items():
        table.add_row(title, facts["speed"]["fps"])
    plain_console().print(table)


def print_needed(descriptions: dict[str, dict[str, Any]]) -> None:
    """Print which of the fields of view required by Sec. 3.1 each network reaches."""
    needed = next(iter(descriptions.values()))["needed_field_of_view"]
    sees = "; ".join(f"{row['pixels']} to see {row['sees']}" for row in needed)
    table = Table(caption=f"Field of view needed (Sec. 3.1), in pixels: {sees}")
    table.add_column("network", no_wrap=True)
    for column in ("field of view", *(f"needed: {row['pixels']}" for row in needed)):
        table.add_column(column, justify="right")
    for title, facts in descriptions.items():
        met = [{True: "met", False: "not met", None: "–"}[row["met"]] for row in facts["needed_field_of_view"]]
        table.add_row(title, "–" if facts["field_of_view"] is None else str(facts["field_of_view"]), *met)
    plain_console().print(table)


def print_blocks(descriptions: dict[str, dict[str, Any]]) -> None:
    """Print the field of view after every block, and the largest rate without holes there (k/s in Sec. 3.1)."""
    for facts in descriptions.values():
        if not facts["blocks"]:
            print("This network has several branches, so it has no single field of view.")
            continue
        table = Table()
        for column in ("block", "channels", "stride", "rates", "no holes up to", "field of view"):
            table.add_column(column, justify="left" if column == "block" else "right")
        for block in facts["blocks"]:
            rates = ", ".join(map(str, block["rates"]))
            numbers = (str(block[key]) for key in ("channels", "stride"))
            table.add_row(block["name"], *numbers, rates, f"{block['bound']:.1f}", str(block["field_of_view"]))
        plain_console().print(table)


def print_differences(descriptions: dict[str, dict[str, Any]]) -> None:
    """Print why a value of the paper differs from ours."""
    seen = set()
    for title, facts in descriptions.items():
        for row in facts["paper"]:
            if row["why"] and row["why"] not in seen:
                seen.add(row["why"])
                figures = f"{row['where']} prints {row['paper']}, ours is {row['ours']:.5g}"
                print(f"{title}, {row['quantity']}: {figures}; {row['why']}.")
