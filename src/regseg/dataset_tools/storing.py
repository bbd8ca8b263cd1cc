"""Making the halved and the decoded storage of a whole dataset ahead of the first run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from regseg.data.image_cache import make
from regseg.errors import InputError

SPLITS = ("train", "val", "test")


def half(datamodule: Any, out: Path) -> None:
    """Halve every image of every split for ``data.storage=half``."""
    _store("half", datamodule)


def cache(datamodule: Any, out: Path) -> None:
    """Decode every pair of every split for ``data.storage=cache``; one made earlier is verified and mended."""
    _store("cache", datamodule)


def _store(kind: str, datamodule: Any) -> None:
    root, total, count = Path(datamodule.hparams.root), 0, 0
    for split in SPLITS:
        try:
            samples = datamodule.dataset.samples(split)
        except InputError as error:
            needless = ", which training does not need" if split == "test" else ""
            print(f"without the split {split}{needless}: {error}")
            continue
        files = make(kind, samples, datamodule.spec, root, verify=True)
        total, count = total + sum(path.stat().st_size for path in files), count + len(files)
    if not count:
        raise InputError(f"{root} holds no split; set data.root to where the dataset lies.")
    print(f"{count} files, {total / 1e9:.2f} GB; use them by data.storage={kind}")
