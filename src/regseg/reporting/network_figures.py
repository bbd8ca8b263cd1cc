"""The size, cost and field of view of a network next to the published values."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch import nn

from regseg.models.complexity import count_parameters, field_of_view, gflops
from regseg.models.description import config_of
from regseg.models.summary import CITYSCAPES, describe
from regseg.reporting.published import paper


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
                yield quantity, ours, figures[key], printed_name(group), why.get(key, "")


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
