"""What the paper prints besides a table's mIoU, with our own next to it: its text's differences, Tables 8, 9 and 10."""

from __future__ import annotations

import functools
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence

from regseg.reporting.markdown import escaped, printed, table, with_deviation
from regseg.reporting.published import author_runs, paper
from regseg.reporting.tables import Row, average, metric_of

OURS = "**RegSeg, your runs**"
_T4 = (
    "FPS are as the paper prints them: RegSeg's, and in Table 10 DDRNet-23's, on a T4 with mixed precision (Sec. 4.7), "
    "other methods' under other conditions. Yours are not measured.\n"
)


def differences_markdown(group: str, rows: Iterable[Row]) -> str:
    """The differences that the paper's text states, by its tables, the author's runs and ours; empty without any."""
    content, ours = paper().get(group, {}), {row.name: row for row in rows}
    lines, notes = [], []
    for entry in content.get("differences", ()):
        of, over = _names(entry["of"]), _names(entry["over"])
        name = entry.get("name", f"{', '.join(of)} over {', '.join(over)}")
        values = [_difference(source, of, over) for source in _sources(group, ours)]
        said = f"{entry.get('text', '–')}" + (f" ({entry['where']})" if "where" in entry else "")
        lines.append([escaped(name), said, *("–" if value is None else f"{value:+.2f}" for value in values)])
        notes += [f"- {escaped(name)}: {escaped(entry['why'])}.\n"] if "why" in entry else []
    if not lines:
        return ""
    text = table(["difference, points", "the text says", "paper's table", "author's runs", "ours"], lines)
    return f"{text}\n{''.join(notes)}" if notes else text


def _names(value: str | Sequence[str]) -> list[str]:
    return [value] if isinstance(value, str) else list(value)


def _sources(group: str, ours: Mapping[str, Row]) -> list[Callable[[str], float | None]]:
    """The figure of a row or a method by each source: the paper's table, the author's runs, ours."""
    content, metric = paper()[group], metric_of(group)
    methods = {name: values["miou"] for name, values in content.get("models", {}).items() if "miou" in values}

    def of_paper(name: str) -> float | None:
        return content.get("rows", {}).get(name, methods.get(name))

    def of_author(name: str) -> float | None:
        best = name in content.get("best_of_runs", ())
        return average([run.value(metric) for run in author_runs(group, name)], best=best) or _competitor(name)

    def of_ours(name: str) -> float | None:
        row = ours.get(name)
        return (row.value if row.ours and row.comparable else None) if row else _competitor(name)

    def _competitor(name: str) -> float | None:
        """Another method's figure, which a row is compared with; in a table of methods alone there is no own one."""
        return methods.get(name) if "rows" in content else None

    return [of_paper, of_author, of_ours]


def _difference(source: Callable[[str], float | None], of: list[str], over: list[str]) -> float | None:
    minuends, subtrahends = [source(name) for name in of], [source(name) for name in over]
    if None in minuends or None in subtrahends:
        return None
    return statistics.mean(minuends) - statistics.mean(subtrahends)


def table8_markdown(row: Row | None) -> str:
    """Table 8 with all of its columns, and ours."""
    lines = [
        [escaped(name), v.get("extra", "–"), printed(v["miou"], v.get("deviation")), printed(v.get("fps"))]
        for name, v in paper()["table8"]["models"].items()
    ]
    own = "–" if row is None or not row.ours else with_deviation(row.value, row.deviation)
    headings = ["method", "extra data", "test mIoU, %", "FPS"]
    return table(headings, [*lines, [OURS, "C", own, "–"]]) + f"\nIM: ImageNet, C: Cityscapes. {_T4}"


def table9_markdown(own: float | None) -> str:
    """Table 9 with all of its columns; ``own`` is the mIoU of your RegSeg on the validation set."""
    lines = [
        [
            escaped(name), v.get("extra", "–"), printed(v.get("val"), v.get("val_deviation")),
            *(printed(v.get(key)) for key in ("miou", "fps", "resolution", "parameters", "gflops")),
        ]
        for name, v in paper()["table9"]["models"].items()
    ]  # fmt: skip
    ours = [OURS, "none", "–" if own is None else f"{own:.2f}", "–", "–", "1024x2048", *network_cost("regseg")]
    headings = ["method", "extra data", "val mIoU, %", "test mIoU, %", "FPS", "resolution", "parameters, M", "GFLOPs"]
    return table(headings, [*lines, ours]) + (
        f"\nIM: ImageNet. Only the test server knows your test mIoU; parameters and GFLOPs of yours are computed. {_T4}"
    )


def table10_markdown(rows: Iterable[Row]) -> str:
    """Table 10 with all of its columns, ours below each of the paper's."""
    lines = []
    for row in rows:
        v = paper()["table10"]["models"].get(row.name)
        if v is None:
            continue
        theirs = printed(row.paper, row.paper_deviation)
        own = with_deviation(row.value, row.deviation) if row.ours else "–"
        lines.append([f"paper, {row.name}", *map(printed, (v["fps"], theirs, v["parameters"], v["gflops"]))])
        lines.append([f"**ours, {row.name}**", "–", own, *network_cost(row.name)])
    notes = [f"- {name}: {why}.\n" for name, reasons in paper()["table10"]["why"].items() for why in reasons.values()]
    headings = ["network", "FPS", "val mIoU, %", "parameters, M", "GFLOPs"]
    return table(headings, lines) + f"\n{_T4}Parameters and GFLOPs of ours are computed.\n\n" + "".join(notes)


@functools.cache
def network_cost(name: str) -> tuple[str, str]:
    """Parameters in millions and GFLOPs of a 1024x2048 image of one of our networks with 19 classes, computed."""
    from regseg.models import count_parameters, create_model
    from regseg.models.complexity import gflops

    network = create_model(name)
    return f"{count_parameters(network) / 1e6:.2f}", f"{gflops(network):.1f}"
