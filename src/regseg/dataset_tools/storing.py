"""Creates the half-resolution or decoded storage of a whole dataset before the first run."""

from __future__ import annotations

from pathlib import Path

from regseg.data.datamodule import SegmentationDataModule
from regseg.data.datasets.layout import PARTS, list_samples
from regseg.data.storage import make
from regseg.errors import InputError, counted
from regseg.system.console import size_on_disk


def half(datamodule: SegmentationDataModule, out: Path) -> None:
    """Store every image of every split at half resolution, for ``data.storage=half``."""
    _store("half", datamodule)


def cache(datamodule: SegmentationDataModule, out: Path) -> None:
    """Decode every pair of every split for ``data.storage=cache``; an existing cache is verified and repaired."""
    _store("cache", datamodule)


def _store(kind: str, datamodule: SegmentationDataModule) -> None:
    root, total, count = datamodule.root, 0, 0
    for split in PARTS:
        try:
            samples = list_samples(datamodule.dataset, split)
        except InputError as error:
            needless = " (training does not need it)" if split == "test" else ""
            print(f"Skipping the split {split}{needless}: {error}")
            continue
        files = make(kind, samples, datamodule.spec, root, verify=True)
        total, count = total + sum(path.stat().st_size for path in files), count + len(files)
    if not count:
        raise InputError(f"{root} contains no split; set data.root to the folder of the dataset.")
    print(f"{counted(count, 'file')}, {size_on_disk(total)}; use them with data.storage={kind}.")
