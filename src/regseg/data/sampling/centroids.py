"""The index of class centroids from which class-uniform sampling draws (Sec. 4.2).

Every training label is divided into tiles. A class that occurs in a tile has one centroid there, the mean position of
its pixels. An epoch takes the same number of centroids of every class, so that rare classes are seen as often as
frequent ones.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from regseg.data.cache_dir import relative, working_folder
from regseg.data.datasets.layout import Sample
from regseg.data.datasets.spec import DatasetSpec
from regseg.data.io import read_label
from regseg.errors import InputError
from regseg.system.atomic import remove_leftovers, write_bytes
from regseg.system.console import progress
from regseg.system.locks import lock
from regseg.system.reading import file_status, is_file, read_bytes

_ROW = np.dtype("<i4")
TILE = 1024  # pixels, as in the author's release


@dataclass(frozen=True)
class CentroidIndex:
    """The centroids of a dataset's labels.

    Attributes:
        table: (N, 4) int32 with columns class, image, row and column; row and column in pixels of the full-size label.
        num_classes: number of classes of the dataset.
    """

    table: np.ndarray
    num_classes: int

    @property
    def absent(self) -> list[int]:
        """The indices of the classes without a centroid."""
        return sorted(set(range(self.num_classes)) - set(self.table[:, 0].tolist()))


def load_index(samples: Sequence[Sample], spec: DatasetSpec, root: Path, tile: int = TILE) -> CentroidIndex:
    """Load the centroid index of ``samples`` from `working_folder`; build it if it is missing or outdated.

    Args:
        samples: the image and label files.
        spec: the dataset's classes.
        root: the dataset's folder.
        tile: side of a tile, in pixels.

    Returns:
        The index. It is rebuilt if a label file, the classes or the tile have changed.

    Raises:
        InputError: a label cannot be read.
    """
    built_from = _built_from(samples, spec, root, tile)
    name = hashlib.sha256(os.fsencode("\n".join(path for path, *_ in built_from["labels"]))).hexdigest()[:16]
    path = working_folder(root) / f"centroids-{name}.bin"
    key = hashlib.sha256(json.dumps(built_from).encode()).digest()
    with lock(path.with_name(f"{path.name}.lock"), wait=True):
        table = _read(path, key)
        remove_leftovers(path.parent, path.name)
        if table is None or not _fits(table, len(samples), spec.num_classes):
            table = build_table([sample.label for sample in samples], spec, tile)
            rows = table.astype(_ROW).tobytes()
            write_bytes(path, key + hashlib.sha256(rows).digest() + rows)
    return CentroidIndex(table, spec.num_classes)


def build_table(labels: Sequence[Path], spec: DatasetSpec, tile: int = TILE) -> np.ndarray:
    """Compute the table of a `CentroidIndex` on all cores.

    Args:
        labels: the label files.
        spec: the dataset's classes.
        tile: side of a tile, in pixels.

    Returns:
        (N, 4) int32 with columns class, image, row and column.

    Raises:
        InputError: a label cannot be read.
    """

    def of_label(path: Path) -> np.ndarray:
        return tile_centroids(read_label(path, spec), tile)

    # Threads suffice, because OpenCV and NumPy release the GIL.
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            found = list(progress(pool.map(of_label, labels), len(labels), "building the centroid index"))
    finally:
        cv2.setNumThreads(threads)
    rows = [np.insert(centroids, 1, image, axis=1) for image, centroids in enumerate(found)]
    return np.concatenate(rows).astype(np.int32)


def tile_centroids(label: np.ndarray, tile: int = TILE) -> np.ndarray:
    """Compute the centroids of a label, tile by tile.

    Tiles start at the upper left corner; tiles at the lower and right border may be smaller.

    Args:
        label: (H, W) uint8 class indices; 255 is ignored.
        tile: side of a tile, in pixels.

    Returns:
        (N, 3) int32 with columns class, row and column.
    """
    found = []
    for top in range(0, label.shape[0], tile):
        for left in range(0, label.shape[1], tile):
            part = np.ascontiguousarray(label[top : top + tile, left : left + tile])
            present = np.flatnonzero(cv2.calcHist([part], [0], None, [256], [0, 256]).ravel()[:255])
            for number in present:
                moments = cv2.moments((part == number).view(np.uint8), binaryImage=True)
                area = moments["m00"]
                found.append((number, top + int(moments["m01"] / area), left + int(moments["m10"] / area)))
    return np.array(found, np.int32).reshape(-1, 3)


def _built_from(samples: Sequence[Sample], spec: DatasetSpec, root: Path, tile: int) -> dict[str, Any]:
    labels = []
    for sample in samples:
        status = file_status(sample.label)
        labels.append((relative(sample.label, root), status.st_size, status.st_mtime_ns))
    described = spec.to_dict()
    return {"tile": tile, "ids": described["ids"], "color_ids": described["color_ids"], "labels": labels}


def _read(path: Path, key: bytes) -> np.ndarray | None:
    """Return the stored table; None if there is none, if it is damaged, or if it was built from something else.

    The file consists of ``key``, the SHA-256 of the rows, and the rows.
    """
    try:
        content = read_bytes(path) if is_file(path) else b""
    except InputError:
        return None
    found, checksum, rows = content[:32], content[32:64], content[64:]
    if found != key or checksum != hashlib.sha256(rows).digest() or len(rows) % (4 * _ROW.itemsize):
        return None
    return np.frombuffer(rows, _ROW).astype(np.int32).reshape(-1, 4)


def _fits(table: np.ndarray, images: int, num_classes: int) -> bool:
    """Return whether the class and image of every row exist; `TrainSet` checks the positions."""
    return bool((table >= 0).all() and (table[:, 0] < num_classes).all() and (table[:, 1] < images).all())
