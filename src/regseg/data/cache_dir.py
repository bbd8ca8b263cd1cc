"""What is made from a dataset's files and kept beside them: where it goes, and how it is written."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TypeVar

from regseg.errors import InputError

T = TypeVar("T")


def working_folder(root: Path) -> Path:
    """``<root>/.regseg``, which no dataset lists; a folder in ``$REGSEG_CACHE`` where ``root`` cannot be written to.

    Without that variable it is in ``~/.cache/regseg``. InputError is raised where neither can be written to.
    """
    root = Path(root).absolute()
    beside = root / ".regseg"
    try:
        beside.mkdir(exist_ok=True)
        with tempfile.TemporaryFile(dir=beside):
            return beside
    except OSError:
        cache = Path(os.environ.get("REGSEG_CACHE") or Path.home() / ".cache" / "regseg")
        folder = cache / f"{root.name}-{hashlib.sha256(os.fsencode(root)).hexdigest()[:12]}"
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(
                f"{beside} cannot be written, nor {folder} ({error.strerror}); set REGSEG_CACHE to a folder that can."
            ) from error
        return folder


def relative(path: Path, root: Path) -> str:
    """``path`` as seen from ``root``, so that a dataset may move."""
    return Path(os.path.relpath(Path(path).absolute(), Path(root).absolute())).as_posix()


def progress(results: Iterable[T], total: int, what: str) -> Iterator[T]:
    """``results``, with a bar on a terminal and one line elsewhere."""
    from rich.progress import track

    from regseg.system.console import plain_console

    console = plain_console()
    if not console.is_terminal:
        print(f"{what}: {total} image{'s' * (total != 1)}", flush=True)
    yield from track(results, what, total, console=console, transient=True, disable=not console.is_terminal)
