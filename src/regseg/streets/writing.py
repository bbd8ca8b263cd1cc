"""Writing of street scenes in the folder layout of Cityscapes."""

import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from regseg.errors import InputError
from regseg.streets.scene import draw_scene
from regseg.system.atomic import write_bytes, write_text
from regseg.system.reading import is_file

VERSION = 1  # increase it if the same seed creates other images
MARKER = "streets.json"
COUNTS = {"train": 400, "val": 60, "test": 60}
CITIES = {  # split number in the seeds, and invented cities
    "train": (0, ("arkenburg", "brindlestadt", "corvenheim", "dulmarsch")),
    "val": (1, ("elbrunn", "falkwede")),
    "test": (2, ("grauwald", "hohenmoor")),
}


def write_streets(
    root: str | os.PathLike,
    *,
    height: int = 128,
    width: int = 256,
    counts: Mapping[str, int] = COUNTS,
    seed: int = 0,
    create: bool = True,
    progress: Callable[[Sequence], Iterable] = iter,
) -> Path:
    """Create the dataset in a folder, unless it exists already.

    Image n of a split depends on SeedSequence([seed, split number, n]) only. Until all files exist, the marker file is
    `unfinished`, and the next call continues the creation. Concurrent processes write the same files.

    Args:
        root: a new or empty folder, or a folder of street scenes with the same settings.
        height: height of the images, in pixels.
        width: width of the images, in pixels.
        counts: number of images per split.
        seed: seed of the scenes.
        create: create what is missing; otherwise, `root` must contain the whole dataset.
        progress: wraps the list of scenes to create, like `tqdm.tqdm`; it is not called if there are none.

    Returns:
        The absolute path of `root`.

    Raises:
        InputError: `root` contains street scenes with other settings, or something else; or, without `create`, some are
            missing.
    """
    root = Path(root).absolute()
    marker = {"version": VERSION, "seed": seed, "height": height, "width": width, "counts": dict(counts)}
    if unknown := set(counts) - set(CITIES):
        raise InputError(f"There is no split {', '.join(sorted(unknown))}; choose from {', '.join(CITIES)}.")
    if _is_written(root, marker):
        return root
    if not create:
        raise InputError(
            f"{root} does not contain all street scenes of this dataset; set data.root to a folder that does, or "
            "create them with data=streets."
        )
    _write_missing(root, marker, progress)
    return root


def _is_written(root: Path, marker: dict[str, Any]) -> bool:
    """Return whether `root` contains the whole dataset; raise InputError if it contains something else."""
    try:
        is_file(root / MARKER)  # raises InputError for a named pipe, which would block
        found = json.loads((root / MARKER).read_text(encoding="utf-8"))
    except FileNotFoundError:
        if root.is_dir() and any(root.iterdir()):
            raise InputError(
                f"{root} is not empty and contains no street scenes ({MARKER}); name the dataset that it contains with "
                "data=NAME, or choose another data.root for synthetic scenes."
            ) from None
        return False
    except (NotADirectoryError, ValueError):
        raise InputError(f"{root} does not contain a readable {MARKER}; delete it or choose another root.") from None
    differing = [key for key in marker if not isinstance(found, dict) or found.get(key) != marker[key]]
    if differing:
        found = found if isinstance(found, dict) else {}
        changes = ", ".join(f"{key} {found.get(key)} instead of {marker[key]}" for key in differing)
        raise InputError(f"{root} contains street scenes with {changes}; delete that folder or choose another root.")
    return not found.get("unfinished")


def _write_missing(root: Path, marker: dict[str, Any], progress: Callable[[Sequence], Iterable]) -> None:
    """Write the scenes that do not exist. Until all of them do, the marker file is `unfinished`."""
    _write_marker(root, {**marker, "unfinished": True})
    scenes = [(split, number) for split, count in marker["counts"].items() for number in range(count)]
    missing = [scene for scene in scenes if not _paths(root, *scene)[1].exists()]  # the label is written last
    for split, number in progress(missing):
        _write_scene(root, split, number, marker["height"], marker["width"], marker["seed"])
    _write_marker(root, marker)


def _paths(root: Path, split: str, number: int) -> tuple[Path, Path]:
    """Return the image and label files of a scene."""
    cities = CITIES[split][1]
    city = cities[number % len(cities)]
    name = f"{split}/{city}/{city}_{number // len(cities):06d}_000019"
    return root / f"leftImg8bit/{name}_leftImg8bit.png", root / f"gtFine/{name}_gtFine_labelIds.png"


def _write_scene(root: Path, split: str, number: int, height: int, width: int, seed: int) -> None:
    rng = np.random.default_rng(np.random.SeedSequence([seed, CITIES[split][0], number]))
    image, labels = draw_scene(rng, height, width)
    for path, pixels in zip(_paths(root, split, number), (image[..., ::-1], labels), strict=True):
        write_bytes(path, cv2.imencode(".png", pixels)[1].tobytes(), durable=False)


def _write_marker(root: Path, marker: dict[str, Any]) -> None:
    write_text(root / MARKER, json.dumps(marker, indent=2) + "\n")
