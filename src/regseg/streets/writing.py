"""Writing the drawn streets in the folder layout of Cityscapes."""

import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from regseg.errors import InputError
from regseg.streets.scene import draw_scene
from regseg.system.atomic import write_whole
from regseg.system.reading import is_file

VERSION = 1  # raise it whenever the same seed would draw other images
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
    progress: Callable[[Sequence], Iterable] = iter,
) -> Path:
    """Draws the dataset into `root`, a new or empty folder, unless it is there already, and returns `root`.

    Image n of a split is drawn from SeedSequence([seed, split number, n]). `progress` wraps the list of what is to be
    drawn, as `tqdm.tqdm` and `rich.progress.track` do; it is not called when nothing is. Until all files are there, the
    marker says `unfinished`: the next call continues a drawing that was interrupted. Two processes that draw at once
    write the same files.

    Raises InputError if `root` holds streets drawn with other settings, or something else.
    """
    root = Path(root).absolute()
    marker = {"version": VERSION, "seed": seed, "height": height, "width": width, "counts": dict(counts)}
    if unknown := set(counts) - set(CITIES):
        raise InputError(f"no split is called {', '.join(sorted(unknown))}: choose from {', '.join(CITIES)}")
    if _is_written(root, marker):
        return root
    root.mkdir(parents=True, exist_ok=True)
    _write_whole(root / MARKER, _json({**marker, "unfinished": True}))
    scenes = [(split, number) for split, count in counts.items() for number in range(count)]
    missing = [scene for scene in scenes if not _paths(root, *scene)[1].exists()]  # the label comes last
    for split, number in progress(missing):
        _write_scene(root, split, number, height, width, seed)
    _write_whole(root / MARKER, _json(marker))
    return root


def holds_streets(root: Path) -> bool:
    """Whether `root` is a folder of drawn streets, whatever their settings; nothing is written."""
    return (root / MARKER).is_file()


def _is_written(root: Path, marker: dict[str, Any]) -> bool:
    """Whether `root` holds all that the marker says; raises InputError if it holds something else."""
    try:
        is_file(root / MARKER)  # raises for what would block, such as a named pipe
        found = json.loads((root / MARKER).read_text(encoding="utf-8"))
    except FileNotFoundError:
        if root.is_dir() and any(root.iterdir()):
            raise InputError(
                f"{root} is not empty and holds no {MARKER}: choose another root for the streets"
            ) from None
        return False
    except (NotADirectoryError, ValueError):
        raise InputError(f"{root} does not hold a readable {MARKER}: delete it or choose another root") from None
    differing = [key for key in marker if not isinstance(found, dict) or found.get(key) != marker[key]]
    if differing:
        found = found if isinstance(found, dict) else {}
        changes = ", ".join(f"{key} {found.get(key)} instead of {marker[key]}" for key in differing)
        raise InputError(f"{root} holds streets drawn with {changes}: delete that folder or choose another root")
    return not found.get("unfinished")


def _paths(root: Path, split: str, number: int) -> tuple[Path, Path]:
    """(image, label) files of a scene."""
    cities = CITIES[split][1]
    city = cities[number % len(cities)]
    name = f"{split}/{city}/{city}_{number // len(cities):06d}_000019"
    return root / f"leftImg8bit/{name}_leftImg8bit.png", root / f"gtFine/{name}_gtFine_labelIds.png"


def _write_scene(root: Path, split: str, number: int, height: int, width: int, seed: int) -> None:
    rng = np.random.default_rng(np.random.SeedSequence([seed, CITIES[split][0], number]))
    image, labels = draw_scene(rng, height, width)
    for path, pixels in zip(_paths(root, split, number), (image[..., ::-1], labels), strict=True):
        _write_whole(path, cv2.imencode(".png", pixels)[1].tobytes())


def _write_whole(path: Path, content: bytes) -> None:
    write_whole(path, lambda file: file.write(content), durable=False)


def _json(marker: dict[str, Any]) -> bytes:
    return (json.dumps(marker, indent=2) + "\n").encode()
