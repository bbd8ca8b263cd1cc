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
from regseg.data.datasets.layout import image_files
from regseg.data.datasets.spec import MAX_CLASSES, Color
from regseg.data.decoding import PALETTE, png_kind
from regseg.data.io import decode_label
from regseg.errors import InputError
from regseg.system.atomic import write_text
from regseg.system.console import progress, shown
from regseg.system.reading import read_bytes

_VOC = [  # classes of the PASCAL VOC challenge, in the order of its palette
    *("background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow"),
    *("diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor"),
]
_BINARY = {0: "background", 255: "object"}  # the values of a binary mask; otherwise 255 is ignored
_ONE_MASK_PER_CLASS = re.compile(r"task-\d+-annotation-\d+-")  # Label Studio's "Brush labels to PNG"
_WHITE_BORDER = (224, 224, 192)  # the colour of the border between objects in VOC, which is not a class


class Found(NamedTuple):
    """The values or colours in a label file.

    Attributes:
        pixels: value or colour -> number of pixels.
        palette: value -> colour, of a palette PNG.
    """

    pixels: Counter[Any]
    palette: dict[int, Color]


def classes(datamodule: SegmentationDataModule, out: Path) -> None:
    """Write ``<root>/classes.yaml`` from the labels of `Folder`, with the number of pixels of each class.

    Names come from ``labelmap.txt`` (as CVAT exports it) or from well-known colour tables; otherwise they are numbers.
    The value 255 is ignored, except in binary masks (0 and 255), where it becomes the class ``object``.

    Raises:
        InputError: there are no labels, the labels cannot be class maps, or ``classes.yaml`` exists.
    """
    root = datamodule.root
    path = root / "classes.yaml"
    if path.exists():
        raise InputError(f"{path} exists already; rename it, then run the command again to write a new one.")
    folders = [root / "labels"] if (root / "labels").is_dir() else sorted(root.glob("*/labels"))
    files = [file for folder in folders for file in image_files(folder)]
    if not files:
        raise InputError(f"{root} has no label images in labels or */labels; put them there, or set data.root.")
    if masks := [file for file in files if _ONE_MASK_PER_CLASS.match(file.name)]:
        raise InputError(
            f"{masks[0]} is the mask of a single class, and its name does not say of which image; export the "
            "annotations from Label Studio as COCO instead, then use what=import."
        )
    pixels, palette = _read_all(files)
    labelmap = _read_labelmap(root / "labelmap.txt")
    write_text(path, _yaml(pixels, palette, labelmap, len(files)))
    print(f"{len(pixels)} values in {len(files)} labels; edit the names in {shown(path)}, then run what=check")


def _read_all(files: Sequence[Path]) -> Found:
    """Return the values or colours in all label files, and the colours of the first palette that has each value."""
    total = Found(Counter(), {})
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
    return total


def _read(path: Path) -> Found:
    data = read_bytes(path)
    raw = decode_label(data, path)
    if raw.dtype != np.uint8:
        raise InputError(f"{path} has {raw.dtype.itemsize * 8} bits per channel; export labels with 8.")
    return Found(_count(raw, path), _palette(path) if png_kind(data)[1] == PALETTE else {})


def _check_count(count: int, path: Path) -> None:
    """Refuse values or colours that are too many for classes, before they fill the memory."""
    if count > MAX_CLASSES:
        raise InputError(
            f"Up to {path}, the labels contain {count} different colours, too many for classes; export them as PNGs "
            "without smoothing."
        )


def _count(values: np.ndarray, path: Path) -> Counter[Any]:
    """Return the number of pixels of each value (H, W) or colour (H, W, 3)."""
    if values.ndim == 2:
        return Counter({index: int(count) for index, count in enumerate(np.bincount(values.ravel())) if count})
    codes = values.astype(np.uint32) @ np.array([65536, 256, 1], np.uint32)
    found, counts = np.unique(codes, return_counts=True)
    _check_count(len(found), path)
    return Counter(
        {
            (code >> 16, code >> 8 & 255, code & 255): count
            for code, count in zip(found.tolist(), counts.tolist(), strict=True)
        }
    )


def _palette(path: Path) -> dict[int, Color]:
    with Image.open(path) as image:
        colors = np.array(image.getpalette("RGB"), int).reshape(-1, 3)
    return {index: tuple(color) for index, color in enumerate(colors.tolist())}


def _read_labelmap(path: Path) -> dict[Color, str]:
    """Return colour -> name from CVAT's ``labelmap.txt`` (``name:red,green,blue:parts:actions``); empty without one."""
    if not path.exists():
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


def _yaml(pixels: Counter[Any], palette: Mapping[int, Color], labelmap: Mapping[Color, str], files: int) -> str:
    """Return the content of classes.yaml."""
    import yaml

    color_of: dict[Any, Any] = {value: value if isinstance(value, tuple) else palette.get(value) for value in pixels}
    names = labelmap or _known_names([color for color in color_of.values() if color is not None])
    border = [value for value in sorted(pixels) if color_of[value] == _WHITE_BORDER]
    binary = _BINARY if set(pixels) == set(_BINARY) and not border else {}
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
        lines.append(f"  - {text}  # {100 * pixels[value] / total:.2f} % of all pixels\n")
    unused = [f"{name} {list(color)}" for color, name in labelmap.items() if color not in color_of.values()]
    note = f"# In labelmap.txt, but in no label: {', '.join(unused)}\n" if unused else ""
    kept = [list(value) if isinstance(value, tuple) else value for value in ignored]
    return (
        f"# Written from {files} labels. Edit the names; move values that are not classes to `ignore`.\n"
        f"classes:\n{''.join(lines)}{note}ignore: {kept}\n"
    )
