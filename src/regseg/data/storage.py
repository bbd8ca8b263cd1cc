"""Storage modes: images and labels are read from the original files, halved images, or decoded arrays.

``half`` has one file per image in `working_folder`, and ``cache`` one per pair, in a folder per encoding of the labels,
so that jobs with other classes do not replace each other's files. Each file ends with a trailer that identifies its
source and contains a checksum, so that an interrupted creation is continued and a changed source is detected.
"""

from __future__ import annotations

import errno
import functools
import hashlib
import io
import json
import math
import os
import shutil
import struct
import zlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple, Protocol

import cv2
import numpy as np

from regseg.data.augment.crop_resize import Window, cut_image
from regseg.data.cache_dir import encoding_folder, name_others, stored_file, working_folder
from regseg.data.datasets.layout import Sample
from regseg.data.datasets.spec import DatasetSpec
from regseg.data.io import encode_png, read_image, read_label, read_sample
from regseg.errors import InputError
from regseg.system.atomic import remove_leftovers, write_whole
from regseg.system.console import progress, size_on_disk
from regseg.system.locks import lock
from regseg.system.reading import file_status, is_file, retried

STORAGE = ("full", "half", "cache")
_NPY_HEADER = 128  # bytes that np.save writes for such an array
_TRAILER = struct.Struct("<16sI")  # identity of the source, CRC-32 of everything before the trailer
_LAYOUT = 3  # version of the file layout; files of another version are created again
_NO_MMAP = (errno.ENODEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP)  # of file systems without shared mappings
_MEASURED = 20  # files that are encoded to estimate the size of all


