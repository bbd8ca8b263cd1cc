"""Speeds that ``python -m regseg.benchmark what=inference`` measured on a machine."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from regseg.errors import InputError
from regseg.reporting.run_records import printable
from regseg.system.records import read_json

DEFAULT = Path("reports/benchmark/inference.json")  # where the benchmark writes
_FASTEST = 1e9  # images per second; more is not a measurement
Size = tuple[int, int]


class Speeds(NamedTuple):
    """Measured speeds.

    Attributes:
        machine: A description of the hardware.
        fastest: For each (network, (height, width)), images per second and the runtime and precision that reached them.
    """

    machine: str
    fastest: dict[tuple[str, Size], tuple[float, str]]

    @property
    def heading(self) -> str:
        """The heading of a column of these speeds."""
        return f"FPS (this machine: {self.machine})"

    def cell(self, network: str, size: Size) -> str:
        """Return the highest speed of a network as text; – if it was not measured at this size."""
        found = self.fastest.get((network, size))
        return "–" if found is None else f"{found[0]:.1f} ({found[1]})"


def speed_of(speeds: Speeds, title: str, size: Size) -> str:
    """Return the speed of the network with this title, measured under the title or under the network's name."""
    from regseg.models import list_models

    names = (name for name in list_models() if any(name == key for key, _ in speeds.fastest))
    found = [speeds.cell(title, size), *(speeds.cell(name, size) for name in names if title_of_network(name) == title)]
    return next((cell for cell in found if cell != "–"), "–")


def read_speeds(path: str | Path | None) -> Speeds | None:
    """Read a file of the benchmark.

    Args:
        path: The file; None for the one that the benchmark writes by default.

    Returns:
        The speeds; None if no file is given and there is none.

    Raises:
        InputError: The given file is missing or contains no speeds.
    """
    file = DEFAULT if path is None else Path(path)
    content, problem = read_json(file)
    rows = [] if problem else list(_rows(content))
    if not rows:
        if path is None:
            return None
        raise InputError(
            f"benchmark={file} contains no speeds ({problem or 'no results'}); create it with "
            "`python -m regseg.benchmark what=inference networks=all`."
        )
    fastest: dict[tuple[str, Size], tuple[float, str]] = {}
    for machine, network, row in rows:
        if machine != rows[0][0]:
            continue  # a column is for one machine
        key, fps = (network, (row["size"][0], row["size"][1])), _fps(row)
        if fps is not None and fps > fastest.get(key, (0.0, ""))[0]:
            fastest[key] = fps, _implementation(row)
    return Speeds(rows[0][0], fastest)


def _rows(content: Any) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """Yield (machine, network, row); ``results`` name their networks, or each network has its own ``results``."""
    if not isinstance(content, Mapping):
        return
    parts = [("", content)] if "results" in content else list(content.items())
    for title, part in parts:
        results = part.get("results") if isinstance(part, Mapping) else None
        machine = part.get("machine", content.get("machine")) if isinstance(part, Mapping) else None
        for row in results if isinstance(results, list) else []:
            network = row.get("network", title) if isinstance(row, Mapping) else None
            if isinstance(network, str) and _is_size(row.get("size")):
                yield printable(str(machine or "unknown")), network, row


def _is_size(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(type(side) is int and side > 0 for side in value)


def _fps(row: Mapping[str, Any]) -> float | None:
    speed = row.get("images_per_s")
    sound = isinstance(speed, int | float) and not isinstance(speed, bool) and 0 < speed < _FASTEST
    return float(speed) if sound and speed is not None else None


def _implementation(row: Mapping[str, Any]) -> str:
    named = row.get("implementation", row.get("way"))  # `way` in files of earlier versions
    parts = [row[name] for name in ("runtime", "precision") if isinstance(row.get(name), str)]
    return printable(named if isinstance(named, str) else " ".join(parts)) or "unknown runtime"


@functools.cache
def title_of_network(name: str) -> str:
    """Return the title under which the benchmark lists the network that `create_model` calls ``name``."""
    from regseg.models import create_model, title_of

    return title_of(create_model(name))
