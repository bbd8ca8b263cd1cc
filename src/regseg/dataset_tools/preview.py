"""Draws a contact sheet of training crops, to look at before a long run."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from pathlib import Path

import cv2
import numpy as np

from regseg.data.datamodule import SegmentationDataModule
from regseg.data.datasets.spec import IGNORE_INDEX, DatasetSpec
from regseg.data.io import encode_png
from regseg.data.legend import legend
from regseg.errors import counted
from regseg.system.atomic import write_bytes

COLUMNS, ROWS, WIDTH, GAP = 3, 4, 480, 6


def show(datamodule: SegmentationDataModule, out: Path) -> None:
    """Draw the first training crops of epoch 0, as the network gets them, into ``out/crops.png``."""
    datamodule.batch_size = 1  # crops are drawn one by one, so that datasets smaller than a batch can be shown
    datamodule.setup("fit")
    draws = islice(datamodule.train_dataloader().sampler, COLUMNS * ROWS)
    crops = [datamodule.train_set[draw] for draw in draws]
    sheet = contact_sheet([(crop["image"], crop["label"]) for crop in crops], datamodule.spec)
    write_bytes(out / "crops.png", encode_png(sheet))
    print(f"{counted(len(crops), 'training crop')}: {out / 'crops.png'}")


def contact_sheet(crops: Sequence[tuple[np.ndarray, np.ndarray]], spec: DatasetSpec) -> np.ndarray:
    """Draw crops side by side, each next to a copy with its label overlaid; ignored pixels are hatched.

    Args:
        crops: Pairs of image (H, W, 3) uint8 RGB and label (H, W) uint8 class indices, all of the same size.
        spec: The dataset's classes, which a legend names.

    Returns:
        (height, width, 3) uint8 RGB.
    """
    columns = min(COLUMNS, len(crops))
    height, width = crops[0][1].shape
    size = (WIDTH // 2, round(WIDTH / 2 * height / width))
    cells = [_cell(image, label, spec, size) for image, label in crops]
    blank = np.full_like(cells[0], 255)
    cells += [blank] * (-len(cells) % columns)
    rows = [np.hstack(cells[start : start + columns]) for start in range(0, len(cells), columns)]
    sheet = np.vstack(rows)
    return np.vstack([sheet, legend(spec, sheet.shape[1])])


def _cell(image: np.ndarray, label: np.ndarray, spec: DatasetSpec, size: tuple[int, int]) -> np.ndarray:
    image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    label = cv2.resize(label, size, interpolation=cv2.INTER_NEAREST_EXACT)
    overlaid = cv2.addWeighted(image, 0.45, spec.colorize(label), 0.55, 0)
    rows, columns = np.indices(label.shape)
    stripes = np.where((rows + columns) % 8 < 2, 255, 40).astype(np.uint8)[..., None]
    overlaid = np.where((label == IGNORE_INDEX)[..., None], stripes, overlaid)
    return cv2.copyMakeBorder(np.hstack([image, overlaid]), 0, GAP, 0, GAP, cv2.BORDER_CONSTANT, value=(255,) * 3)
