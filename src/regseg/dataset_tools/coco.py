"""COCO annotations (polygons and run-length encodings) as index label PNGs."""

from __future__ import annotations

import contextlib
import json
import math
import re
from collections import defaultdict
from collections.abc import Mapping
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np

from regseg.data.datamodule import SegmentationDataModule
from regseg.data.datasets.spec import IGNORE_INDEX, is_printable
from regseg.data.decoding import LARGEST, claimed_size
from regseg.data.io import encode_png
from regseg.errors import InputError, shortened
from regseg.system.atomic import write_bytes, write_text
from regseg.system.console import progress, shown
from regseg.system.records import read_text

BACKGROUND = "background"  # the class of unlabelled pixels
_FEWEST_POINTS = 3  # of a polygon; pycocotools takes two points for a box
_HEADER = 2**20  # bytes of an image that contain its size
_UPLOAD_PREFIX = re.compile(r"^[0-9a-f]{8}-")  # of images that were uploaded to Label Studio
_BITS = 40  # of a run length; more would be larger than any image
_OUTSIDE = 4  # how far a polygon may reach outside of its image, as a multiple of the image's side


def import_coco(datamodule: SegmentationDataModule, source: Path) -> None:
    """Write ``<root>/labels/…`` and ``<root>/classes.yaml`` from the COCO annotations ``source``.

    Images are in ``<root>/images`` under their ``file_name`` (see `_find_image`). A pixel gets the class of the
    smallest object that covers it, or else the class background. Crowds (``iscrowd``) count as objects of their class,
    because CVAT marks every mask that was drawn with the brush as a crowd. Classes are numbered from 1 in the order of
    category ids.

    Raises:
        InputError: the annotations or an image are missing or damaged, an annotation is only a box, labels or
            ``classes.yaml`` exist already, or pycocotools is not installed.
    """
    root = datamodule.root
    content = _read(source)
    _check_masks(content, source)
    categories = sorted((entry["id"], str(entry["name"])) for entry in content["categories"])
    _check_names([name for _, name in categories], source)
    values = {identifier: index for index, (identifier, _) in enumerate(categories, 1)}
    if len(values) >= IGNORE_INDEX - 1:
        raise InputError(f"{source} has {len(values)} categories; labels can encode at most {IGNORE_INDEX - 2}.")
    objects: dict[Any, list[Mapping[str, Any]]] = defaultdict(list)
    for entry in content["annotations"]:
        objects[entry["image_id"]].append(entry)
    targets = _targets(root, content, source)
    work = zip(content["images"], targets, strict=True)
    for image, target in progress(work, len(targets), f"writing labels of {source.name}"):
        try:
            label = _label(image, objects[image["id"]], values)
        except (KeyError, TypeError, ValueError, IndexError, OverflowError) as error:
            reason = shortened(repr(error))
            raise InputError(
                f"{source}: the annotations of {image['file_name']} are damaged ({reason}); export them again."
            ) from error
        write_bytes(target, encode_png(label), durable=False)
    write_text(root / "classes.yaml", _classes([name for _, name in categories], source))
    print(f"{len(targets)} labels and {shown(root / 'classes.yaml')}; inspect them with what=check and what=show")


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
            f"{source}: {len(boxes)} of {len(annotations)} annotations have no segmentation (the first is of {first}), "
            "and boxes label no pixels; export the masks too, or remove these annotations."
        )


def _targets(root: Path, content: Mapping[str, Any], source: Path) -> list[Path]:
    """Return the label of each image, checked: none exists, no two images share one, and the images fit."""
    found = [_existing(root / "images", image["file_name"], source) for image in content["images"]]
    targets = [root / "labels" / path.relative_to(root / "images").with_suffix(".png") for path in found]
    if len(set(targets)) < len(targets):
        twice = next(path for path in targets if targets.count(path) > 1)
        raise InputError(f"{source} has two images that would share the label {twice}; rename one of them.")
    if taken := [path for path in (*targets, root / "classes.yaml") if path.exists()]:
        raise InputError(f"{taken[0]} exists; move it away to import {source}.")
    for path, image in zip(found, content["images"], strict=True):
        _check_size(path, image, source)
    return targets


