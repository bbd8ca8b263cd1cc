"""COCO annotations as index label PNGs."""

from __future__ import annotations

import json
import math
import re
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Set
from numbers import Real
from pathlib import Path
from typing import Any

from regseg.data.cache_dir import working_folder
from regseg.data.datamodule import SegmentationDataModule
from regseg.data.datasets.classes_file import read_classes
from regseg.data.datasets.layout import deeper_root, image_files, shared_start, split_of
from regseg.data.datasets.spec import IGNORE_INDEX, is_printable
from regseg.data.decoding import LARGEST, claimed_size
from regseg.data.io import encode_png
from regseg.dataset_tools.coco_masks import draw_objects
from regseg.errors import InputError, counted, shortened
from regseg.system.atomic import write_bytes, write_text
from regseg.system.console import progress, shown
from regseg.system.locks import lock
from regseg.system.reading import read_bytes
from regseg.system.records import read_text
from regseg.system.temporary import temporary_folder

BACKGROUND = "background"  # the class of unlabelled pixels
_SHOWN = 5  # folders of labels that are listed
_HEADER = 2**20  # bytes of an image that contain its size
_UPLOAD_PREFIX = re.compile(r"^[0-9a-f]{8}-")  # of images that were uploaded to Label Studio


def import_coco(datamodule: SegmentationDataModule, source: Path) -> None:
    """Write ``<root>/labels/…`` and, unless it exists, ``<root>/classes.yaml`` from the COCO annotations ``source``.

    Images are in ``<root>/images`` under their ``file_name`` (see `_find_images`). A pixel gets the class of the
    smallest object that covers it, or else the class background. Crowds (``iscrowd``) count as objects of their class,
    because CVAT marks every mask that was drawn with the brush as a crowd. Classes are numbered from 1 in the order of
    category ids. If there is a ``classes.yaml``, its ids are used, so that the annotations of each split can be
    imported one after the other.

    Raises:
        InputError: the annotations, an image or the folder of the images are missing or damaged, an annotation is only
            a box, another label exists already, ``classes.yaml`` lacks a category, or pycocotools is not installed.
            Nothing is written then.
    """
    root, content = datamodule.root, _read(source)
    _check_masks(content, source)
    _check_references(content, source)
    if not (root / "images").is_dir():
        hint = deeper_root(root)
        raise InputError(f"The folder {root / 'images'} is missing; {hint}put the images there, or set data.root.")
    folder = working_folder(root)
    # One import at a time: the first one decides the ids in classes.yaml, and its labels must not be replaced.
    with lock(folder / "importing.lock", wait=True):
        labels = _import(root, content, source, folder)
    places = Counter(str(path.parent.relative_to(root)) for path in labels)
    listed = ", ".join(f"{number} in {shown(place)}" for place, number in places.most_common(_SHOWN))
    more = ", …" if len(places) > _SHOWN else ""
    print(
        f"{counted(len(labels), 'label')} ({listed}{more}) and {shown(root / 'classes.yaml')}; inspect them with "
        "what=check and what=show"
    )


def _import(root: Path, content: Mapping[str, Any], source: Path, working: Path) -> list[Path]:
    """Draw all labels in a temporary folder in ``working``, then write them and classes.yaml; return their paths."""
    names = {entry["id"]: str(entry["name"]) for entry in sorted(content["categories"], key=lambda entry: entry["id"])}
    _check_names(list(names.values()), source)
    values = _values(names, {entry["category_id"] for entry in content["annotations"]}, root / "classes.yaml", source)
    targets = _targets(root, content, source)
    with temporary_folder(working, "import") as folder:
        drawn = [folder / f"{number}.png" for number in range(len(targets))]
        _draw(content, values, drawn, source)
        new = [
            (path, target) for path, target in zip(drawn, targets, strict=True) if not _is_same(path, target, source)
        ]
        try:
            for path, target in new:  # only now, so that a failed import can be repeated
                write_bytes(target, path.read_bytes(), durable=False)  # `folder` may be on another disk
            if not (root / "classes.yaml").exists():
                write_text(root / "classes.yaml", _classes(list(names.values()), source))
        except BaseException:  # a full disk or a signal
            for _, target in new:
                target.unlink(missing_ok=True)
            raise
    return targets


def _is_same(drawn: Path, target: Path, source: Path) -> bool:
    """Return whether a label exists already, as an import that was killed leaves it; refuse to replace another one."""
    if not target.exists():
        return False
    if read_bytes(target) != drawn.read_bytes():
        raise InputError(f"{target} exists and differs from {source}; move it away to import {source}.")
    return True


