"""Folders that Hydra creates for a run, and that are removed if the run leaves nothing in them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from regseg.errors import InputError

_existing: set[Path] = set()  # folders that existed when the command started


def expanded(path: str | Path) -> Path:
    """Return ``path`` with a leading ``~`` replaced by the home folder; ``~NAME`` of no user stays as it is.

    `Path.expanduser` raises RuntimeError for such a name.
    """
    return Path(os.path.expanduser(path))


def check_no_file(option: str, folder: Path) -> None:
    """Check that results can be written into a folder that may not exist yet, before work of hours is done for them.

    Raises:
        InputError: the folder, or one that should contain it, is a file.
    """
    existing = next((place for place in (folder, *folder.parents) if place.exists()), folder)
    if existing.exists() and not existing.is_dir():
        raise InputError(f"{option}={folder} is not a folder; choose another one.")


def note_existing(folders: Sequence[Path]) -> None:
    """Record which folders exist before Hydra creates some in ``folders``, so that `remove_empty` keeps them."""
    here = Path.cwd()
    places = [expanded(folder).absolute() for folder in folders]
    _existing.update(place for folder in places for place in (folder, *folder.parents) if place.is_dir())
    for place in places:
        if place != here and place.is_dir():
            _existing.update(group for group in place.iterdir() if group.is_dir())


def remove_empty(folder: Path) -> None:
    """Remove ``folder``, its group's folder and the folder of all groups as far as they are empty and new.

    Hydra creates them before anything is checked; without this, a run that never began would leave empty folders. In
    a job's own process only ``folder`` is removed, because what existed before is known to the sweep's process alone.
    """
    for place in (folder, folder.parent, folder.parent.parent)[: 3 if _existing else 1]:
        if place in _existing:
            return
        try:
            place.rmdir()
        except OSError:  # not empty, or not ours to remove
            return
