"""`DatasetSpec`: the classes of a dataset and the encoding of its labels, used by data, training and plots alike."""

from __future__ import annotations

import colorsys
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from regseg.errors import InputError, shortened

Color = tuple[int, int, int]

IGNORE_INDEX = 255
_UNKNOWN = 254  # marks undefined label values while decoding
MAX_CLASSES = _UNKNOWN
_FOR_IGNORED: tuple[Color, ...] = ((0, 0, 0), (255, 255, 255), (128, 128, 128))


@dataclass(frozen=True)
class DatasetSpec:
    """The classes of a dataset and how label files encode them.

    Attributes:
        name: the dataset's name, as in ``data=NAME``.
        classes: class names, in the order of their indices in labels and logits.
        colors: one RGB colour per class, for pictures.
        excluded: names of the classes that are excluded from the reduced mean IoU (Sec. 4.3).
        ids: value in an index label file -> class index or ``IGNORE_INDEX``.
        color_ids: pairs of RGB colour in a colour label file and class index or ``IGNORE_INDEX``.
    """

    name: str
    classes: tuple[str, ...]
    colors: tuple[Color, ...]
    excluded: tuple[str, ...] = ()
    ids: Mapping[int, int] = field(default_factory=dict)
    color_ids: tuple[tuple[Color, int], ...] = ()

    def __post_init__(self) -> None:
        assert len(self.classes) == len(self.colors) <= MAX_CLASSES

    def __repr__(self) -> str:
        """Return the name, and the classes with their indices."""
        classes = ", ".join(f"{index} {name}" for index, name in enumerate(self.classes))
        return f"<DatasetSpec {self.name}: {self.num_classes} classes ({classes})>"

    @property
    def num_classes(self) -> int:
        """The number of classes."""
        return len(self.classes)

    @property
    def kept_in_reduced(self) -> list[int]:
        """The indices of the classes in the reduced mean IoU."""
        return [index for index, name in enumerate(self.classes) if name not in self.excluded]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, as stored in checkpoints."""
        return _plain(asdict(self))

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], source: object = None) -> DatasetSpec:
        """Create a spec from the values of `to_dict`.

        Args:
            values: the values.
            source: the file that contains them, for the error.

        Raises:
            InputError: the values, which may come from a damaged file, do not describe classes.
        """
        damaged = "The description of the classes" + (f" in {source}" if source else "") + " is damaged"
        try:
            spec = cls(
                name=str(values["name"]),
                classes=tuple(values["classes"]),
                colors=tuple(tuple(color) for color in values["colors"]),
                excluded=tuple(values["excluded"] if "excluded" in values else values["left_out"]),  # the former name
                ids={int(value): index for value, index in values["ids"].items()},  # JSON turns the keys into text
                color_ids=tuple((tuple(color), index) for color, index in values["color_ids"]),
            )
            valid = spec._is_valid()
        except (KeyError, TypeError, ValueError, AttributeError, AssertionError, OverflowError) as error:
            raise InputError(f"{damaged} ({shortened(repr(error))}); choose another file.") from error
        if not valid:
            raise InputError(f"{damaged}; choose another file.")
        return spec

    def _is_valid(self) -> bool:
        """Return whether names are text and differ, indices are in range, and colours are three bytes."""
        indices = {*self.ids.values(), *(index for _, index in self.color_ids)}
        colors = [*self.colors, *(color for color, _ in self.color_ids)]
        return (
            all(isinstance(name, str) and is_printable(name) for name in (*self.classes, *self.excluded))
            and len(set(self.classes)) == len(self.classes) > 0
            and not any(unicodedata.category(character) == "Cc" for character in self.name)
            and all(type(i) is int and (0 <= i < self.num_classes or i == IGNORE_INDEX) for i in indices)
            and all(0 <= value <= 255 for value in self.ids)
            and all(len(c) == 3 and all(type(v) is int and 0 <= v <= 255 for v in c) for c in colors)
        )

    def decode(self, raw: np.ndarray, path: Path) -> np.ndarray:
        """Convert the pixels of a label file to class indices.

        Args:
            raw: (H, W) integer index label, or (H, W, 3) uint8 or uint16 RGB colour label.
            path: the file, for the error.

        Returns:
            (H, W) uint8 class indices or ``IGNORE_INDEX``.

        Raises:
            InputError: a value or colour is not defined.
        """
        if raw.ndim == 3 and not self.color_ids and _is_gray(raw):
            raw = raw[..., 0]  # an index label that was saved as RGB
        if raw.ndim == 2 and not self.ids and self.color_ids:
            raw = np.repeat(raw[..., None], 3, axis=2)  # a colour label with grey colours only
        label = self._decode_colors(raw, path) if raw.ndim == 3 else self._decode_ids(raw, path)
        unknown = label == _UNKNOWN
        if unknown.any():
            values = raw[unknown]
            count = int((values == values[0]).reshape(len(values), -1).all(-1).sum())
            kind, others = "colour" if raw.ndim == 3 else "value", len(values) - count
            more = f" and others at {others}, which are" if others else ", which is"
            smoothed = " (masks must not be smoothed)" if others else ""
            raise InputError(
                f"{path} has the label {kind} {values[0].tolist()} at {count} pixels{more} not defined in {self.name} "
                f"({self._known_labels(raw.ndim)}); correct the file{smoothed}, "
                f"or add {'them' if others else 'it'} to the classes or to `ignore`."
            )
        return label

    def check_classes(self, label: np.ndarray, path: Path) -> None:
        """Check the values of a label that was decoded earlier and stored in a file.

        Args:
            label: (H, W) uint8.
            path: the original label file, for the error.

        Raises:
            InputError: a value is neither a class index nor ``IGNORE_INDEX``.
        """
        # Adding 1 turns 255 into 0, so that one comparison suffices; it takes a third of the time of two.
        highest = int((label + np.uint8(1)).max())
        if highest > self.num_classes:
            raise InputError(
                f"The stored copy of {path} is damaged (class {highest - 1} of {self.num_classes}); delete the folder "
                ".regseg/cache of the dataset, and it is created again."
            )

    def _decode_ids(self, raw: np.ndarray, path: Path) -> np.ndarray:
        if not self.ids:
            raise InputError(f"{path} is an index label, but {self.name} only has colours; give every class an id.")
        if raw.dtype == np.uint8:
            return cv2.LUT(raw, self._id_table)  # a tenth of the time of indexing
        return np.where((raw >= 0) & (raw < 256), self._id_table[np.clip(raw, 0, 255)], np.uint8(_UNKNOWN))

    def _decode_colors(self, raw: np.ndarray, path: Path) -> np.ndarray:
        if not self.color_ids:
            raise InputError(f"{path} is a colour label, but {self.name} only has ids; give every class a color.")
        if raw.dtype != np.uint8:  # 8-bit colours are multiplied by 257 in 16 bits
            label = self._decode_colors((raw // 257).astype(np.uint8), path)
            return np.where((raw % 257).any(-1), np.uint8(_UNKNOWN), label)
        codes = raw[..., 0].astype(np.uint32) << 16 | raw[..., 1].astype(np.uint32) << 8 | raw[..., 2]
        return self._color_table[codes]

    def _known_labels(self, dimensions: int) -> str:
        if dimensions == 3:
            return f"it defines {len(self.color_ids)} colours"
        return f"it defines {_ranges(sorted(self.ids))}"

    @cached_property
    def _id_table(self) -> np.ndarray:
        table = np.full(256, _UNKNOWN, np.uint8)
        for value, index in self.ids.items():
            table[value] = index
        return table

    @cached_property
    def _color_table(self) -> np.ndarray:
        # One byte for each of the 2^24 colours: one lookup per pixel instead of a search.
        table = np.full(1 << 24, _UNKNOWN, np.uint8)
        for (red, green, blue), index in self.color_ids:
            table[red << 16 | green << 8 | blue] = index
        return table

    def __getstate__(self) -> dict[str, Any]:
        # The tables are computed in every worker instead of being pickled.
        return {key: value for key, value in self.__dict__.items() if not key.endswith("_table")}

    @property
    def ignored_color(self) -> Color:
        """The colour of ignored pixels in pictures: black, or white if a class is black, as VOC's background is."""
        return next((color for color in _FOR_IGNORED if color not in self.colors), _FOR_IGNORED[0])

    def colorize(self, label: np.ndarray) -> np.ndarray:
        """Convert class indices (H, W) uint8 to an RGB picture (H, W, 3) uint8; see `ignored_color`."""
        palette = np.full((1, 256, 3), self.ignored_color, np.uint8)
        palette[0, : self.num_classes] = self.colors
        return cv2.LUT(cv2.merge([label] * 3), palette)  # a third of the time of indexing


