"""The file ``classes.yaml``, which defines the classes of a custom dataset."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from regseg.data.datasets.spec import IGNORE_INDEX, MAX_CLASSES, Color, DatasetSpec, distinct_colors, is_printable
from regseg.errors import InputError, shortened
from regseg.system.reading import is_file


def read_classes(path: Path) -> DatasetSpec:
    """Read a ``classes.yaml``; see `Folder`.

    Raises:
        InputError: the file is missing, is not YAML, or has an invalid entry.
    """
    content = _load_yaml(path)
    _check_keys(content, ("classes", "ignore", "excluded", "left_out"), path)
    if isinstance(content.get("classes"), Mapping):
        raise InputError(f"{path}: classes is not a list; write one entry `- {{name: road, id: 0}}` for each class.")
    classes = _entries(content, "classes", path)
    names = _names(classes, path)
    ignored = _entries(content, "ignore", path)
    ids, color_ids = _tables(classes, ignored, path)
    if not ids and len(ignored) == 3 and not any(isinstance(value, list) for value in ignored):
        raise InputError(
            f"{path}: ignore: {ignored} lists three ids, but the classes have colours only; to ignore this one colour, "
            f"write ignore: [{ignored}]."
        )
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
        colors=tuple(
            tuple(_several("color", entry)[0]) if "color" in entry else spare
            for entry, spare in zip(classes, spares, strict=True)
        ),
        excluded=excluded,
        ids=ids,
        color_ids=tuple(color_ids.items()),
    )


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
            for value in (_parse(key, one, path) for one in _several(key, entry)):
                if value in tables[key]:
                    raise InputError(
                        f"{path}: the {key} {value} of {entry['name']} is given twice; change one of them."
                    )
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


def _several(key: str, entry: Mapping[str, Any]) -> list[Any]:
    """Return the ids or colours of a class, which may be given as a list; the first colour is that of pictures."""
    value = entry[key]
    is_list = isinstance(value, list) and bool(value)
    return value if is_list and (key == "id" or all(isinstance(part, list) for part in value)) else [value]


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
        content = yaml.load(path.read_text(encoding="utf-8"), _loader(path))
    except FileNotFoundError:
        raise InputError(
            f"{path} is missing; write a first one with python -m regseg.prepare what=classes data=folder "
            f"data.root={path.parent}, then edit it (see docs/datasets.md)."
        ) from None
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}); check the file and its permissions.") from error
    except InputError:
        raise
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not encoded in UTF-8; save it as UTF-8 in your editor.") from error
    except Exception as error:  # PyYAML raises others than its own for wrong dates, numbers and deep nesting
        reason = shortened(" ".join(str(error).split()).rstrip("."), 500)
        raise InputError(f"{path} is not valid YAML ({reason}); correct it.") from error
    if not isinstance(content, Mapping):
        raise InputError(f"{path} has no list `classes`; add it (see docs/datasets.md).")
    return content


def _loader(path: Path) -> type:
    """Return PyYAML's safe loader, which also refuses a key that is given twice; YAML would use only the last one."""
    import yaml

    class Loader(yaml.SafeLoader):
        def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
            keys = [key.value for key, _ in node.value if isinstance(key.value, str)]
            if twice := [key for key in keys if keys.count(key) > 1]:
                raise InputError(
                    f"{path}, line {node.start_mark.line + 1}: the key {shortened(twice[0])} is given twice in one "
                    "entry; remove one, or begin a new entry with `- `."
                )
            return super().construct_mapping(node, deep)

    return Loader
