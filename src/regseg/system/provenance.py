"""The provenance of a run in addition to its configuration: command line, git commit and versions."""

from __future__ import annotations

import importlib.metadata
import platform
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

_PACKAGES = ("torch", "lightning", "torchmetrics", "albumentations", "opencv-python-headless", "numpy", "hydra-core")


def provenance(command: str | None = None) -> dict[str, Any]:
    """Return the command line, the git commit and the versions of the main libraries.

    Args:
        command: replaces the command line of this process.

    Returns:
        Plain values with the keys ``command``, ``git_commit`` and ``versions``.
    """
    versions = {name: version_of(name) for name in ("regseg", *_PACKAGES)}
    return {
        "command": command or shlex.join(["python", "-m", _module(), *sys.argv[1:]]),
        "git_commit": _git_commit(),
        "versions": {"python": platform.python_version(), **versions},
    }


def version_of(package: str) -> str | None:
    """Return the version of an installed package; None for a checkout on PYTHONPATH, or another build of OpenCV."""
    try:
        return importlib.metadata.version(package)
    except (importlib.metadata.PackageNotFoundError, KeyError):  # KeyError: metadata without a version
        return None


def _module() -> str:
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    return spec.name if spec is not None else Path(sys.argv[0]).name


def _git_commit() -> str | None:
    """Return the commit of this checkout, with ``-dirty`` if files differ from it; None for an installed package."""

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(Path(__file__).parent), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()

    try:
        if not git("ls-files", Path(__file__).name):
            return None  # installed in the working tree of another repository
        return git("rev-parse", "HEAD") + ("-dirty" if git("status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.SubprocessError):
        return None