class Storage(Protocol):
    """Reads the images and labels of a dataset."""

    @property
    def spec(self) -> DatasetSpec:
        """The classes and how label files encode them."""

    def read(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Read an image and its label.

        Returns:
            The image (h, w, 3) uint8 RGB, which may be smaller than the label, and the label (H, W) uint8 class
            indices. Images of the cache have a fourth, padding channel, so that resizing needs no copy.

        Raises:
            InputError: a file is unreadable or damaged.
        """


class FullStorage(NamedTuple):
    """The original files.

    Attributes:
        samples: the image and label files.
        spec: the dataset's classes.
    """

    samples: Sequence[Sample]
    spec: DatasetSpec

    def read(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Read a pair; see `Storage.read`."""
        return read_sample(self.samples[index], self.spec)


class HalfStorage(NamedTuple):
    """Images at half their height and width, as the author stored them for the ablations, and the original labels.

    Attributes:
        samples: the image and label files.
        spec: the dataset's classes.
        halves: the files of the halved images.
    """

    samples: Sequence[Sample]
    spec: DatasetSpec
    halves: Sequence[Path]

    def read(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Read a pair; see `Storage.read`."""
        half, (image, label_file) = read_image(self.halves[index]), self.samples[index]
        label = read_label(label_file, self.spec)
        if any(abs(2 * short - full) > 2 for short, full in zip(half.shape, label.shape, strict=False)):
            sizes = [f"{width}x{height}" for height, width in (half.shape[:2], label.shape)]
            raise InputError(
                f"{self.halves[index]}, the half-resolution copy of {image}, is {sizes[0]} pixels but the label "
                f"{label_file} is {sizes[1]}; run regseg.prepare what=check, or delete the copy, and it will be "
                "created again."
            )
        return half, label


class CacheStorage(NamedTuple):
    """Decoded pairs, memory-mapped, so that only the accessed rows are read.

    Attributes:
        files: one file per pair.
        spec: the dataset's classes.
    """

    files: Sequence[Path]
    spec: DatasetSpec

    def read(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Map a pair into memory; see `Storage.read`."""
        path = self.files[index]
        try:
            return retried(lambda: _map_pair(path))
        except OSError as error:
            raise InputError(
                f"{path} cannot be read ({error.strerror}); check the file and its permissions."
            ) from error
        except ValueError as error:
            raise InputError(
                f"{path} is damaged ({error}); delete it or run regseg.prepare what=cache, and it is created again."
            ) from error


def _map_pair(path: Path) -> tuple[np.ndarray, np.ndarray]:
    with open(path, "rb") as file:
        shape = _shape_of(file.read(_NPY_HEADER))
        pixels, values = math.prod(shape[:2]), math.prod(shape)
        if os.fstat(file.fileno()).st_size != _NPY_HEADER + values + pixels + _TRAILER.size:
            raise ValueError("its size contradicts its header")
        try:
            content: np.ndarray = np.memmap(file, np.uint8, "r", _NPY_HEADER, values + pixels)
        except OSError as error:
            if error.errno not in _NO_MMAP:
                raise
            file.seek(_NPY_HEADER)
            content = np.fromfile(file, np.uint8, values + pixels)
    return content[:values].reshape(shape), content[values:].reshape(shape[:2])


@functools.lru_cache
def _shape_of(header: bytes) -> tuple[int, int, int]:
    """Parse the shape (H, W, 4) from the first bytes of a ``.npy`` file; cached, as most files have the same header.

    Raises:
        ValueError: they are not the header of such a uint8 array.
    """
    try:
        file = io.BytesIO(header)
        np.lib.format.read_magic(file)
        shape, by_columns, dtype = np.lib.format.read_array_header_1_0(file)
    except Exception as error:  # the parser raises various types
        raise ValueError("it has no header") from error
    if len(header) != _NPY_HEADER or file.tell() != _NPY_HEADER or dtype != np.uint8 or by_columns:
        raise ValueError("its header is not that of a cache file")
    if len(shape) != 3 or shape[2] != 4 or min(shape) < 1:
        raise ValueError(f"its header has the shape {shape}")
    return shape


def open_storage(kind: str, samples: Sequence[Sample], spec: DatasetSpec, root: Path) -> Storage:
    """Open a storage, and create it if it does not exist.

    Args:
        kind: full, half or cache.
        samples: the image and label files.
        spec: the dataset's classes.
        root: the dataset's folder.

    Raises:
        InputError: a file cannot be read, or the disk is too small.
    """
    if kind == "full":
        return FullStorage(samples, spec)
    files = make(kind, samples, spec, root)
    return HalfStorage(samples, spec, files) if kind == "half" else CacheStorage(files, spec)


def make(kind: str, samples: Sequence[Sample], spec: DatasetSpec, root: Path, *, verify: bool = False) -> list[Path]:
    """Create the missing and outdated files of a storage, on all cores.

    Args:
        kind: half or cache.
        samples: the image and label files.
        spec: the dataset's classes.
        root: the dataset's folder.
        verify: read every existing file, and create those again whose checksum is wrong. Without it, a damaged file
            with an intact trailer is not detected, because reading 31 GB before every training takes minutes.

    Returns:
        The files of the storage, one per sample.

    Raises:
        InputError: a file cannot be read, or the disk is too small.
    """
    storage = working_folder(root, large=True) / kind
    folder = storage if kind == "half" else encoding_folder(storage, spec)
    files = [folder / stored_file(sample, kind, root) for sample in samples]
    with lock(storage / "making.lock", wait=True), ThreadPoolExecutor(os.cpu_count()) as pool:
        for parent in {file.parent for file in files}:
            remove_leftovers(parent)
        marks = [_mark(sample, spec if kind == "cache" else None) for sample in samples]
        checks = pool.map(_is_good, files, marks, [verify] * len(files))
        checks = progress(checks, len(files), f"verifying the {kind} storage") if verify else checks
        wanted = [job for job, good in zip(zip(files, samples, marks, strict=True), checks, strict=True) if not good]
        for file, *_ in wanted if verify else ():
            if file.exists():
                print(f"{file} is damaged or older than its source and is created again.")
        if wanted:
            if kind == "cache":
                name_others(folder)
            _write_files(wanted, kind, spec, folder, pool)
    return files


def _write_files(
    wanted: Sequence[tuple[Path, Sample, bytes]], kind: str, spec: DatasetSpec, folder: Path, pool: ThreadPoolExecutor
) -> None:
    """Write the file of each (file, sample, mark) if the disk is large enough."""
    encode = _encode_half if kind == "half" else _encode_pair
    # Images may have various sizes, and folders one size each; so the measured files are spread over all.
    measured = wanted[:: -(-len(wanted) // _MEASURED)]
    sizes = [*pool.map(lambda job: len(encode(job[1], spec)), measured)]
    needed = len(wanted) * sum(sizes) // len(sizes)
    _check_disk(folder, needed - sum(file.stat().st_size for file, *_ in wanted if file.exists()))
    what = f"creating the {kind} storage in {folder}, about {size_on_disk(needed)}"

    def write(job: tuple[Path, Sample, bytes]) -> None:
        path, sample, mark = job
        content = encode(sample, spec)
        trailer = _TRAILER.pack(mark, zlib.crc32(content))
        write_whole(path, lambda file: (file.write(content), file.write(trailer)), durable=False)

    for _ in progress(pool.map(write, wanted), len(wanted), what):
        pass


def _encode_half(sample: Sample, spec: DatasetSpec) -> bytes:
    """Return the image at half its size (rounded up), resized as in training, as a PNG."""
    image = read_image(sample.image)
    size = (-(-image.shape[0] // 2), -(-image.shape[1] // 2))
    return encode_png(cut_image(image, Window(size, (0, 0), size)))


def _encode_pair(sample: Sample, spec: DatasetSpec) -> bytes:
    """Return the image with a padding channel as np.save writes it, followed by the bytes of the label."""
    image, label = read_sample(sample, spec)
    file = io.BytesIO()
    np.save(file, cv2.cvtColor(image, cv2.COLOR_RGB2RGBA))
    file.write(label.tobytes())
    return file.getvalue()


def _mark(sample: Sample, spec: DatasetSpec | None) -> bytes:
    """Return 16 bytes that identify the files and, if ``spec`` is given, the encoding of their labels."""
    files = sample[:1] if spec is None else sample  # the half storage has only images
    source: list[object] = [(status.st_size, status.st_mtime_ns) for status in map(file_status, files)]
    if spec is not None:
        source += [sorted(spec.ids.items()), spec.color_ids, _LAYOUT]
    return hashlib.sha256(json.dumps(source).encode()).digest()[:16]


def _is_good(path: Path, mark: bytes, verify: bool) -> bool:
    try:
        if not is_file(path):
            return False
        with open(path, "rb") as file:
            file.seek(-_TRAILER.size, os.SEEK_END)
            found, checksum = _TRAILER.unpack(file.read())
            if found == mark and verify:
                file.seek(0)
                found = mark if zlib.crc32(file.read()[: -_TRAILER.size]) == checksum else b""
        if found == mark and path.suffix == ".npy":
            _map_pair(path)
        return found == mark
    except (OSError, struct.error, ValueError):  # an InputError is a ValueError
        return False


def _check_disk(folder: Path, needed: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(folder).free
    if free < needed * 1.02:
        raise InputError(
            f"{folder} needs {size_on_disk(needed)} but the disk has {size_on_disk(free)} free; free some space, set "
            "data.storage=full, or link that folder to another disk."
        )
