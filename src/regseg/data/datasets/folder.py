"""A custom dataset: folders of images and labels, and a file that defines the classes."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from regseg.data.datasets.layout import SPLITS, Problem, Sample, check_folder, check_pairs, check_split, image_files
from regseg.data.datasets.spec import IGNORE_INDEX, MAX_CLASSES, Color, DatasetSpec, distinct_colors, is_printable
from regseg.errors import InputError, check_number, shortened
from regseg.system.folders import expanded
from regseg.system.reading import is_file

# Suffixes that tools append to the names of labels.
LABEL_ENDINGS = ("", "_mask", "_masks", "_label", "_labels", "_gt", "_seg")
VAL_NAMES = ("valid", "validation")  # other names of the split val


class Folder:
    """``<root>/images/<split>/…`` with ``<root>/labels/<split>/<stem>.png`` and ``<root>/classes.yaml``.

    Labels are index or colour PNGs, also named ``<stem>_mask.png`` and the like (`LABEL_ENDINGS`). The labels of images
    in subfolders are in subfolders of the same names. The split val may be called valid or validation. If there is no
    folder ``images``, the splits are in ``<root>/<split>/images`` and ``<root>/<split>/labels``.

    Without split folders, ``<root>/images/…`` and ``<root>/labels/…`` are divided into train and val by a hash of each
    name. Adding images does not move any other image to the other split. The file ``classes.yaml`` has these keys::

        classes:                       # in the order of the network's outputs
          - {name: road, id: 0, color: [128, 64, 128]}   # id: value in index labels; color: RGB in colour labels
          - {name: car, id: 1}         # every class needs an id, or every class a color; pictures use the colors too
        ignore: [255, [0, 0, 0]]       # ids and colours to ignore; 255 is always ignored, unless it is a class's id
        excluded: [car]                # classes to exclude from the reduced mean IoU; formerly left_out
    """

    layout = "<root>/images/<split>/*, <root>/labels/<split>/<the image's name>.png and <root>/classes.yaml"

    def __init__(self, root: str | Path, val_share: float = 0.2, split_by: str = "image") -> None:
        """Describe a dataset; no file is read yet.

        Args:
            root: the dataset's folder.
            val_share: share of the images that become the split val, where there are no split folders.
            split_by: what is divided there: single images (image), or first-level subfolders as a whole (folder), so
                that the frames of one drive never fall into both splits.

        Raises:
            InputError: an argument is wrong.
        """
        check_number("data.val_share", val_share, highest=1)
        if split_by not in ("image", "folder"):
            raise InputError(f"data.split_by={split_by} does not exist; choose image or folder.")
        self.root, self.val_share, self.split_by = expanded(root), val_share, split_by

    @cached_property
    def spec(self) -> DatasetSpec:
        """The classes, read from ``classes.yaml``; InputError is raised if it is missing or invalid."""
        check_folder(self.root, self.layout)
        return read_classes(self.root / "classes.yaml")

    def samples(self, split: str, problems: list[Problem] | None = None) -> list[Sample]:
        """List the pairs of a split; see `DatasetLayout.samples`."""
        check_folder(self.root, self.layout)
        parts, pairs = check_split(split), []
        if not any(self._part("images", part).is_dir() for part in SPLITS):
            return check_pairs(self._divided(split, parts), split, self.root / "images", problems)
        for part in parts:
            images = check_folder(self._part("images", part), self.layout)
            labels = check_folder(self._part("labels", part), self.layout)
            pairs += [Sample(image, _label(labels / image.relative_to(images))) for image in image_files(images)]
        return check_pairs(pairs, split, images, problems)

    def _part(self, kind: str, part: str) -> Path:
        """Return the folder of a split's images or labels; that of val may have another name."""
        names = (part, *VAL_NAMES) if part == "val" else (part,)
        split_first = not (self.root / "images").is_dir()
        folders = [self.root / name / kind if split_first else self.root / kind / name for name in names]
        return next((folder for folder in folders if folder.is_dir()), folders[0])

    def _divided(self, split: str, parts: tuple[str, ...]) -> list[Sample]:
        """Return the pairs of ``images/`` and ``labels/`` whose name falls into ``split``."""
        images, labels = (check_folder(self.root / name, self.layout) for name in ("images", "labels"))
        if split == "test":
            raise InputError(
                f"{images} has no folder for the split test; put test images into {images / 'test'}, the others into "
                f"{images / 'train'} and {images / 'val'}."
            )
        found = [path.relative_to(images) for path in image_files(images)]
        places = [self._place_of(path) for path in found]
        chosen = [
            path
            for path, place in zip(found, places, strict=True)
            if ("val" if place < self.val_share * 2**64 else "train") in parts
        ]
        if found and not chosen:
            units = "subfolders" if self.split_by == "folder" else "images"
            raise InputError(
                f"With data.val_share={self.val_share}, none of the {units} of {images} falls into the split {split}; "
                f"{_better_share(set(places), split)}divide them yourself into {images / 'train'} and {images / 'val'}."
            )
        return [Sample(images / path, _label(labels / path)) for path in chosen]

    def _place_of(self, path: Path) -> int:
        """Return a hash of the image's path without its suffix, or of its first folder, from 0 to 2**64 - 1."""
        if self.split_by == "folder" and len(path.parts) == 1:
            raise InputError(
                f"{self.root / 'images' / path} is not in a subfolder, but data.split_by=folder splits by subfolder; "
                "move it into one, or use data.split_by=image."
            )
        key = path.parts[0] if self.split_by == "folder" else path.with_suffix("").as_posix()
        digest = hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()
        return int.from_bytes(digest[:8], "big")


