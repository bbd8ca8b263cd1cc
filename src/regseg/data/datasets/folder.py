"""A custom dataset: folders of images and labels, and a file that defines the classes."""

from __future__ import annotations

import hashlib
import math
from functools import cached_property
from pathlib import Path

from regseg.data.datasets.classes_file import read_classes
from regseg.data.datasets.layout import (
    PARTS,
    Problem,
    Sample,
    check_folder,
    check_pairs,
    check_split,
    deeper_root,
    image_files,
    other_name,
    split_of,
)
from regseg.data.datasets.spec import DatasetSpec
from regseg.errors import InputError, check_choice, check_number, typed
from regseg.system.folders import expanded

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
        check_choice("data.split_by", split_by, ("image", "folder"))
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
        if not any(self._part("images", part).is_dir() for part in PARTS):
            return check_pairs(self._divided(split, parts), split, self.root / "images", problems)
        for part in parts:
            images, labels = (self._existing_part(kind, part) for kind in ("images", "labels"))
            pairs += [Sample(image, _label(labels / image.relative_to(images))) for image in image_files(images)]
        return check_pairs(pairs, split, images, problems)

    def _part(self, kind: str, part: str) -> Path:
        """Return the folder of a split's images or labels; that of val may have another name."""
        names = (part, *VAL_NAMES) if part == "val" else (part,)
        split_first = not (self.root / "images").is_dir()
        folders = [self.root / name / kind if split_first else self.root / kind / name for name in names]
        return next((folder for folder in folders if folder.is_dir()), folders[0])

    def _existing_part(self, kind: str, part: str) -> Path:
        """Return `_part`; raise InputError if it does not exist."""
        folder = self._part(kind, part)
        if not folder.is_dir():
            self._check_names(kind)
            files = f"the {kind} of the split {part}"
            no_val = kind == "images" and part == "val"
            other = " evaluate on the training images with data.val_split=train," if no_val else ""
            hint = other_name(self.root, kind)
            raise InputError(f"The folder {folder} is missing; {hint}put {files} there,{other} or change data.root.")
        return folder

    def _check_names(self, kind: str) -> None:
        """Raise InputError for a folder that is named like a split but not read as one."""
        parent = self.root / kind if (self.root / "images").is_dir() else self.root
        for folder in sorted(parent.iterdir()) if parent.is_dir() else ():
            split = split_of(folder.name)
            if split and folder.is_dir() and not (place := self._part(kind, split)).is_dir():
                raise InputError(
                    f"{folder} is named like a split, but the {kind} of {split} are looked for in {place}; move them "
                    "there, or rename the folder."
                )

    def _divided(self, split: str, parts: tuple[str, ...]) -> list[Sample]:
        """Return the pairs of ``images/`` and ``labels/`` whose name falls into ``split``."""
        if not (self.root / "images").is_dir() and (hint := other_name(self.root, "images") or deeper_root(self.root)):
            raise InputError(f"The folder {self.root / 'images'} is missing; {hint}put the images there.")
        self._check_names("images")
        if hint := other_name(self.root, "labels"):
            raise InputError(f"The folder {self.root / 'labels'} is missing; {hint}put the labels there.")
        images, labels = (check_folder(self.root / name, self.layout) for name in ("images", "labels"))
        for folder in sorted(labels.iterdir()):
            if split_of(folder.name) and folder.is_dir():
                raise InputError(
                    f"{folder} is the folder of a split, but {images} has no such folders; divide the images and the "
                    "labels in the same way."
                )
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
                f"With data.val_share={typed(self.val_share)}, none of the {units} of {images} falls into the split "
                f"{split}; {_better_share(set(places), split)}divide them yourself into {images / 'train'} and "
                f"{images / 'val'}."
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


def _label(image: Path) -> Path:
    """Return the label that has the name of ``image``, possibly with an ending; ``<stem>.png`` if there is none."""
    names = (f"{image.stem}{ending}{suffix}" for ending in LABEL_ENDINGS for suffix in (".png", ".PNG"))
    found = (path for name in names if (path := image.with_name(name)).is_file())
    return next(found, image.with_suffix(".png"))
