"""Where images and labels are read from: the files, halved copies, or decoded arrays.

``half`` and ``cache`` keep one file an image in `working_folder`. Each ends in a trailer that tells what it was made
from and its checksum, so that an interrupted making goes on where it stopped, and a changed source is noticed.
"""

from __future__ import annotations

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

from regseg.data.beside import progress, relative, working_folder, write_whole
from regseg.data.files import Sample, read_image, read_label, read_sample
from regseg.data.spec import DatasetSpec
from regseg.data.window import resize_image
from regseg.errors import InputError
from regseg.locks import lock

STORAGE = ("full", "half", "cache")
_NPY_HEADER = 128  # bytes, as np.save writes it for so short a description
_TRAILER = struct.Struct("<16sI")  # what it was made from, CRC-32 of all before
_LAYOUT = 3  # of a decoded pair; counted up when it changes, so that files of another one are made anew


class Storage(Protocol):
    """Reads a dataset's pairs."""

    def read(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """(image (h, w, 3) uint8 RGB, label (H, W) uint8 class indices); the image may be smaller than the label.

        Images of the cache have a fourth channel without meaning, with which they are resized without a copy.
        """


class FullStorage(NamedTuple):
    """The dataset's own files."""

    samples: Sequence[Sample]
    spec: DatasetSpec

    def read(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        return read_sample(self.samples[index], self.spec)


class HalfStorage(NamedTuple):
    """Images at half their height and width, as the author stored them for the ablations; labels from their files."""

    samples: Sequence[Sample]
    spec: DatasetSpec
    halves: Sequence[Path]

    def read(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        return read_image(self.halves[index]), read_label(self.samples[index].label, self.spec)


class CacheStorage(NamedTuple):
    """Decoded pairs, memory-mapped: what is not looked at is not read."""

    files: Sequence[Path]

    def read(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        with open(self.files[index], "rb") as file:
            shape = _shape_of(file.read(_NPY_HEADER))
        pixels, values = math.prod(shape[:2]), math.prod(shape)
        content = np.memmap(self.files[index], np.uint8, "r", _NPY_HEADER, values + pixels)
        return content[:values].reshape(shape), content[values:].reshape(shape[:2])


@functools.lru_cache
def _shape_of(header: bytes) -> tuple[int, ...]:
    """The shape that the first bytes of a ``.npy`` file tell; most files of a dataset tell the same."""
    file = io.BytesIO(header)
    np.lib.format.read_magic(file)
    return np.lib.format.read_array_header_1_0(file)[0]


def open_storage(kind: str, samples: Sequence[Sample], spec: DatasetSpec, root: Path) -> Storage:
    """Read ``samples`` from the storage ``kind`` (full, half or cache), which is made first where it is not there.

    Raises:
        InputError: a file cannot be read, or the disk is too small.
    """
    if kind == "full":
        return FullStorage(samples, spec)
    files = make(kind, samples, spec, root)
    return HalfStorage(samples, spec, files) if kind == "half" else CacheStorage(files)


def make(kind: str, samples: Sequence[Sample], spec: DatasetSpec, root: Path, *, verify: bool = False) -> list[Path]:
    """Make what is missing or outdated of a storage on all cores; give its files, one a sample.

    Args:
        kind: half or cache.
        samples: the pairs.
        spec: of the dataset.
        root: the dataset's folder.
        verify: read every file that is there and make those anew whose checksum is wrong. Without it, a damaged file
            that kept its trailer goes unnoticed: to read 31 GB before every training would take minutes.

    Raises:
        InputError: a file cannot be read, or the disk is too small.
    """
    folder = working_folder(root) / kind
    suffix = ".png" if kind == "half" else ".npy"
    files = [folder / (relative(sample.image, root).replace("../", "__/") + suffix) for sample in samples]
    with lock(folder / "making.lock", wait=True), ThreadPoolExecutor(os.cpu_count()) as pool:
        marks = [_mark(sample, spec if kind == "cache" else None) for sample in samples]
        checks = pool.map(_is_good, files, marks, [verify] * len(files))
        checks = progress(checks, len(files), f"verifying the {kind} storage") if verify else checks
        wanted = [place for place, good in enumerate(checks) if not good]
        if not wanted:
            return files
        for place in wanted if verify else ():
            if files[place].exists():
                print(f"{files[place]} is damaged or older than its source; it is made again")
        encode = _encode_half if kind == "half" else _encode_pair
        needed = len(wanted) * len(encode(samples[wanted[0]], spec))
        replaced = sum(files[place].stat().st_size for place in wanted if files[place].exists())
        _check_disk(folder, needed - replaced)
        what = f"making the {kind} storage in {folder}, about {needed / 1e9:.3g} GB"

        def write(place: int) -> None:
            content = encode(samples[place], spec)
            trailer = _TRAILER.pack(marks[place], zlib.crc32(content))
            write_whole(files[place], lambda file: (file.write(content), file.write(trailer)))

        for _ in progress(pool.map(write, wanted), len(wanted), what):
            pass
    return files


def _encode_half(sample: Sample, spec: DatasetSpec) -> bytes:
    """The image at half its size, rounded up, by the kernel of training (`regseg.data.window`), as a PNG."""
    image = read_image(sample.image)
    short_side = -(-min(image.shape[:2]) // 2)
    half = resize_image(image, image.shape[:2], short_side)
    return cv2.imencode(".png", cv2.cvtColor(half, cv2.COLOR_RGB2BGR))[1].tobytes()


def _encode_pair(sample: Sample, spec: DatasetSpec) -> bytes:
    """The image with a fourth channel as np.save writes it, then the label's bytes."""
    image, label = read_sample(sample, spec)
    file = io.BytesIO()
    np.save(file, cv2.cvtColor(image, cv2.COLOR_RGB2RGBA))
    file.write(label.tobytes())
    return file.getvalue()


def _mark(sample: Sample, spec: DatasetSpec | None) -> bytes:
    """16 bytes that change when the files, or what their labels mean, change."""
    made_from: list[object] = [(status.st_size, status.st_mtime_ns) for status in (path.stat() for path in sample)]
    if spec is not None:
        made_from += [sorted(spec.ids.items()), spec.color_ids, _LAYOUT]
    else:
        made_from = made_from[:1]  # the image alone
    return hashlib.sha256(json.dumps(made_from).encode()).digest()[:16]


def _is_good(path: Path, mark: bytes, verify: bool) -> bool:
    try:
        with open(path, "rb") as file:
            file.seek(-_TRAILER.size, os.SEEK_END)
            found, checksum = _TRAILER.unpack(file.read())
            if found != mark or not verify:
                return found == mark
            file.seek(0)
            return zlib.crc32(file.read()[: -_TRAILER.size]) == checksum
    except (OSError, struct.error):
        return False


def _check_disk(folder: Path, needed: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(folder).free
    if free < needed * 1.02:
        raise InputError(
            f"{folder} needs {needed / 1e9:.1f} GB but the disk has {free / 1e9:.1f} GB free; make room, set "
            "data.storage=full, or link that folder to another disk."
        )
