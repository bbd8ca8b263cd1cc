"""Procedurally drawn street scenes: a dataset that every machine has."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from regseg.data.datasets.cityscapes import SPEC as CITYSCAPES
from regseg.data.datasets.cityscapes import Cityscapes
from regseg.data.datasets.layout import Problem, Sample
from regseg.errors import InputError


class Streets(Cityscapes):
    """Street scenes drawn by seed on first use, in Cityscapes' classes and folder layout.

    Args:
        root: where they lie, or will.
        height: of the images, in pixels.
        width: likewise.
        counts: images a split; None draws 400 for training, 60 for validation and 60 for testing.
        seed: of the drawing; each split and image has a random stream of its own.
    """

    spec = replace(CITYSCAPES, name="streets")
    only_read = False  # set on an instance by `only_read`

    def __init__(
        self,
        root: str | Path,
        height: int = 128,
        width: int = 256,
        counts: Mapping[str, int] | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__(root)
        self.drawing: dict[str, Any] = {"height": height, "width": width, "seed": seed}
        if counts is not None:
            self.drawing["counts"] = dict(counts)

    def samples(self, split: str, problems: list[Problem] | None = None) -> list[Sample]:
        """Pairs of ``split``, drawn before if they are not there yet.

        Raises:
            InputError: the folder holds streets drawn otherwise, or something else; or there are none and `only_read`
                forbids drawing.
        """
        from regseg.streets import holds_streets, write_streets

        if self.only_read and not holds_streets(self.root):
            raise InputError(
                f"{self.root} holds no drawn streets; set root to the folder that does, or draw them by data=streets."
            )
        write_streets(self.root, progress=self._progress, **self.drawing)
        return super().samples(split, problems)

    def _progress(self, scenes: Sequence[Any]) -> Iterable[Any]:
        from rich.progress import track

        print(f"drawing {len(scenes)} street scenes into {self.root}")
        return track(scenes, "drawing", transient=True)


def only_read(dataset: Any) -> None:
    """Forbid ``dataset`` to draw into a new folder: one that a checkpoint names, or a mistyped one, must exist."""
    if isinstance(dataset, Streets):
        dataset.only_read = True
