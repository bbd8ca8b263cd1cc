"""Notes on a training that would run but learn nothing, or little."""

from __future__ import annotations

from collections.abc import Iterator

from regseg.data.augment.transforms import TrainTransform
from regseg.data.datasets.spec import DatasetSpec


def notes_on_training(spec: DatasetSpec, transform: TrainTransform) -> Iterator[str]:
    """Yield what is unusual about the classes and sizes of a training, as sentences."""
    if spec.num_classes == 1:
        yield (
            f"{spec.classes[0]} is the only class of {spec.name}, so the loss is 0 and every score is 100 %; add "
            "another class, such as the background, to learn something."
        )
    (height, width), largest = transform.crop_size, transform.short_side[1]
    if min(height, width) > largest:
        yield (
            f"Every crop of {height}x{width} pixels contains padding, because images are resized to a short side of at "
            f"most {largest}; lower data.crop_size or raise data.short_side."
        )