def _draw(content: Mapping[str, Any], values: Mapping[Any, int], paths: list[Path], source: Path) -> None:
    """Write the label of each image."""
    objects: dict[Any, list[Mapping[str, Any]]] = defaultdict(list)
    for entry in content["annotations"]:
        objects[entry["image_id"]].append(entry)
    work = zip(content["images"], paths, strict=True)
    for image, path in progress(work, len(paths), f"drawing the labels of {source.name}"):
        try:
            label = draw_objects(objects[image["id"]], values, int(image["height"]), int(image["width"]))
        except InputError:
            raise
        except (KeyError, TypeError, ValueError, IndexError, OverflowError) as error:
            reason = shortened(repr(error))
            raise InputError(
                f"{source}: the annotations of {image['file_name']} are damaged ({reason}); export them again."
            ) from error
        write_bytes(path, encode_png(label), durable=False)


def _read(source: Path) -> dict[str, Any]:
    try:
        content = json.loads(read_text(source))
        for key in ("images", "annotations", "categories"):
            if not isinstance(content[key], list):
                raise TypeError(key)
        for image in content["images"]:
            named = isinstance(image["file_name"], str) and isinstance(image["id"], int | str)
            if not named or not all(_is_whole(image[side]) for side in ("height", "width")):
                raise TypeError(f"image {image['id']}")
        _ = [(hash(entry["image_id"]), hash(entry["category_id"]), entry.get) for entry in content["annotations"]]
        for entry in content["categories"]:
            if not isinstance(entry["id"] + 0, Real) or not isinstance(entry["name"], str | Real):
                raise TypeError(f"category {entry['id']}")
    except OSError as error:
        raise InputError(f"{source} cannot be read ({error.strerror}); check the path.") from error
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(
            f"{source} is not a COCO annotation file ({shortened(repr(error))}); export it as COCO instances."
        ) from error
    return content


def _check_masks(content: Mapping[str, Any], source: Path) -> None:
    """Refuse annotations without masks, because their objects would become background."""
    annotations = content["annotations"]
    if boxes := [entry for entry in annotations if not entry.get("segmentation")]:
        names = {image["id"]: image["file_name"] for image in content["images"]}
        first = shortened(names.get(boxes[0]["image_id"], f"image_id {boxes[0]['image_id']}"))
        raise InputError(
            f"{source}: annotations without a segmentation: {len(boxes)} of {len(annotations)} (the first is of "
            f"{first}); boxes label no pixels, so export the masks too, or remove these annotations."
        )


def _check_references(content: Mapping[str, Any], source: Path) -> None:
    """Refuse ids that occur twice and annotations of no image, whose objects would get wrong labels or none."""
    for kind, key in (("image", "images"), ("category", "categories")):
        numbers = Counter(entry["id"] for entry in content[key])
        if twice := [identifier for identifier, number in numbers.items() if number > 1]:
            raise InputError(
                f"{source}: the {kind} id {shortened(twice[0])} is given twice; export the annotations again, or "
                "change one of them."
            )
    annotations, images = content["annotations"], {image["id"] for image in content["images"]}
    if lost := [entry["image_id"] for entry in annotations if entry["image_id"] not in images]:
        raise InputError(
            f"{source}: annotations of no image: {len(lost)} of {len(annotations)} (the first has image_id "
            f"{shortened(lost[0])}); add their images to the list of images, or remove these annotations."
        )


def _values(names: Mapping[Any, str], used: Collection[Any], path: Path, source: Path) -> dict[Any, int]:
    """Return category id -> value in labels, as an existing ``classes.yaml`` defines it, or else from 1 up."""
    if not path.exists():
        if len(names) >= IGNORE_INDEX - 1:
            raise InputError(f"{source} has {len(names)} categories; labels can encode at most {IGNORE_INDEX - 2}.")
        return {identifier: value for value, identifier in enumerate(names, 1)}
    spec = read_classes(path)
    unlabelled = spec.ids.get(0)
    if unlabelled is None or (unlabelled != IGNORE_INDEX and spec.classes[unlabelled] != BACKGROUND):
        raise InputError(
            f"{path}: 0 is not the id of the class {BACKGROUND} and not in `ignore`, but it is the value of pixels "
            f"without an object; correct it, or move the file away to import {source}."
        )
    ids = {spec.classes[index]: value for value, index in spec.ids.items() if index != IGNORE_INDEX}
    if unknown := [name for identifier, name in names.items() if identifier in used and name not in ids]:
        raise InputError(
            f"{path} has no class {shortened(unknown[0])}, but {source} has objects of it; add it with an id of its "
            "own, or rename it in one of the files."
        )
    return {identifier: ids[name] for identifier, name in names.items() if name in ids}


