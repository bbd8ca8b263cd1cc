"""Class-uniform sampling (Sec. 4.2): half of an epoch's crops lie around pixels of each class in turn.

Every training label is cut into tiles. A class that occurs in a tile has one centroid there, the mean place of its
pixels. An epoch then takes the same number of centroids of every class, so that a rare class is seen as often as a
road.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from regseg.data.cache_dir import progress, relative, working_folder
from regseg.data.datasets.layout import Sample
from regseg.data.datasets.spec import DatasetSpec
from regseg.data.io import read_label
from regseg.errors import InputError
from regseg.system.atomic import remove_leftovers, write_whole
from regseg.system.locks import lock
from regseg.system.reading import file_status, is_file, read_bytes

_ROW = np.dtype("<i4")
TILE = 1024  # pixels, as in the author's release


@dataclass(frozen=True)
class CentroidIndex:
    """The centroids of a dataset's labels.

    Attributes:
        table: (N, 4) int32; a row holds class, image, row and column, in pixels of the full-size label.
        num_classes: of the dataset.
    """

    table: np.ndarray
    num_classes: int

    @property
    def absent(self) -> list[int]:
        """Classes without any centroid, which therefore cannot be drawn."""
        return sorted(set(range(self.num_classes)) - set(self.table[:, 0].tolist()))


def load_index(samples: Sequence[Sample], spec: DatasetSpec, root: Path, tile: int = TILE) -> CentroidIndex:
    """The centroid index of ``samples``, built on first use and stored beside the dataset.

    Where ``root`` cannot be written to, it goes to a cache folder (`working_folder`). It is rebuilt when a label file,
    the classes or the tile have changed.

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
            write_whole(path, lambda file: file.write(key + hashlib.sha256(rows).digest() + rows))
    return CentroidIndex(table, spec.num_classes)


def build_table(labels: Sequence[Path], spec: DatasetSpec, tile: int = TILE) -> np.ndarray:
    """(N, 4) int32 rows of class, image, row and column, over all labels, on all cores."""

    def of_label(path: Path) -> np.ndarray:
        return tile_centroids(read_label(path, spec), tile)

    # Threads, for OpenCV and NumPy let go of the interpreter while they work.
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            found = list(progress(pool.map(of_label, labels), len(labels), "finding the places of each class"))
    finally:
        cv2.setNumThreads(threads)
    rows = [np.insert(centroids, 1, image, axis=1) for image, centroids in enumerate(found)]
    return np.concatenate(rows).astype(np.int32)


def tile_centroids(label: np.ndarray, tile: int = TILE) -> np.ndarray:
    """(N, 3) int32 rows of class, row and column of a label (H, W) uint8, a tile after the other.

    Tiles start at the upper left corner; those that the border cuts off count too. 255 is no class.
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


def _built_from(samples: Sequence[Sample], spec: DatasetSpec, root: Path, tile: int) -> dict[str, object]:
    labels = []
    for sample in samples:
        status = file_status(sample.label)
        labels.append((relative(sample.label, root), status.st_size, status.st_mtime_ns))
    described = spec.to_dict()
    return {"tile": tile, "ids": described["ids"], "color_ids": described["color_ids"], "labels": labels}


def _read(path: Path, key: bytes) -> np.ndarray | None:
    """The stored table; None where there is none, it is damaged, or it was built from something else.

    The file holds ``key``, the rows' SHA-256 and the rows, and is no larger than what it takes in memory.
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
    """Whether every row names a class and an image that exist; `TrainSet` compares the place with the label."""
    return bool((table >= 0).all() and (table[:, 0] < num_classes).all() and (table[:, 1] < images).all())
