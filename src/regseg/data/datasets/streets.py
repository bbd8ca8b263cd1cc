"""Synthetic street scenes: a dataset that needs no download."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from regseg.data.datasets.cityscapes import SPEC as CITYSCAPES
from regseg.data.datasets.cityscapes import Cityscapes
from regseg.data.datasets.layout import Problem, Sample
from regseg.errors import InputError, check_number
from regseg.system.console import bar, shown

_SMALLEST = 2  # pixels; a scene is drawn from parts of half its size


class Streets(Cityscapes):
    """Synthetic street scenes with the classes and folder layout of Cityscapes, created on first use.

    Args:
        root: the folder of the images, or a new or empty folder to create them in.
        height: height of the images, in pixels.
        width: width of the images, in pixels.
        counts: number of images per split; None creates 400 train, 60 val and 60 test images.
        seed: seed of the scenes; each image has its own random stream.

    Raises:
        InputError: a number is invalid.
    """

    spec = replace(CITYSCAPES, name="streets")
    only_read = False  # set per instance by the function `only_read`

    def __init__(
        self,
        root: str | Path,
        height: int = 128,
        width: int = 256,
        counts: Mapping[str, int] | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__(root)
        for name, side in (("height", height), ("width", width)):
            check_number(f"data.options.{name}", side, lowest=_SMALLEST, integer=True)
        check_number("data.options.seed", seed, integer=True)
        self.drawing: dict[str, Any] = {"height": height, "width": width, "seed": seed}
        if counts is not None:
            if not isinstance(counts, Mapping):
                raise InputError(
                    f"data.options.counts={counts} is not a mapping; write "
                    "'data.options.counts={train:9,val:3,test:3}'."
                )
            for split, count in counts.items():
                check_number(f"data.options.counts.{split}", count, integer=True)
            self.drawing["counts"] = dict(counts)

    def samples(self, split: str, problems: list[Problem] | None = None) -> list[Sample]:
        """List the pairs of a split, and create the images if they do not exist; see `DatasetLayout.samples`.

        Args:
            split: train, val, test or trainval.
            problems: if given, faulty pairs are skipped and their problems are appended to this list.

        Raises:
            InputError: the folder contains streets of other settings or something else, or some are missing and
                `only_read` forbids creating them.
        """
        from regseg.streets import write_streets

        write_streets(self.root, create=not self.only_read, progress=self._progress, **self.drawing)
        return super().samples(split, problems)

    def _progress(self, scenes: Sequence[Any]) -> Iterable[Any]:
        print(f"Creating {len(scenes)} street scenes in {shown(self.root)}.")
        return bar(scenes, len(scenes), "creating street scenes")


def only_read(dataset: Any) -> None:
    """Keep a `Streets` dataset from creating images, for roots that a checkpoint names or a user may have mistyped."""
    if isinstance(dataset, Streets):
        dataset.only_read = True
