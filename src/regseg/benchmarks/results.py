"""The machine of a benchmark, and its results as JSON."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from regseg.errors import counted
from regseg.system.atomic import write_text
from regseg.system.cpu import num_threads


def machine() -> str:
    """Return the name of the processor or GPU, the number of threads and PyTorch's version."""
    if torch.cuda.is_available():
        return f"{torch.cuda.get_device_name()}, PyTorch {torch.__version__}"
    name = platform.processor() or platform.machine()
    if os.path.exists("/proc/cpuinfo"):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        name = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), name)
    return f"{name}, {counted(num_threads(), 'thread')}, PyTorch {torch.__version__}"


def write_results(results: Sequence[Mapping[str, Any]], folder: Path, name: str, **settings: Any) -> Path:
    """Write ``folder/name.json``, of the same form for every benchmark.

    Args:
        results: one mapping per measurement, the value of ``results``.
        folder: the folder.
        name: the file's name without suffix.
        **settings: what was measured and how; written next to ``machine``.

    Returns:
        The file.
    """
    path = folder / f"{name}.json"
    content = {"machine": machine(), **settings, "results": list(results)}
    write_text(path, json.dumps(content, indent=2) + "\n")
    return path
