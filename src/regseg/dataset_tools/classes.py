"""A first classes.yaml from the labels of a dataset, for a person to edit."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from regseg.data.datamodule import SegmentationDataModule
from regseg.data.datasets.camvid import SPEC as CAMVID
from regseg.data.datasets.cityscapes import SPEC as CITYSCAPES
from regseg.data.datasets.folder import LABEL_ENDINGS, Folder
from regseg.data.datasets.layout import check_folder, deeper_root, image_files, other_name
from regseg.data.datasets.spec import MAX_CLASSES, Color
from regseg.data.decoding import PALETTE, png_kind
from regseg.data.io import decode_label
from regseg.errors import InputError, counted
from regseg.system.atomic import write_text
from regseg.system.console import progress, shown
from regseg.system.reading import is_file, read_bytes

_VOC = [  # classes of the PASCAL VOC challenge, in the order of its palette
    *("background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow"),
    *("diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor"),
]
_BINARY = {0: "background", 255: "object"}  # the values of a binary mask; otherwise 255 is ignored
_BINARY_COLORS = {(value,) * 3: name for value, name in _BINARY.items()}
_ONE_MASK_PER_CLASS = re.compile(r"task-\d+-annotation-\d+-")  # Label Studio's "Brush labels to PNG"
_WHITE_BORDER = (224, 224, 192)  # the colour of the border between objects in VOC, which is not a class


class Found(NamedTuple):
    """The values or colours in a label file.

    Attributes:
        pixels: value or colour -> number of pixels.
        palette: value -> colour, of a palette PNG.
        areas: the values or colours that fill at least one 2x2 square; those of smoothed edges do not.
    """

    pixels: Counter[Any]
    palette: dict[int, Color]
    areas: set[Any]


def classes(datamodule: SegmentationDataModule, out: Path) -> None:
    """Write ``<root>/classes.yaml`` from the labels of `Folder`, with the number of pixels of each class.

    Names come from ``labelmap.txt`` (as CVAT exports it) or from well-known colour tables; otherwise they are numbers.
    The value 255 is ignored, except in binary masks (0 and 255), where it becomes the class ``object``.

    Raises:
        InputError: there are no labels, the labels cannot be class maps, or ``classes.yaml`` exists.
    """
    root = check_folder(datamodule.root, Folder.layout)
    path = root / "classes.yaml"
    if path.exists():
        raise InputError(f"{path} exists already; rename it, then run the command again to write a new one.")
    files = _label_files(root)
    if masks := [file for file in files if _ONE_MASK_PER_CLASS.match(file.name)]:
        raise InputError(
            f"{masks[0]} is the mask of a single class, and its name does not say of which image; export the "
            "annotations from Label Studio as COCO instead, then use what=import."
        )
    found = _read_all(files)
    labelmap = _read_labelmap(root / "labelmap.txt")
    write_text(path, _yaml(found, labelmap, len(files)))
    values = f"{counted(len(found.pixels), 'value')} in {counted(len(files), 'label')}"
    print(f"{values}; edit the names in {shown(path)}, then run what=check")
    thin = len({*found.pixels} - found.areas - {255})
    if found.areas and thin:
        never = "1 value never fills" if thin == 1 else f"{thin} values never fill"
        print(
            f"{never} a 2x2 square, as at the edges of smoothed masks; if they are not classes, export the masks "
            f"without smoothing, remove {shown(path)} and rerun the command"
        )


def _label_files(root: Path) -> list[Path]:
    """List the label PNGs in ``labels`` or ``*/labels``; raise InputError if there are none."""
    none = f"{root} has no label PNGs in labels or */labels"
    if not (root / "labels").is_dir() and (hint := deeper_root(root) or other_name(root, "labels")):
        raise InputError(f"{none}; {hint}put them there.")
    folders = [root / "labels"] if (root / "labels").is_dir() else sorted(root.glob("*/labels"))
    listed = [file for folder in folders for file in image_files(folder)]
    if files := [file for file in listed if file.suffix.lower() == ".png"]:
        return files
    if listed:
        raise InputError(
            f"{none} (there is {listed[0]}, but labels must be PNGs); export them as PNGs, because JPEG changes their "
            "values."
        )
    if annotations := next(iter(sorted(root.glob("*.json"))), None):
        raise InputError(f"{none}; if {annotations} has COCO annotations, use what=import source={annotations}.")
    endings = tuple(f"{ending}.png" for ending in LABEL_ENDINGS if ending)
    next_to_images = [file for file in image_files(root) if file.name.lower().endswith(endings)]
    if next_to_images:
        raise InputError(
            f"{none}; move {next_to_images[0]} and the other labels to {root / 'labels'}, the images to images."
        )
    raise InputError(f"{none}; put them there, or set data.root.")


def _read_all(files: Sequence[Path]) -> Found:
    """Return the values or colours in all label files, and the colours of the first palette that has each value."""
    total = Found(Counter(), {}, set())
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        # No name refers to the iterator of `map`, so that an exception frees it and cancels the remaining reads.
        for path, label in zip(files, progress(pool.map(_read, files), len(files), "reading labels"), strict=True):
            total.pixels.update(label.pixels)
            if len({isinstance(value, tuple) for value in total.pixels}) > 1:
                raise InputError(
                    f"{files[0]} and {path} differ in kind: one has indices, the other colours; export all labels in "
                    "the same format."
                )
            _check_count(len(total.pixels), path)
            total.palette.update({**label.palette, **total.palette})
            total.areas.update(label.areas)
    return total


def _read(path: Path) -> Found:
    data = read_bytes(path)
    raw = decode_label(data, path)
    if raw.dtype != np.uint8:
        raw = _in_8_bits(raw, path)
    codes = raw if raw.ndim == 2 else raw.astype(np.uint32) @ np.array([65536, 256, 1], np.uint32)
    square = (codes[1:, 1:] == codes[:-1, :-1]) & (codes[1:, :-1] == codes[:-1, 1:]) & (codes[1:, 1:] == codes[:-1, 1:])
    key = int if raw.ndim == 2 else _color
    pixels = Counter({key(code): count for code, count in _count(codes, path).items()})
    areas = {key(code) for code in _count(codes[1:, 1:][square], path)}
    return Found(pixels, _palette(path) if png_kind(data)[1] == PALETTE else {}, areas)


def _color(code: int) -> Color:
    return code >> 16, code >> 8 & 255, code & 255


def _in_8_bits(raw: np.ndarray, path: Path) -> np.ndarray:
    """Return a label of 16 bits per channel as `DatasetSpec.decode` reads it, with colours divided by 257."""
    exact = not (raw % 257).any() if raw.ndim == 3 else raw.max() <= 255
    if not exact:
        found = "colours" if raw.ndim == 3 else f"the value {raw.max()}"
        raise InputError(
            f"{path} has {found} beyond 8 bits, but classes need 8-bit ids or colours; export it with 8 bits."
        )
    return (raw // 257 if raw.ndim == 3 else raw).astype(np.uint8)


def _check_count(count: int, path: Path) -> None:
    """Refuse values or colours that are too many for classes, before they fill the memory."""
    if count > MAX_CLASSES:
        raise InputError(
            f"Up to {path}, the labels contain {count} different colours, too many for classes; export them as PNGs "
            "without smoothing."
        )


def _count(codes: np.ndarray, path: Path) -> dict[int, int]:
    """Return the number of pixels of each code; refuse more than `MAX_CLASSES` codes."""
    if codes.dtype == np.uint8:
        return {code: int(count) for code, count in enumerate(np.bincount(codes.ravel())) if count}
    found, counts = np.unique(codes, return_counts=True)
    _check_count(len(found), path)
    return dict(zip(found.tolist(), counts.tolist(), strict=True))


def _palette(path: Path) -> dict[int, Color]:
    with Image.open(path) as image:
        colors = np.array(image.getpalette("RGB"), int).reshape(-1, 3)
    return {index: tuple(color) for index, color in enumerate(colors.tolist())}


def _read_labelmap(path: Path) -> dict[Color, str]:
    """Return colour -> name from CVAT's ``labelmap.txt`` (``name:red,green,blue:parts:actions``); empty without one."""
    if not is_file(path):  # raises InputError for a named pipe, which would block
        return {}
    names: dict[Color, str] = {}
    for line in path.read_text(encoding="utf-8-sig", errors="replace").splitlines():
        name, _, rest = line.partition(":")
        parts = rest.partition(":")[0].split(",")
        if not line.startswith("#") and len(parts) == 3 and all(part.strip().isdigit() for part in parts):
            red, green, blue = map(int, parts)
            names[red, green, blue] = name
    return names


