"""A dataset of one's own: folders of images and labels, and a file that names the classes."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from regseg.data.datasets.layout import Problem, Sample, check_folder, check_pairs, check_split, image_files
from regseg.data.datasets.spec import IGNORE_INDEX, MAX_CLASSES, Color, DatasetSpec, distinct_colors
from regseg.errors import InputError
from regseg.system.reading import is_file


class Folder:
    """``<root>/images/<split>/…`` with ``<root>/labels/<split>/<stem>.png`` and ``<root>/classes.yaml``.

    Labels are index or colour PNGs; images in subfolders have their labels in the same subfolders. ``classes.yaml``::

        classes:                       # in the order of the network's outputs
          - {name: road, id: 0, color: [128, 64, 128]}   # id: the value in index labels; color: RGB in colour labels
          - {name: car, id: 1}         # every class needs an id, or every class a color; colours are for pictures too
        ignore: [255, [0, 0, 0]]       # ids and colours without a class (255 always is, unless a class has it)
        excluded: [car]                # classes that the reduced mean IoU leaves out
    """

    layout = "<root>/images/<split>/*, <root>/labels/<split>/<the image's name>.png and <root>/classes.yaml"

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root).expanduser()

    @cached_property
    def spec(self) -> DatasetSpec:
        """Read from ``classes.yaml``; raises InputError where that is missing or wrong."""
        check_folder(self.root, self.layout)
        return read_classes(self.root / "classes.yaml")

    def samples(self, split: str, problems: list[Problem] | None = None) -> list[Sample]:
        """Pairs of ``split`` (train, val, test or trainval), sorted by file name.

        Raises:
            InputError: a folder or a label is missing.
        """
        check_folder(self.root, self.layout)
        pairs = []
        for part in check_split(split):
            images = check_folder(self.root / "images" / part, self.layout)
            labels = check_folder(self.root / "labels" / part, self.layout)
            pairs += [Sample(image, _label(labels / image.relative_to(images))) for image in image_files(images)]
        return check_pairs(pairs, split, self.root / "images", problems)


def read_classes(path: Path) -> DatasetSpec:
    """The spec that a ``classes.yaml`` describes (see `Folder`).

    Raises:
        InputError: the file is missing, is not YAML, or does not say what it should; the message tells where.
    """
    content = _load_yaml(path)
    _check_keys(content, ("classes", "ignore", "excluded"), path)
    classes = _entries(content, "classes", path)
    names = _names(classes, path)
    ids, color_ids = _tables(classes, _entries(content, "ignore", path), path)
    excluded = tuple(_entries(content, "excluded", path))
    if unknown := [name for name in excluded if name not in names]:
        raise InputError(f"{path}: excluded names {unknown[0]}, which is no class; choose from {', '.join(names)}.")
    if len(set(excluded)) == len(names):
        raise InputError(f"{path}: excluded names every class; leave at least one to take the reduced mean over.")
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
    """``image`` with the suffix .png, or .PNG where there is such a file."""
    upper = image.with_suffix(".PNG")
    return upper if upper.is_file() else image.with_suffix(".png")


def _names(classes: list[Any], path: Path) -> tuple[str, ...]:
    if not 1 <= len(classes) <= MAX_CLASSES:
        raise InputError(f"{path} names {len(classes)} classes; give a list `classes` of 1 to {MAX_CLASSES}.")
    for entry in classes:
        if not isinstance(entry, Mapping) or not isinstance(entry.get("name"), str) or not entry["name"].strip():
            raise InputError(f"{path}: the class {entry} has no name that is text; write {{name: road, id: 0}}.")
        _check_keys(entry, ("name", "id", "color"), path)
    names = [entry["name"] for entry in classes]
    if twice := [name for name in names if names.count(name) > 1]:
        raise InputError(f"{path}: the class {twice[0]} is named twice; rename one of them.")
    return tuple(names)


def _tables(classes: list[Any], ignored: list[Any], path: Path) -> tuple[dict[int, int], dict[Color, int]]:
    """(id -> class index, colour -> class index); one is empty where not every class has such a thing."""
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
    return tuple({} if lacking[key] else tables[key] for key in tables)


def _parse(key: str, value: Any, path: Path) -> int | Color:
    """An id as it is, a colour as a tuple."""
    parts = value if key == "color" else [value]
    fits = isinstance(parts, list) and len(parts) == (3 if key == "color" else 1)
    if not fits or not all(type(part) is int and 0 <= part <= 255 for part in parts):
        wanted = "a color [red, green, blue] of numbers from 0 to 255" if key == "color" else "an id from 0 to 255"
        raise InputError(f"{path}: {value} is not {wanted}; correct it.")
    return tuple(value) if key == "color" else value


def _entries(content: Mapping[str, Any], key: str, path: Path) -> list[Any]:
    entries = content.get(key)
    if not isinstance(entries, list | None):
        raise InputError(f"{path}: {key} is {entries}, not a list; write {key}: [{entries}].")
    return entries or []


def _check_keys(content: Mapping[str, Any], known: tuple[str, ...], path: Path) -> None:
    if unknown := [key for key in content if key not in known]:
        raise InputError(f"{path}: {unknown[0]} is not a key here; choose from {', '.join(known)}.")


def _load_yaml(path: Path) -> Mapping[str, Any]:
    import yaml

    is_file(path)  # raises for what would block, such as a named pipe
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path} is missing; it names the classes (see docs/datasets.md).") from None
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}); check the file and its permissions.") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is not valid YAML: {' '.join(str(error).split())}.") from error
    if not isinstance(content, Mapping):
        raise InputError(f"{path} needs a list `classes`; see docs/datasets.md.")
    return content