def _targets(root: Path, content: Mapping[str, Any], source: Path) -> list[Path]:
    """Return the label of each image, checked: no two images share one, and the images fit."""
    images = root / "images"
    by_name: dict[str, list[Path]] = defaultdict(list)
    for path in image_files(images):
        by_name[path.name].append(path)
    known = {folder for paths in by_name.values() for path in paths for folder in path.relative_to(images).parent.parts}
    found = [_existing(images, image["file_name"], by_name, known, source) for image in content["images"]]
    targets = [root / "labels" / path.relative_to(images).with_suffix(".png") for path in found]
    if twice := [path for path, number in Counter(targets).items() if number > 1]:
        raise InputError(f"{source} has two images that would share the label {twice[0]}; rename one of them.")
    for path, image in zip(found, content["images"], strict=True):
        _check_size(path, image, source)
    return targets


def _existing(images: Path, name: str, by_name: Mapping[str, list[Path]], known: Set[str], source: Path) -> Path:
    """Return the image that annotations call ``name``, which must exist in the folder ``images``."""
    *folders, file = name.replace("\\", "/").split("/")
    folders = folders[max((index for index, part in enumerate(folders, 1) if part in ("", ".", "..")), default=0) :]
    named = by_name.get(file) or by_name.get(_without_prefix(file), [])
    found = _find_images(images, folders, named, known)
    if not found:
        missing = f"{source} names the image {shortened(name)}, which is missing"
        if named:
            raise InputError(
                f"{missing} (there is {named[0]}, but in another folder); move it into the folder of its "
                "file_name, or remove the folders from file_name."
            )
        raise InputError(f"{missing}; put it into {images} under the same file name.")
    if len(found) > 1:
        raise InputError(
            f"{source} names the image {shortened(name)}, which may be {found[0]} or {found[1]}; add the folder to "
            "its file_name, or rename one of them."
        )
    return found[0]


def _find_images(images: Path, folders: list[str], named: list[Path], known: Set[str]) -> list[Path]:
    """Return those of ``named`` whose folders match ``folders`` best; several if ambiguous, none if no image matches.

    Annotation tools write their own paths: ``images/a.jpg``, with backslashes, or ``../../media/upload/4/a.jpg``. The
    leading folders of such a path need not exist in ``images``, and the file may lack the eight hexadecimal digits that
    Label Studio puts in front of names (``61148fa2-a.jpg``). Tools that export each split, as COCO does, omit the
    split's folder. But an image is not taken from another split than the one that the annotations name, or from outside
    a subfolder of ``images`` that they name.

    Args:
        images: the folder of the images.
        folders: the folders in the ``file_name`` of an image.
        named: the images of that name, in any folder.
        known: the name of every folder in the paths of the images, relative to ``images``.
    """
    matches: dict[Path, tuple[int, bool]] = {}  # how many folders agree, from the end; whether all do
    for path in named:
        inside = path.parent.relative_to(images.parent).parts
        agreeing = shared_start(inside[::-1], folders[::-1])
        above = folders[len(folders) - agreeing - 1] if agreeing < len(folders) else ""  # the first that differs
        splits = {split for folder in inside[1:] if (split := split_of(folder))}
        if above not in known and not (split_of(above) and splits - {split_of(above)}):
            matches[path] = agreeing, folders == list(inside[1:])
    return [path for path in matches if matches[path] == max(matches.values())]


def _without_prefix(name: str) -> str:
    return _UPLOAD_PREFIX.sub("", name) or name


def _check_size(path: Path, image: Mapping[str, Any], source: Path) -> None:
    """Refuse annotations of another size than the image's, before memory is allocated for them."""
    annotated = int(image["height"]), int(image["width"])
    with open(path, "rb") as file:
        size = claimed_size(file.read(_HEADER))  # None for formats other than PNG and JPEG
    if (size is None and math.prod(annotated) > LARGEST) or (size and annotated not in (size, size[::-1])):  # EXIF
        found = f", but the image has {size[1]}x{size[0]}" if size else ", more than the supported 2^30"
        height, width = map(shortened, annotated)
        raise InputError(
            f"{source} annotates {path} with {width}x{height} pixels{found}; export the annotations for this image."
        )


def _is_whole(value: Any) -> bool:
    return isinstance(value, int | float) and 0 < value < math.inf and value == int(value)


def _check_names(names: list[str], source: Path) -> None:
    for name, number in Counter(names).items():
        shown_name = shortened(repr(name))
        if number > 1 or name.strip() in ("", BACKGROUND):
            raise InputError(f"{source}: the category {shown_name} is empty, reserved or given twice; rename it.")
        if not is_printable(name):
            raise InputError(f"{source}: the category {shown_name} has characters that cannot be printed; rename it.")


def _classes(names: list[str], source: Path) -> str:
    import yaml

    rows = [{"name": name, "id": index} for index, name in enumerate([BACKGROUND, *names])]
    dumped = yaml.safe_dump({"classes": rows}, default_flow_style=None, sort_keys=False, allow_unicode=True)
    comment = f"Written from {source.name}. Unlabelled pixels are the class background; move 0 to `ignore` otherwise."
    return f"# {comment}\n{dumped}"
