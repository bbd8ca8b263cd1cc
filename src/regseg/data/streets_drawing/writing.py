"""Writing the drawn streets in the folder layout of Cityscapes, once and whole."""

import json
import os
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from regseg.data.streets_drawing.scene import draw_scene
from regseg.errors import InputError

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
    """Draws the dataset into `root`, unless it is there already, and returns `root`.

    Image n of a split is drawn from SeedSequence([seed, split number, n]). `progress` wraps the list of what is to be
    drawn, as `tqdm.tqdm` and `rich.progress.track` do; it is not called when nothing is. The folder appears under its
    name only when it is complete, so a broken run leaves nothing behind that looks like the dataset, and of two
    processes that write at once one wins and the other takes what it finds.

    Raises InputError if `root` holds streets drawn with other settings, or something else.
    """
    root = Path(root).absolute()  # "." has no name
    marker = {"version": VERSION, "seed": seed, "height": height, "width": width, "counts": dict(counts)}
    if unknown := set(counts) - set(CITIES):
        raise InputError(f"no split is called {', '.join(sorted(unknown))}: choose from {', '.join(CITIES)}")
    if _is_written(root, marker):
        return root
    root.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{root.name}-", dir=root.parent, ignore_cleanup_errors=True) as beside:
        draft = Path(beside) / root.name  # a folder with ordinary permissions; the one around it is private
        draft.mkdir()
        for split, number in progress([(split, number) for split, count in counts.items() for number in range(count)]):
            _write_scene(draft, split, number, height, width, seed)
        (draft / MARKER).write_text(json.dumps(marker, indent=2) + "\n", encoding="utf-8")
        try:
            os.rename(draft, root)
        except OSError:
            if not _is_written(root, marker):  # it is if another process came first
                raise
    return root


def _is_written(root: Path, marker: dict[str, Any]) -> bool:
    """Whether `root` holds exactly what the marker tells; raises InputError if it holds something else."""
    try:
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
    return True


def _write_scene(root: Path, split: str, number: int, height: int, width: int, seed: int) -> None:
    split_number, cities = CITIES[split]
    rng = np.random.default_rng(np.random.SeedSequence([seed, split_number, number]))
    image, labels = draw_scene(rng, height, width)
    city = cities[number % len(cities)]
    name = f"{city}_{number // len(cities):06d}_000019"
    _write_png(root / "leftImg8bit" / split / city / f"{name}_leftImg8bit.png", image[..., ::-1])
    _write_png(root / "gtFine" / split / city / f"{name}_gtFine_labelIds.png", labels)


def _write_png(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    _, encoded = cv2.imencode(".png", pixels)
    path.write_bytes(encoded.tobytes())