def _known_names(colors: list[Color]) -> dict[Color, str]:
    """Return the names of the colour table with most of ``colors``, if it has more than half of them."""
    tables: list[dict[Color, str]] = [
        dict(zip(spec.colors, spec.classes, strict=True)) for spec in (CITYSCAPES, CAMVID)
    ]
    tables.append({_voc_color(index): name for index, name in enumerate(_VOC)})
    best = max(tables, key=lambda table: sum(color in table for color in colors))
    return best if 2 * sum(color in best for color in colors) > len(colors) else {}


def _voc_color(index: int) -> Color:
    """Return colour ``index`` of VOC's palette: its bits go to red, green and blue in turn, highest first."""
    color = [0, 0, 0]
    for bit in range(8):
        color[bit % 3] |= (index >> bit & 1) << (7 - bit // 3)
    return color[0], color[1], color[2]


def _yaml(found: Found, labelmap: Mapping[Color, str], files: int) -> str:
    """Return the content of classes.yaml."""
    import yaml

    pixels, palette, areas = found
    color_of: dict[Any, Any] = {value: value if isinstance(value, tuple) else palette.get(value) for value in pixels}
    names = labelmap or _known_names([color for color in color_of.values() if color is not None])
    border = [value for value in sorted(pixels) if color_of[value] == _WHITE_BORDER]
    tables: tuple[dict[Any, str], ...] = (_BINARY, _BINARY_COLORS)
    binary = next((table for table in tables if set(pixels) == set(table) and not border), {})
    ignored = sorted({*border, *(value for value in pixels if value == 255 and not binary)})
    used: Counter[str] = Counter()
    total, lines = pixels.total(), []
    shown: set[Color | None] = set()  # unused entries of a palette are often black, and colours must differ
    for index, value in enumerate(value for value in sorted(pixels) if value not in ignored):
        repeated = color_of[value] in shown
        name = (None if repeated else names.get(color_of[value])) or binary.get(value, f"class_{index}")
        used[name] += 1
        entry: dict[str, Any] = {"name": name if used[name] == 1 else f"{name}_{used[name]}"}
        if not isinstance(value, tuple):
            entry["id"] = value
        if color_of[value] is not None and not repeated:
            shown.add(color_of[value])
            entry["color"] = list(color_of[value])
        text = yaml.safe_dump(entry, default_flow_style=True, sort_keys=False, allow_unicode=True, width=1000).strip()
        thin = ", never fills a 2x2 square" if areas and value not in areas else ""
        lines.append(f"  - {text}  # {100 * pixels[value] / total:.2f} % of all pixels{thin}\n")
    unused = [f"{name} {list(color)}" for color, name in labelmap.items() if color not in color_of.values()]
    note = f"# In labelmap.txt, but in no label: {', '.join(unused)}\n" if unused else ""
    kept = [list(value) if isinstance(value, tuple) else value for value in ignored]
    return (
        f"# Written from {counted(files, 'label')}. Edit the names; move values that are not classes to `ignore`.\n"
        f"classes:\n{''.join(lines)}{note}ignore: {kept}\n"
    )
