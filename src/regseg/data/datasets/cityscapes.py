"""Cityscapes (Sec. 4.1): 2975 train, 500 val and 1525 test images of 2048x1024, 19 classes."""

from __future__ import annotations

from pathlib import Path

from regseg.data.datasets.layout import Problem, Sample, check_folder, check_pairs, check_split, image_files
from regseg.data.datasets.spec import IGNORE_INDEX, Color, DatasetSpec
from regseg.system.folders import expanded

# (name, label ID, colour) in the order of the train IDs; source: cityscapesScripts, helpers/labels.py.
_CLASSES: tuple[tuple[str, int, Color], ...] = (
    ("road", 7, (128, 64, 128)),
    ("sidewalk", 8, (244, 35, 232)),
    ("building", 11, (70, 70, 70)),
    ("wall", 12, (102, 102, 156)),
    ("fence", 13, (190, 153, 153)),
    ("pole", 17, (153, 153, 153)),
    ("traffic light", 19, (250, 170, 30)),
    ("traffic sign", 20, (220, 220, 0)),
    ("vegetation", 21, (107, 142, 35)),
    ("terrain", 22, (152, 251, 152)),
    ("sky", 23, (70, 130, 180)),
    ("person", 24, (220, 20, 60)),
    ("rider", 25, (255, 0, 0)),
    ("car", 26, (0, 0, 142)),
    ("truck", 27, (0, 0, 70)),
    ("bus", 28, (0, 60, 100)),
    ("train", 31, (0, 80, 100)),
    ("motorcycle", 32, (0, 0, 230)),
    ("bicycle", 33, (119, 11, 32)),
)
# Label IDs are 0 to 33; -1 (licence plate) is 255 in an 8-bit file. IDs without a class are ignored.
_IDS = {value: IGNORE_INDEX for value in [*range(34), 255]} | {
    label_id: index for index, (_, label_id, _) in enumerate(_CLASSES)
}

SPEC = DatasetSpec(
    name="cityscapes",
    classes=tuple(name for name, _, _ in _CLASSES),
    colors=tuple(color for _, _, color in _CLASSES),
    excluded=("truck", "bus", "train"),
    ids=_IDS,
)


class Cityscapes:
    """``<root>/leftImg8bit/<split>/<city>/*_leftImg8bit.png`` with ``<root>/gtFine/…/*_gtFine_labelIds.png``.

    Args:
        root: the dataset's folder.
    """

    spec = SPEC
    layout = "<root>/leftImg8bit/<split>/<city>/*_leftImg8bit.png, <root>/gtFine/<split>/<city>/*_gtFine_labelIds.png"

    def __init__(self, root: str | Path) -> None:
        self.root = expanded(root)

    def samples(self, split: str, problems: list[Problem] | None = None) -> list[Sample]:
        """List the pairs of a split; see `DatasetLayout.samples`."""
        check_folder(self.root, self.layout)
        folders = [check_folder(self.root / "leftImg8bit" / part, self.layout) for part in check_split(split)]
        check_folder(self.root / "gtFine", self.layout)
        images = (path for folder in folders for path in image_files(folder))
        return check_pairs((Sample(image, self._label(image)) for image in images), split, folders[0], problems)

    def _label(self, image: Path) -> Path:
        city = self.root / "gtFine" / image.relative_to(self.root / "leftImg8bit").parent
        return city / f"{image.stem.removesuffix('_leftImg8bit')}_gtFine_labelIds.png"