def _existing(images: Path, name: str, source: Path) -> Path:
    """Return the image that annotations call ``name``, which must exist in the folder ``images``."""
    found = _find_image(images, name)
    if found is None:
        raise InputError(
            f"{source} names the image {shortened(name)}, which is missing; put it into {images} under the same file "
            "name."
        )
    return found


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
            with contextlib.suppress(OSError):  # a name that is too long for a file
                if candidate.is_file():
                    return candidate
    return None


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
    if isinstance(segmentation, list):
        coco = _pycocotools()
        polygons = [_polygon(one, height, width) for one in segmentation]
        return coco.decode(coco.merge(coco.frPyObjects(polygons, height, width))).astype(bool)
    counts = segmentation["counts"]
    runs = counts if isinstance(counts, list) else _run_lengths(counts)
    if list(segmentation["size"]) != [height, width] or min(runs) < 0 or sum(runs) != height * width:
        # pycocotools would fill missing pixels with whatever is in memory.
        raise ValueError(f"a mask of the size {shortened(segmentation['size'])} with {shortened(sum(runs))} pixels")
    return np.repeat(np.arange(len(runs)) % 2 == 1, runs).reshape(width, height).T


def _run_lengths(text: str) -> list[int]:
    """Return the run lengths in COCO's compressed form, which starts with the number of background pixels.

    Each number is stored in characters of 5 bits and, from the third on, as the difference from the one before the
    previous.
    """
    runs: list[int] = []
    value = shift = 0
    for code in (ord(character) - 48 for character in text):
        value |= (code & 31) << shift
        shift += 5
        if shift > _BITS:
            raise ValueError("a run length that is larger than any image")
        if code & 32:  # more characters follow
            continue
        if code & 16:  # negative
            value -= 1 << shift
        runs.append(value + (runs[-2] if len(runs) > 2 else 0))
        value = shift = 0
    return runs


def _pycocotools() -> Any:
    try:
        from pycocotools import mask
    except ImportError:
        raise InputError("COCO annotations need pycocotools; install it with pip install 'regseg[coco]'.") from None
    return mask


def _polygon(points: Any, height: int, width: int) -> list[float]:
    """Return a polygon, checked: pycocotools walks along its edges pixel by pixel, however far they lead outside."""
    xs, ys = points[::2], points[1::2]
    fits = len(xs) == len(ys) >= _FEWEST_POINTS and all(type(number) in (int, float) for number in points)
    for values, side in ((xs, width), (ys, height)):
        fits = fits and all(-_OUTSIDE * side <= value <= (1 + _OUTSIDE) * side for value in values)
    if not fits:
        raise ValueError(f"the polygon {shortened(points)}")
    return points


def _is_whole(value: Any) -> bool:
    return isinstance(value, int | float) and 0 < value < math.inf and value == int(value)


def _check_names(names: list[str], source: Path) -> None:
    for name in names:
        shown_name = shortened(repr(name))
        if names.count(name) > 1 or name.strip() in ("", BACKGROUND):
            raise InputError(f"{source}: the category {shown_name} is empty, reserved or given twice; rename it.")
        if not is_printable(name):
            raise InputError(f"{source}: the category {shown_name} has characters that cannot be printed; rename it.")


def _classes(names: list[str], source: Path) -> str:
    import yaml

    rows = [{"name": name, "id": index} for index, name in enumerate([BACKGROUND, *names])]
    dumped = yaml.safe_dump({"classes": rows}, default_flow_style=None, sort_keys=False, allow_unicode=True)
    comment = f"Written from {source.name}. Unlabelled pixels are the class background; move 0 to `ignore` otherwise."
    return f"# {comment}\n{dumped}"