def _better_share(places: set[int], split: str) -> str:
    """Return a hint with the value of ``data.val_share`` nearest to the given one that leaves no split empty."""
    if len(places) < 2:
        all_in_train = "data.val_share=0 " if split == "train" else ""
        return f"{all_in_train}data.val_split=train evaluates on the training images; or "
    # The first one of val, or the first one of train.
    share = (min(places) + 1 if split == "val" else max(places)) / 2**64
    share = (math.ceil if split == "val" else math.floor)(100 * share) / 100
    number = sum(place < share * 2**64 for place in places)
    if number in (0, len(places)):
        return ""
    return f"data.val_share={share:g} puts {number} of {len(places)} into val; or "


def read_classes(path: Path) -> DatasetSpec:
    """Read a ``classes.yaml``; see `Folder`.

    Raises:
        InputError: the file is missing, is not YAML, or has an invalid entry.
    """
    content = _load_yaml(path)
    _check_keys(content, ("classes", "ignore", "excluded", "left_out"), path)
    classes = _entries(content, "classes", path)
    names = _names(classes, path)
    ids, color_ids = _tables(classes, _entries(content, "ignore", path), path)
    if "left_out" in content and "excluded" in content:
        raise InputError(f"{path} has both excluded and left_out, its former name; remove left_out.")
    key = "left_out" if "left_out" in content else "excluded"
    excluded = tuple(_entries(content, key, path))
    if unknown := [name for name in excluded if name not in names]:
        name = shortened(unknown[0])
        raise InputError(f"{path}: {key} names {name}, which is not a class; choose from {', '.join(names)}.")
    if len(set(excluded)) == len(names):
        raise InputError(f"{path}: {key} names every class; remove one, since the reduced mean needs a class.")
    spares = distinct_colors(len(classes))
    return DatasetSpec(
        name=path.resolve().parent.name,
        classes=names,
        colors=tuple(tuple(entry.get("color", spare)) for entry, spare in zip(classes, spares, strict=True)),
        excluded=excluded,
        ids=ids,
        color_ids=tuple(color_ids.items()),
    )


def _label(image: Path) -> Path:
    """Return the label that has the name of ``image``, possibly with an ending; ``<stem>.png`` if there is none."""
    names = (f"{image.stem}{ending}{suffix}" for ending in LABEL_ENDINGS for suffix in (".png", ".PNG"))
    found = (path for name in names if (path := image.with_name(name)).is_file())
    return next(found, image.with_suffix(".png"))


