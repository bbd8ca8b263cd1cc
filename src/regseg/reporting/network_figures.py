"""A network's figures next to those that the paper prints."""

from __future__ import annotations

from typing import Any

from torch import nn

from regseg.models.complexity import count_parameters, field_of_view, gflops
from regseg.models.summary import CITYSCAPES, describe
from regseg.reporting.published import paper

IN_TABLE_10 = {("dilation_1_14", "regseg"): "regseg", ("ddrnet23", None): "ddrnet23"}  # backbone, decoder -> its row


def describe_beside_paper(model: nn.Module, size: tuple[int, int] = CITYSCAPES) -> dict[str, Any]:
    """`regseg.models.summary.describe` and two keys of the paper.

    ``needed_field_of_view`` is what Sec. 3.1 asks for: pixels, what they see, and whether the network meets it, None
    where it has no single field of view. ``paper`` holds the figures that the paper prints: quantity, ours, paper,
    where, and why they differ or "".
    """
    facts = describe(model, size)
    seen = facts["field_of_view"]
    needed = [
        {**row, "met": None if seen is None else seen >= row["pixels"]}
        for row in paper()["table4"]["needed_field_of_view"]
    ]
    return facts | {"needed_field_of_view": needed, "paper": _beside_the_paper(model)}


def _beside_the_paper(model: nn.Module) -> list[dict[str, Any]]:
    config = model.config
    backbone = config.get("backbone", config["name"])
    if not isinstance(backbone, str):  # custom dilations are in no table
        return []
    table4, table10, rows = paper()["table4"], paper()["table10"], []
    row = IN_TABLE_10.get((backbone, config.get("decoder"))) if config["num_classes"] == 19 else None
    if row:
        printed, why = table10["models"][row], table10["why"][row]
        for key, quantity, ours in (
            ("parameters", "parameters (millions)", count_parameters(model) / 1e6),
            ("gflops", "GFLOPs at 1024x2048", gflops(model, CITYSCAPES)),
        ):
            rows.append((quantity, ours, printed[key], "Table 10", why.get(key, "")))
    if backbone in table4["field_of_view"]:
        where = f"Table 4, row {list(table4['field_of_view']).index(backbone) + 1}"
        why = table4["why_field_of_view"].get(backbone, "")
        rows.append(("field of view (pixels)", field_of_view(model), table4["field_of_view"][backbone], where, why))
    return [dict(zip(("quantity", "ours", "paper", "where", "why"), values, strict=True)) for values in rows]
