"""CamVid (Sec. 4.1): 367 train, 101 val and 233 test images, 11 classes."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from regseg.data.datasets.layout import Problem, Sample, check_folder, check_pairs, check_split, image_files
from regseg.data.datasets.spec import IGNORE_INDEX, Color, DatasetSpec
from regseg.errors import InputError
from regseg.system.folders import expanded

# (name, colour in the original labels, value in the 480x360 release), in the order of the author's classes.
_CLASSES: tuple[tuple[str, Color, int], ...] = (
    ("building", (128, 0, 0), 1),
    ("tree", (128, 128, 0), 5),
    ("sky", (128, 128, 128), 0),
    ("car", (64, 0, 128), 8),
    ("sign-symbol", (192, 128, 128), 6),
    ("road", (128, 64, 128), 3),
    ("pedestrian", (64, 64, 0), 9),
    ("fence", (64, 64, 128), 7),
    ("column-pole", (192, 192, 128), 2),
    ("sidewalk", (0, 0, 192), 4),
    ("bicyclist", (0, 128, 192), 10),
)
# The other 21 of the 32 original classes are ignored.
_IGNORED_COLORS: tuple[Color, ...] = (
    (0, 0, 0), (0, 0, 64), (0, 64, 64), (0, 128, 64), (64, 0, 64), (64, 0, 192), (64, 128, 64), (64, 128, 192),
    (64, 192, 0), (64, 192, 128), (128, 0, 192), (128, 64, 64), (128, 128, 64), (128, 128, 192),
    (192, 0, 64), (192, 0, 128), (192, 0, 192), (192, 64, 128), (192, 128, 64), (192, 128, 192),
    (192, 192, 0),
)  # fmt: skip
_VOID = 11  # in the 480x360 release

SPEC = DatasetSpec(
    name="camvid",
    classes=tuple(name for name, _, _ in _CLASSES),
    colors=tuple(color for _, color, _ in _CLASSES),
    ids={value: index for index, (_, _, value) in enumerate(_CLASSES)} | {_VOID: IGNORE_INDEX, 255: IGNORE_INDEX},
    color_ids=(
        *((color, index) for index, (_, color, _) in enumerate(_CLASSES)),
        *((color, IGNORE_INDEX) for color in _IGNORED_COLORS),
    ),
)


class CamVid:
    """CamVid in any of its three published layouts, which is detected from the folders.

    - The original: 701 images and their ``*_L.png`` colour labels in any two folders; split by frame number.
    - Folders ``train``, ``val``, ``test`` with colour labels in ``<split>_labels``.
    - The 480x360 release: the same folders with index labels in ``<split>annot``.

    Args:
        root: the dataset's folder.
    """

    spec = SPEC
    layout = (
        "<root>/{train,val,test} and <root>/{train,val,test}annot or <root>/{train,val,test}_labels, "
        "or the original images and *_L.png labels in two folders under <root>"
    )

    def __init__(self, root: str | Path) -> None:
        self.root = expanded(root)
        self._indexed = (self.root / "trainannot").is_dir()
        if not self._indexed:
            self.spec = replace(SPEC, ids={})  # palette PNGs are then read as colours

    def samples(self, split: str, problems: list[Problem] | None = None) -> list[Sample]:
        """List the pairs of a split; see `DatasetLayout.samples`."""
        check_folder(self.root, self.layout)
        parts = check_split(split)
        if self._indexed:
            pairs = [pair for part in parts for pair in self._split_folders(part, part + "annot")]
        elif (self.root / "train_labels").is_dir():
            pairs = [pair for part in parts for pair in self._split_folders(part, part + "_labels")]
        else:
            pairs = [pair for pair in self._originals() if official_split(pair.image.stem) in parts]
        return check_pairs(pairs, split, self.root, problems)

    def _split_folders(self, images: str, labels: str) -> Iterable[Sample]:
        folder = check_folder(self.root / labels, self.layout)
        for image in image_files(check_folder(self.root / images, self.layout)):
            plain, named = folder / f"{image.stem}.png", folder / f"{image.stem}_L.png"
            yield Sample(image, named if named.is_file() else plain)

    def _originals(self) -> list[Sample]:
        files = image_files(self.root)
        folders = {path.parent for path in files if path.stem.endswith("_L")}
        if len(folders) != 1:
            found = "no folder" if not folders else f"{len(folders)} folders"
            raise InputError(
                f"{self.root} is not CamVid: it has {found} with *_L.png labels, no trainannot and no train_labels; "
                f"set data.root to a folder with the layout {self.layout}."
            )
        (labels,) = folders
        images = [path for path in files if not path.stem.endswith("_L")]
        return [Sample(image, labels / f"{image.stem}_L.png") for image in images]


def official_split(stem: str) -> str:
    """Return the split of an original frame.

    The published lists divide the four drives by time: the test split is one whole drive and the end of another; the
    validation split is seven densely labelled seconds of a third. There are 367 train, 101 val and 233 test frames.

    Args:
        stem: name of the frame, such as ``0016E5_07959``.

    Returns:
        train, val or test.

    Raises:
        InputError: the name is not a frame of CamVid.
    """
    match = re.fullmatch(r"(0001TP|0006R0|0016E5|Seq05VD)_f?(\d+)", stem)
    if match is None:
        raise InputError(f"{stem} is not the name of a CamVid frame; remove it from the folder.")
    drive, frame = match[1], int(match[2])
    if drive == "Seq05VD" or (drive == "0001TP" and frame > 8520):
        return "test"
    return "val" if drive == "0016E5" and 7959 <= frame <= 8159 else "train"
