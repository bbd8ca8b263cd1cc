"""A dataset of one's own: folders of images and labels, and a file that names the classes."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from regseg.data.files import Sample, check_folder, check_pairs, check_split, image_files
from regseg.data.spec import IGNORE_INDEX, Color, DatasetSpec, distinct_colors
from regseg.errors import InputError


class Folder:
    """``<root>/images/<split>/…`` with ``<root>/labels/<split>/<stem>.png`` and ``<root>/classes.yaml``.

    Labels are index or colour PNGs; images in subfolders have their labels in the same subfolders. ``classes.yaml``::

        classes:                       # in the order of the network's outputs
          - {name: road, id: 0}        # id: the value in index labels
          - {name: car, color: [0, 0, 142]}   # color: RGB in colour labels; also the colour in pictures
        ignore: [255, [0, 0, 0]]       # ids and colours without a class (255 always is)
        left_out: [car]                # classes that the reduced mean IoU leaves out
    """

    layout = "<root>/images/<split>/*, <root>/labels/<split>/<the image's name>.png and <root>/classes.yaml"

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root).expanduser()

    @cached_property
    def spec(self) -> DatasetSpec:
        """Read from ``classes.yaml``; raises InputError where that is missing or wrong."""
        check_folder(self.root, self.layout)
        return read_classes(self.root / "classes.yaml")

    def samples(self, split: str) -> list[Sample]:
        """Pairs of ``split`` (train, val, test or trainval), sorted by file name.

        Raises:
            InputError: a folder or a label is missing.
        """
        check_folder(self.root, self.layout)
        pairs = []
        for part in check_split(split):
            images = check_folder(self.root / "images" / part, self.layout)
            labels = self.root / "labels" / part
            pairs += [
                Sample(image, (labels / image.relative_to(images)).with_suffix(".png")) for image in image_files(images)
            ]
        return check_pairs(pairs, split, self.root / "images")


def read_classes(path: Path) -> DatasetSpec:
    """The spec that a ``classes.yaml`` describes (see `Folder`).

    Raises:
        InputError: the file is missing, is not YAML, or a class lacks what it needs.
    """
    content = _load_yaml(path)
    classes = content.get("classes")
    if not isinstance(classes, list) or not all(isinstance(entry, Mapping) and "name" in entry for entry in classes):
        raise InputError(f"{path} needs a list `classes` whose entries have a name and an id or a color.")
    names = tuple(str(entry["name"]) for entry in classes)
    _check_unique(names, path)
    ids: dict[int, int] = {255: IGNORE_INDEX}
    color_ids: dict[Color, int] = {}
    for value in content.get("ignore") or []:
        _add(ids, color_ids, value, IGNORE_INDEX, path)
    for index, entry in enumerate(classes):
        if "id" not in entry and "color" not in entry:
            raise InputError(f"{path}: the class {entry['name']} has neither an id nor a color; give it one.")
        for value in (entry[key] for key in ("id", "color") if key in entry):
            _add(ids, color_ids, value, index, path)
    left_out = tuple(str(name) for name in content.get("left_out") or [])
    if unknown := [name for name in left_out if name not in names]:
        raise InputError(f"{path}: left_out names {unknown[0]}, which is no class; choose from {', '.join(names)}.")
    has_ids = any("id" in entry for entry in classes)
    return DatasetSpec(
        name=path.resolve().parent.name,
        classes=names,
        colors=tuple(
            tuple(entry["color"]) if "color" in entry else spare
            for entry, spare in zip(classes, distinct_colors(len(classes)), strict=True)
        ),
        left_out=left_out,
        ids=ids if has_ids else {},
        color_ids=tuple(color_ids.items()),
    )


def _add(ids: dict[int, int], color_ids: dict[Color, int], value: Any, index: int, path: Path) -> None:
    if isinstance(value, int) and 0 <= value <= 255:
        known, key = ids, value
    elif isinstance(value, list) and len(value) == 3 and all(isinstance(c, int) and 0 <= c <= 255 for c in value):
        known, key = color_ids, tuple(value)
    else:
        raise InputError(f"{path}: {value} is neither an id from 0 to 255 nor a color [red, green, blue].")
    if index != IGNORE_INDEX and key in known and key != 255:
        raise InputError(f"{path}: {value} is given twice; every id and color belongs to one class.")
    known[key] = index


def _check_unique(names: tuple[str, ...], path: Path) -> None:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice or not names:
        raise InputError(f"{path}: {'the class ' + twice[0] + ' is named twice' if twice else 'classes is empty'}.")


def _load_yaml(path: Path) -> Mapping[str, Any]:
    import yaml

    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path} is missing; it names the classes (see docs/datasets.md).") from None
    except yaml.YAMLError as error:
        raise InputError(f"{path} is not valid YAML: {' '.join(str(error).split())}.") from error
    if not isinstance(content, Mapping):
        raise InputError(f"{path} needs a list `classes`; see docs/datasets.md.")
    return content