def _names(classes: list[Any], path: Path) -> tuple[str, ...]:
    if not 1 <= len(classes) <= MAX_CLASSES:
        raise InputError(f"{path} defines {len(classes)} classes; give a list `classes` of 1 to {MAX_CLASSES}.")
    for entry in classes:
        shown = shortened(entry)
        if isinstance(entry, list | None):
            raise InputError(f"{path}: the class {shown} has no valid name; write {{name: road, id: 0}}.")
        if not isinstance(entry, Mapping):
            raise InputError(f"{path}: the class {shown} has no id and no color; write {{name: {shown}, id: 0}}.")
        _check_keys(entry, ("name", "id", "color"), path)
        name = entry.get("name")
        if name is not None and not isinstance(name, str):  # YAML reads yes, no, on and off as booleans
            raise InputError(
                f"{path}: the name {shortened(name)} of a class is not text; put it in quotes, as in name: 'yes'."
            )
        if not name or not name.strip():
            raise InputError(f"{path}: the class {shown} has no name; write {{name: road, id: 0}}.")
    names = [entry["name"] for entry in classes]
    if strange := [name for name in names if not is_printable(name)]:
        raise InputError(
            f"{path}: the class {shortened(repr(strange[0]))} has characters that cannot be printed; rename it."
        )
    if twice := [name for name in names if names.count(name) > 1]:
        raise InputError(f"{path}: the class {shortened(twice[0])} is defined twice; rename one of them.")
    return tuple(names)


def _tables(classes: list[Any], ignored: list[Any], path: Path) -> tuple[dict[int, int], dict[Color, int]]:
    """Return the tables id -> class index and colour -> class index; a table is empty unless every class is in it."""
    tables: dict[str, dict[Any, int]] = {"id": {}, "color": {}}
    for value in ignored:
        key = "color" if isinstance(value, list) else "id"
        tables[key][_parse(key, value, path)] = IGNORE_INDEX
    for index, entry in enumerate(classes):
        for key in (key for key in tables if key in entry):
            value = _parse(key, entry[key], path)
            if value in tables[key]:
                raise InputError(f"{path}: the {key} {value} of {entry['name']} is given twice; change one of them.")
            tables[key][value] = index
    lacking = {key: [entry["name"] for entry in classes if key not in entry] for key in tables}
    if all(lacking.values()):
        key = min(lacking, key=lambda key: len(lacking[key]))
        raise InputError(
            f"{path}: the class {lacking[key][0]} has no {key}; give every class an id (index labels) or every class a "
            "color (colour labels)."
        )
    tables["id"].setdefault(255, IGNORE_INDEX)
    ids, colors = ({} if lacking[key] else tables[key] for key in tables)
    return ids, colors


def _parse(key: str, value: Any, path: Path) -> int | Color:
    """Check an id or a colour and return it; a colour becomes a tuple."""
    parts = value if key == "color" else [value]
    fits = isinstance(parts, list) and len(parts) == (3 if key == "color" else 1)
    if not fits or not all(type(part) is int and 0 <= part <= 255 for part in parts):
        wanted = "a color [red, green, blue] of numbers from 0 to 255" if key == "color" else "an id from 0 to 255"
        shown = repr(value) if isinstance(value, str) else shortened(value)  # quotes tell '0' from 0
        raise InputError(f"{path}: {shortened(shown)} is not {wanted}; correct it.")
    return tuple(value) if key == "color" else value


def _entries(content: Mapping[str, Any], key: str, path: Path) -> list[Any]:
    entries = content.get(key)
    if not isinstance(entries, list | None):
        raise InputError(f"{path}: {key} is {shortened(entries)}, not a list; write {key}: [{shortened(entries)}].")
    return entries or []


def _check_keys(content: Mapping[str, Any], known: tuple[str, ...], path: Path) -> None:
    if unknown := [key for key in content if key not in known]:
        raise InputError(f"{path}: there is no key {shortened(unknown[0])}; choose from {', '.join(known)}.")


def _load_yaml(path: Path) -> Mapping[str, Any]:
    import yaml

    is_file(path)  # raises InputError for a named pipe, which would block
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(
            f"{path} is missing; write a first one with python -m regseg.prepare what=classes data=folder "
            f"data.root={path.parent}, then edit it (see docs/datasets.md)."
        ) from None
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}); check the file and its permissions.") from error
    except Exception as error:  # PyYAML raises others than its own for wrong dates, numbers and deep nesting
        reason = shortened(" ".join(str(error).split()).rstrip("."), 500)
        raise InputError(f"{path} is not valid YAML ({reason}); correct it.") from error
    if not isinstance(content, Mapping):
        raise InputError(f"{path} has no list `classes`; add it (see docs/datasets.md).")
    return content
