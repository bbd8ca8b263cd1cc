"""The files that are saved for a prediction: overlays, colour maps and label files."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Container, Iterable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import cv2
import numpy as np

from regseg.data.datasets.cityscapes import SPEC as CITYSCAPES
from regseg.data.datasets.spec import IGNORE_INDEX, DatasetSpec
from regseg.data.legend import legend
from regseg.errors import InputError, check_choice, typed
from regseg.inference.drawing import overlay, with_legend
from regseg.inference.out_folder import ARCHIVE, Origin
from regseg.inference.sources import Item
from regseg.system.atomic import write_bytes, write_whole

MODES = ("overlay", "color", "index", "train_ids", "cityscapes")
OVERLAY_FORMATS = ("jpg", "png")
_LEGEND_WIDTH = 640  # width in pixels of a legend in a separate file
_LABEL_OPTIONS = [cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_DEFAULT]  # a third of the time and size
_OPTIONS = {".png": [], ".jpg": [cv2.IMWRITE_JPEG_QUALITY, 92]}


class Outputs:
    """The files of predictions, ``<out>/<mode>/<name>.png``.

    Modes:

    - ``overlay``: the classes' colours over the image, with a legend of the classes that occur.
    - ``color``: the classes' colours.
    - ``index``: the values of the dataset's own label files.
    - ``train_ids``: class indices, 0 for the first class.
    - ``cityscapes``: Cityscapes' label IDs, named as the test server and cityscapesScripts' evaluator expect them.

    Args:
        out: the output folder.
        save: the modes.
        spec: the dataset's classes.
        overlay_format: ``jpg`` or ``png``.
        opacity: opacity of an overlay's colours, from 0 to 1.

    Raises:
        InputError: an argument is wrong, or the dataset's classes cannot be saved in that mode.
    """

    def __init__(
        self, out: Path, save: Sequence[str], spec: DatasetSpec, *, overlay_format: str = "jpg", opacity: float = 0.5
    ) -> None:
        check_save(save)
        check_choice("overlay_format", overlay_format, OVERLAY_FORMATS)
        self.out, self.save, self.spec = out, tuple(dict.fromkeys(save)), spec
        self.overlay_suffix, self.opacity = f".{overlay_format}", opacity
        makers = {"index": index_values, "train_ids": class_indices, "cityscapes": cityscapes_ids}
        self._tables = {mode: make(spec) for mode, make in makers.items() if mode in self.save}

    def paths(self, item: Item) -> dict[str, Path]:
        """Return the output file of each mode.

        Raises:
            InputError: with ``cityscapes``, the image is not named as in Cityscapes.
        """
        found = {}
        for mode in self.save:
            suffix = self.overlay_suffix if mode == "overlay" else ".png"
            name = cityscapes_name(item.path) if mode == "cityscapes" else item.name
            found[mode] = self.out / mode / name.with_name(name.name + suffix)
        return found

    def origins(self, items: Iterable[Item], settings: Mapping[str, Any]) -> dict[Path, Origin]:
        """Return every output file of the images, with what determines its content.

        Args:
            items: the images.
            settings: what decides the labels.

        Raises:
            InputError: two images would have the same output, because Cityscapes result names omit folders.
        """
        by_mode = {mode: settings_of(mode, settings, self.opacity) for mode in self.save}
        found: dict[Path, Origin] = {}
        for item in items:
            source = os.path.abspath(item.path)
            for mode, path in self.paths(item).items():
                other = found.setdefault(path, Origin(source, by_mode[mode])).source
                if other != source:
                    raise InputError(f"{other} and {source} would both be written to {path}; rename one of them.")
        return found

    def write(self, item: Item, image: np.ndarray, labels: np.ndarray) -> None:
        """Write every output of an image atomically.

        Args:
            item: the image's file.
            image: (H, W, 3) uint8 RGB.
            labels: (H, W) uint8 class indices.

        Raises:
            InputError: the image is too large for the format of a file.
            OSError: a file cannot be written.
        """
        for mode, path in self.paths(item).items():
            write_bytes(path, _encode(self._pixels(mode, image, labels), path.suffix))

    def _pixels(self, mode: str, image: np.ndarray, labels: np.ndarray) -> np.ndarray:
        if mode == "overlay":
            return with_legend(overlay(image, labels, self.spec, self.opacity), labels, self.spec)
        return self.spec.colorize(labels) if mode == "color" else cv2.LUT(labels, self._tables[mode])


def check_save(save: Sequence[str]) -> None:
    """Raise InputError unless ``save`` is a list of `MODES`."""
    if isinstance(save, str) or not isinstance(save, Sequence) or not save:
        raise InputError(f"save={typed(save)} is not a list; write 'save=[overlay,index]'.")
    if unknown := [mode for mode in save if mode not in MODES]:
        raise InputError(f"save=[{typed(unknown[0])}] does not exist; choose from {', '.join(MODES)}.")


def index_values(spec: DatasetSpec) -> np.ndarray:
    """Return (256,) uint8: the value of each class in the dataset's index label files.

    Raises:
        InputError: the dataset's labels are colours.
    """
    table = np.full(256, IGNORE_INDEX, np.uint8)
    for value, index in sorted(spec.ids.items(), reverse=True):  # the smallest of several values
        if index != IGNORE_INDEX:
            table[index] = value
    if lacking := [name for index, name in enumerate(spec.classes) if index not in spec.ids.values()]:
        raise InputError(
            f"save=[index] needs ids, and the class {lacking[0]} of {spec.name} has none; choose color or train_ids."
        )
    return table


def class_indices(spec: DatasetSpec) -> np.ndarray:
    """Return (256,) uint8: every class index unchanged."""
    return np.arange(256, dtype=np.uint8)


def cityscapes_ids(spec: DatasetSpec) -> np.ndarray:
    """Return (256,) uint8: the Cityscapes label ID of each class, found by the class's name.

    Raises:
        InputError: a class is not one of Cityscapes.
    """
    ids = dict(zip(CITYSCAPES.classes, index_values(CITYSCAPES), strict=False))
    if unknown := [name for name in spec.classes if name not in ids]:
        raise InputError(
            f"save=[cityscapes] needs the classes of Cityscapes, and {unknown[0]} is not one of them; choose "
            "index, color or train_ids."
        )
    table = np.zeros(256, np.uint8)
    table[: spec.num_classes] = [ids[name] for name in spec.classes]
    return table


def cityscapes_name(path: Path) -> Path:
    """Return the name of a result for the test server: the image's name without folders and suffix.

    Raises:
        InputError: the image is not named ``<city>_<sequence>_<frame>_….png``.
    """
    parts = path.stem.split("_")
    if len(parts) < 3 or not parts[0] or not all(part.isdecimal() and len(part) == 6 for part in parts[1:3]):
        raise InputError(
            f"save=[cityscapes] needs images named as in Cityscapes, <city>_000000_000019_leftImg8bit.png, and "
            f"{path.name} is not; choose index for images of other names."
        )
    return Path(path.stem)


def settings_of(mode: str, settings: Mapping[str, Any], opacity: float) -> Mapping[str, Any]:
    """Return the settings that determine the content of the outputs of one mode."""
    return {**settings, "opacity": opacity} if mode == "overlay" else settings


def zip_labels(outputs: Outputs, items: Sequence[Item], missing: Container[Path]) -> str:
    """Zip the Cityscapes results of all images for the test server if all exist; return a sentence on what was done.

    With several shards, the one that finishes last finds all of them. If a result is missing, an earlier archive is
    removed.

    Args:
        outputs: outputs of the prediction.
        items: all images, those of other shards too.
        missing: the files that do not count, see `out_folder.missing`.
    """
    files = [outputs.paths(item)["cityscapes"] for item in items]
    target = outputs.out / ARCHIVE
    if lacking := sum(path in missing for path in files):
        target.unlink(missing_ok=True)
        return f"{target} is not written yet: {lacking} of {len(files)} results are missing."

    def write(file: IO[bytes]) -> None:
        with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:  # PNGs are compressed already
            for path in files:
                archive.write(path, path.name)

    write_whole(target, write)
    return f"{len(files)} results for the test server in {target}"


def write_legend(path: Path, spec: DatasetSpec) -> None:
    """Write a PNG of all classes' colours and names."""
    write_bytes(path, _encode(legend(spec, _LEGEND_WIDTH), path.suffix))


def _encode(pixels: np.ndarray, suffix: str) -> bytes:
    if pixels.ndim == 3:
        pixels, options = cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), _OPTIONS[suffix]
    else:
        options = _LABEL_OPTIONS
    done, data = cv2.imencode(suffix, pixels, options)
    if not done:  # a JPEG has at most 65500 pixels on a side
        height, width = pixels.shape[:2]
        raise InputError(f"A picture of {width}x{height} pixels cannot be a {suffix[1:]}; set overlay_format=png.")
    return data.tobytes()
