"""COCO annotations (polygons and run-length encodings) as index label PNGs."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Mapping
from operator import methodcaller
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from regseg.data.cache_dir import progress
from regseg.data.datasets.spec import IGNORE_INDEX
from regseg.errors import InputError
from regseg.system.atomic import write_text, write_whole
from regseg.system.console import shown

_UPLOAD_PREFIX = re.compile(r"^[0-9a-f]{8}-")


def import_coco(datamodule: Any, source: Path) -> None:
    """Write ``<root>/labels/…`` and ``<root>/classes.yaml`` from the COCO annotations ``source``.

    Images are in ``<root>/images`` under their ``file_name`` (see `_find_image`). A pixel gets the class of the
    smallest object that covers it, or else the class background. Crowds (``iscrowd``) count as objects of their class,
    because CVAT marks every mask that was drawn with the brush as a crowd. Classes are numbered from 1 in the order of
    category ids.

    Raises:
        InputError: the annotations or an image are missing or damaged, an annotation is only a box, labels or
            ``classes.yaml`` exist already, or pycocotools is not installed.
    """
    root = Path(datamodule.hparams.root)
    content = _read(source)
    _check_masks(content, source)
    categories = sorted((entry["id"], str(entry["name"])) for entry in content["categories"])
    values = {identifier: index for index, (identifier, _) in enumerate(categories, 1)}
    if len(values) >= IGNORE_INDEX - 1:
        raise InputError(f"{source} has {len(values)} categories; labels can encode at most {IGNORE_INDEX - 2}.")
    objects: dict[Any, list[Mapping[str, Any]]] = defaultdict(list)
    for entry in content["annotations"]:
        objects[entry["image_id"]].append(entry)
    targets = [_target(root, image["file_name"], source) for image in content["images"]]
    if len(set(targets)) < len(targets):
        twice = next(path for path in targets if targets.count(path) > 1)
        raise InputError(f"{source} has two images that would share the label {twice}; rename one of them.")
    if taken := [path for path in (*targets, root / "classes.yaml") if path.exists()]:
        raise InputError(f"{taken[0]} exists; move it away to import {source}.")
    work = zip(content["images"], targets, strict=True)
    for image, target in progress(work, len(targets), f"writing labels of {source.name}"):
        try:
            label = _label(image, objects[image["id"]], values)
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise InputError(f"{source}: the annotations of {image['file_name']} are damaged ({error!r}).") from error
        png = cv2.imencode(".png", label)[1].tobytes()
        target.parent.mkdir(parents=True, exist_ok=True)
        write_whole(target, methodcaller("write", png), durable=False)
    write_text(root / "classes.yaml", _classes([name for _, name in categories], source))
    print(f"{len(targets)} labels and {shown(root / 'classes.yaml')}; inspect them with what=check and what=show")


def _read(source: Path) -> dict[str, Any]:
    try:
        content = json.loads(source.read_text(encoding="utf-8"))
        for key in ("images", "annotations", "categories"):
            if not isinstance(content[key], list):
                raise TypeError(key)
        for image in content["images"]:
            named = isinstance(image["file_name"], str) and isinstance(image["id"], int | str)
            if not named or min(image["height"], image["width"]) < 1:
                raise TypeError(f"image {image['id']}")
        _ = [(entry["image_id"], entry["category_id"], entry.get) for entry in content["annotations"]]
        _ = [(entry["id"] + 0, entry["name"]) for entry in content["categories"]]
    except OSError as error:
        raise InputError(f"{source} cannot be read ({error.strerror}); check the path.") from error
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(f"{source} is not a COCO annotation file ({error!r}); export it as COCO instances.") from error
    return content


def _check_masks(content: Mapping[str, Any], source: Path) -> None:
    """Refuse annotations without masks, because their objects would become background."""
    annotations = content["annotations"]
    if boxes := [entry for entry in annotations if not entry.get("segmentation")]:
        names = {image["id"]: image["file_name"] for image in content["images"]}
        first = names.get(boxes[0]["image_id"], f"image_id {boxes[0]['image_id']}")
        raise InputError(
            f"{source}: {len(boxes)} of {len(annotations)} annotations have no segmentation (the first is of {first}), "
            "and boxes label no pixels; export the masks too, or remove these annotations."
        )


def _target(root: Path, name: str, source: Path) -> Path:
    """Return the path of the label of the image ``name``; the image must exist in ``<root>/images``."""
    images = root / "images"
    found = _find_image(images, name)
    if found is None:
        raise InputError(
            f"{source} names the image {name}, which is missing; put it into {images} under the same file name."
        )
    return root / "labels" / found.relative_to(images).with_suffix(".png")


def _find_image(images: Path, name: str) -> Path | None:
    """Return the image that annotations call ``name``; None if it is missing.

    Annotation tools write their own paths: ``images/a.jpg``, with backslashes, or ``../../media/upload/4/a.jpg``. So
    leading folders may be absent, as may the eight hexadecimal digits that Label Studio puts in front of names
    (``61148fa2-a.jpg``).
    """
    parts = name.replace("\\", "/").split("/")
    first = max((index for index, part in enumerate(parts) if part in ("", ".", "..")), default=-1) + 1
    for start in range(first, len(parts)):
        path = images.joinpath(*parts[start:])
        for candidate in (path, path.with_name(_UPLOAD_PREFIX.sub("", path.name) or path.name)):
            if candidate.is_file():
                return candidate
    return None


def _label(image: Mapping[str, Any], objects: list[Mapping[str, Any]], values: Mapping[Any, int]) -> np.ndarray:
    """Return the (H, W) uint8 label of an image: 0 background, 1 … the categories."""
    height, width = int(image["height"]), int(image["width"])
    label = np.zeros((height, width), np.uint8)
    found = []
    for entry in objects:
        mask = _mask(entry["segmentation"], height, width)
        found.append((int(mask.sum()), values[entry["category_id"]], mask))
    for _, value, mask in sorted(found, key=lambda item: -item[0]):  # small objects over large ones
        label[mask] = value
    return label


def _mask(segmentation: Any, height: int, width: int) -> np.ndarray:
    """Return the (H, W) bool mask of a list of polygons, or of a compressed or uncompressed run-length encoding."""
    try:
        from pycocotools import mask as coco
    except ImportError:
        raise InputError("COCO annotations need pycocotools; install it with pip install 'regseg[coco]'.") from None
    if isinstance(segmentation, list):
        encoded = coco.merge(coco.frPyObjects(segmentation, height, width))
    elif isinstance(segmentation["counts"], list):
        encoded = coco.frPyObjects(segmentation, height, width)
    else:
        encoded = segmentation
    mask = coco.decode(encoded).astype(bool)
    if mask.shape != (height, width):
        raise ValueError(f"a mask of {mask.shape[1]}x{mask.shape[0]} pixels")
    return mask


def _classes(names: list[str], source: Path) -> str:
    import yaml

    rows = [{"name": name, "id": index} for index, name in enumerate(["background", *names])]
    dumped = yaml.safe_dump({"classes": rows}, default_flow_style=None, sort_keys=False, allow_unicode=True)
    comment = f"Written from {source.name}. Unlabelled pixels are the class background; move 0 to `ignore` otherwise."
    return f"# {comment}\n{dumped}"