def is_printable(name: str) -> bool:
    """Return whether a name has neither control characters, which a terminal obeys, nor lone surrogates."""
    return not any(unicodedata.category(character) in ("Cc", "Cs") for character in name)


def distinct_colors(count: int) -> tuple[Color, ...]:
    """Return ``count`` distinct RGB colours, for classes without a colour."""
    # After eight steps of the golden ratio a hue nearly recurs, so every second group of eight colours is darker.
    colors = (
        colorsys.hsv_to_rgb(index * 0.61803 % 1, 0.85 - 0.3 * (index % 2), 0.95 - 0.3 * (index // 8 % 2))
        for index in range(count)
    )
    return tuple((round(255 * red), round(255 * green), round(255 * blue)) for red, green, blue in colors)


def _is_gray(raw: np.ndarray) -> bool:
    return bool((raw[..., 0] == raw[..., 1]).all() and (raw[..., 0] == raw[..., 2]).all())


def _ranges(values: Sequence[int]) -> str:
    """[0, 1, 2, 5] -> '0-2, 5'."""
    runs: list[list[int]] = []
    for value in values:
        if runs and value == runs[-1][-1] + 1:
            runs[-1].append(value)
        else:
            runs.append([value])
    return ", ".join(f"{run[0]}-{run[-1]}" if len(run) > 1 else str(run[0]) for run in runs)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (tuple, list)):
        return [_plain(item) for item in value]
    return value
