"""A run's folder: what lies in it, and reading and writing it. Needs neither torch nor Hydra.

``config.yaml``, ``summary.json``, ``metrics.csv``, ``checkpoints/{last,best}.ckpt``, ``pictures/epoch_<n>.png``.
"""

from __future__ import annotations

import csv
import importlib.metadata
import json
import math
import os
import platform
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import yaml

from regseg.errors import InputError
from regseg.sweep import command_of_sweep

_CONTENTS = ("config.yaml", "summary.json", "metrics.csv", "checkpoints", "pictures", "wandb", "wandb_id.txt")
_PACKAGES = ("torch", "lightning", "torchmetrics", "albumentations", "opencv-python-headless", "numpy", "hydra-core")


def check_free(folder: Path, *, resume: str | None, overwrite: bool) -> Path | None:
    """Check that a run may go into ``folder``, and say from which checkpoint it goes on. Changes nothing.

    Args:
        folder: the run's folder.
        resume: None for a new run, ``last`` to go on from the last finished epoch.
        overwrite: whether a run that lies there may be replaced.

    Returns:
        The checkpoint to resume from; None to start at the beginning.

    Raises:
        InputError: the folder holds a run that would be lost, or files of something else.
    """
    if resume not in (None, "last"):
        raise InputError(f"resume={resume} does not exist; use resume=last, or weights=FILE to start from weights.")
    last, summary = folder / "checkpoints" / "last.ckpt", read_summary(folder)
    if summary is None and (strange := [name for name in _CONTENTS if (folder / name).exists()]):
        raise InputError(
            f"{folder} holds {strange[0]} but no summary.json, so it is no run's; choose another by run.name=NAME."
        )
    if resume == "last" and not overwrite:
        return last if last.exists() else None
    status = (summary or {}).get("status")
    if not overwrite and (status in ("finished", "running") or last.exists()):
        remedy = "" if status == "finished" else "resume=last to go on with it, "
        raise InputError(
            f"{folder} holds a run that is {status or 'of unknown state'}; use {remedy}overwrite=true to replace it, "
            "or run.name=NAME to keep both."
        )
    return None


def holds_smoke_test(folder: Path) -> bool:
    """Whether the run in ``folder`` was one of ``trainer=smoke``, of which nothing would be missed."""
    config = (read_summary(folder) or {}).get("config") or {}
    return bool((config.get("trainer") or {}).get("smoke"))


def claim(folder: Path, config: dict[str, Any], *, keep: bool) -> None:
    """Take ``folder`` for a run: remove what an earlier one left unless ``keep``, and write down the configuration."""
    if not keep:
        for name in _CONTENTS:
            path = folder / name
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink(missing_ok=True)
    folder.mkdir(parents=True, exist_ok=True)
    if not keep:
        write_json(folder / "summary.json", {"status": "running", "best": None, "last": None})
    (folder / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")


@contextmanager
def hold(folder: Path) -> Iterator[None]:
    """Keep other processes from training into ``folder`` meanwhile; a process that dies lets go.

    Raises:
        InputError: another process is training there.
    """
    try:
        import fcntl
    except ImportError:  # Windows
        yield
        return
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / ".lock", "w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise InputError(f"{folder} is being trained by another process; wait for it or end it first.") from error
        yield


def check_unchanged(folder: Path, config: dict[str, Any]) -> None:
    """Raise InputError, naming the first setting, if a run in ``folder`` would be resumed with another one.

    Optimizer and schedule go on with the old values, so a changed one would only be written down, not used.
    """
    path = folder / "config.yaml"
    before = yaml.safe_load(path.read_text(encoding="utf-8")) if path.exists() else config
    for section in ("seed", "model", "data", "loss", "optimizer"):
        old, new = _flat(before.get(section), section), _flat(config[section], section)
        for name in sorted(old.keys() | new.keys()):
            if old.get(name) != new.get(name) and name not in ("data.root", "data.num_workers"):
                raise InputError(
                    f"{folder} was run with {name}={old.get(name)}, not {new.get(name)}; resume it with that, replace "
                    "it by overwrite=true, or start another run by run.name=NAME and weights=FILE."
                )


def _flat(value: Any, name: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        return {name: value}
    return {key: item for part, child in value.items() for key, item in _flat(child, f"{name}.{part}").items()}


def read_summary(folder: Path) -> dict[str, Any] | None:
    """A run's ``summary.json``; None where there is none yet."""
    path = Path(folder) / "summary.json"
    try:
        return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None
    except ValueError as error:
        raise InputError(
            f"{path} is damaged ({error}); remove the folder or choose another by run.name=NAME."
        ) from error


def read_metrics(folder: Path) -> list[dict[str, str]]:
    """The rows of a run's ``metrics.csv``, one an epoch; empty where there is none yet."""
    path = Path(folder) / "metrics.csv"
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def mark_ended(folder: Path, status: str, error: str = "") -> None:
    """Write down how the run in ``folder`` ended, if its summary still calls it running."""
    with suppress(OSError, InputError):
        summary = read_summary(folder)
        if summary is not None and summary.get("status") == "running":
            write_json(folder / "summary.json", summary | {"status": status} | ({"error": error} if error else {}))


def append_metrics(folder: Path, row: dict[str, Any]) -> None:
    """Append one row to ``metrics.csv``; NaN becomes an empty cell. The first row's keys are the columns."""
    path = Path(folder) / "metrics.csv"
    new = not path.exists()
    with path.open("a", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(row))
        if new:
            writer.writeheader()
        writer.writerow({key: "" if value is None or value != value else value for key, value in row.items()})


def write_json(path: Path, content: Any) -> None:
    """Write JSON whole or not at all; numbers that are not finite become null."""
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(_finite(content), indent=2) + "\n", encoding="utf-8")
    os.replace(temporary, path)


def provenance() -> dict[str, Any]:
    """What it takes to repeat a run beside its configuration: command line, git commit, versions."""
    versions = {name: importlib.metadata.version(name) for name in ("regseg", *_PACKAGES)}
    return {
        "command": command_of_sweep() or shlex.join(["python", "-m", _module(), *sys.argv[1:]]),
        "git_commit": _git_commit(),
        "versions": {"python": platform.python_version(), **versions},
    }


def _module() -> str:
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    return spec.name if spec is not None else Path(sys.argv[0]).name


def _git_commit() -> str | None:
    """The commit of this project's checkout, ``-dirty`` where files differ from it; None when installed."""

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(Path(__file__).parent), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()

    try:
        if not git("ls-files", Path(__file__).name):
            return None  # installed inside somebody else's repository
        return git("rev-parse", "HEAD") + ("-dirty" if git("status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.SubprocessError):
        return None


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
