"""What to predict: the images of a file, a folder, a pattern or a list, and the names of their outputs."""

from __future__ import annotations

import codecs
import difflib
import fnmatch
import glob
import os
import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from regseg.data.datasets.layout import IMAGE_SUFFIXES, image_files
from regseg.errors import InputError
from regseg.inference.out_folder import recorded_files
from regseg.system.folders import expanded
from regseg.system.reading import read_bytes

VIDEO_SUFFIXES = (
    *(".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".ts", ".mts", ".m2ts", ".wmv"),
    *(".3gp", ".flv", ".ogv", ".gif"),
)
LIST_SUFFIX = ".txt"
_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)  # as written by > in Windows PowerShell


class Item(NamedTuple):
    """An image to predict.

    Attributes:
        path: path of the image file.
        name: path of its outputs relative to an output folder, without suffix.
    """

    path: Path
    name: Path


def is_video(source: str | Path) -> bool:
    """Return whether ``source`` is named like a video file."""
    path = Path(source)
    return path.suffix.lower() in VIDEO_SUFFIXES and not path.is_dir() and not _is_pattern(path)


def check_source(source: str | Path) -> None:
    """Raise InputError if ``source`` is a URL."""
    if re.match(r"\w{2,}://", str(source)):
        raise InputError(f"source={source} is a URL; download the file, and give its path.")


def find_images(source: str | Path, out: Path) -> list[Item]:
    """List the images of ``source``. No image is opened.

    Args:
        source: an image file, a folder (with its subfolders), a glob pattern (``**`` matches subfolders), or a text
            file with one path per line, relative to the text file's folder; lines that start with ``# `` are comments.
        out: the output folder. Images within it are outputs of an earlier prediction and are not listed, nor are those
            in subfolders that contain such outputs; these subfolders are printed.

    Returns:
        The images of a folder or a pattern sorted by path, or those of a list in its order, each image once. Their
        outputs keep the subfolders of the given folder, of the fixed part of the pattern, or of the common folder of
        the list.

    Raises:
        InputError: there is no such file, it is of another kind, it lists no images, or ``out`` is a folder of
            the source's files.
    """
    path = Path(source)
    if path.is_dir():
        base, paths = path, image_files(path)
    elif path.suffix.lower() == LIST_SUFFIX and not _is_pattern(path):
        paths = _listed(path)
        base = Path(os.path.commonpath([one.parent for one in paths])) if paths else path.parent
    elif _is_pattern(path):
        base, rest = _divided(path)
        paths = sorted(one for one in _matches(base, rest) if _is_image(one))
    else:
        base, paths = path.parent, [_check_file(path)]
    searched = path.is_dir() or _is_pattern(path)
    check_out(out, base if searched else paths)
    inside = _real(out)
    paths = [one for one in dict.fromkeys(paths) if inside not in _real(one).parents]
    paths = _without_outputs(paths, base) if searched else paths
    if not paths:
        raise InputError(
            f"{source} contains no images ({', '.join(IMAGE_SUFFIXES)}); check the path, and give videos one by one."
        )
    return _named(paths, Path(os.path.abspath(base)))


def check_out(out: Path, places: Path | Iterable[Path]) -> None:
    """Check that outputs will not mix with inputs.

    Args:
        out: the output folder.
        places: the folder or the files of the source.

    Raises:
        InputError: ``out`` equals or contains one of ``places``, or is a file.
    """
    outer = _real(out)
    if out.exists() and not out.is_dir():
        raise InputError(f"out={out} is a file; give a folder.")
    for place in [places] if isinstance(places, Path) else places:
        inner = _real(place)
        if outer == inner or outer in inner.parents:
            raise InputError(f"out={out} contains the source {place}; choose another folder.")


def shard_of(items: list[Item], shard: int, shards: int) -> list[Item]:
    """Return every ``shards``-th item from number ``shard`` on, so that the shards are disjoint and cover all items.

    Raises:
        InputError: ``shard`` is not one of 0 … ``shards`` - 1.
    """
    whole = all(isinstance(value, int) and not isinstance(value, bool) for value in (shard, shards))
    if not whole or not 0 <= shard < shards:
        raise InputError(f"shard={shard} of shards={shards} does not exist; give a shard from 0 to shards - 1.")
    return items[shard::shards]


def _without_outputs(paths: list[Path], base: Path) -> list[Path]:
    """Return the paths that are not recorded as outputs in a folder below ``base``; print the folders of the others."""
    parents = {path.parent for path in paths}
    folders = {folder for parent in parents for folder in (parent, *parent.parents)}
    made = {folder: recorded_files(folder) for folder in sorted(folders) if base in folder.parents}
    outputs = set().union(*made.values()).intersection(paths)
    if outputs:
        shown = ", ".join(str(folder) for folder, files in made.items() if not outputs.isdisjoint(files))
        print(f"Skipping {shown}: outputs of an earlier prediction.")
    return [path for path in paths if path not in outputs]


def _real(path: Path) -> Path:
    """Return the path without links; unlike `Path.resolve`, also of a link to itself."""
    return Path(os.path.realpath(path))


def _is_image(path: Path) -> bool:
    return path.suffix.lower() in IMAGE_SUFFIXES


def _is_pattern(path: Path) -> bool:
    return glob.has_magic(str(path)) and not path.exists()


def _divided(pattern: Path) -> tuple[Path, tuple[str, ...]]:
    """Return the folders of a pattern before its first wildcard, and its other parts.

    Brackets in the name of a folder that exists are not wildcards.

    Raises:
        InputError: ``..`` follows a wildcard, so that images may not be below the fixed folders.
    """
    parts = pattern.parts
    wild = (n for n, part in enumerate(parts) if glob.has_magic(part) and not Path(*parts[: n + 1]).exists())
    first = next(wild, len(parts) - 1)
    if ".." in parts[first:]:
        raise InputError(f"source={pattern} has .. after a wildcard; give a pattern without it.")
    return Path(*parts[:first]), parts[first:]


def _matches(base: Path, rest: tuple[str, ...]) -> list[Path]:
    """Return what matches a pattern; below ``**``, the images that `image_files` lists.

    `glob` would follow a link to a folder that contains it 40 times, and two such links almost endlessly.
    """
    at = rest.index("**") if "**" in rest else len(rest)
    found = [Path(one) for one in glob.glob(str(Path(glob.escape(str(base)), *rest[:at])))]
    if at == len(rest):
        return found
    images = ((one.relative_to(folder), one) for folder in found if folder.is_dir() for one in image_files(folder))
    return [one for relative, one in images if _fits(relative.parts, rest[at:])]


def _fits(parts: tuple[str, ...], pattern: tuple[str, ...]) -> bool:
    """Return whether the parts of a path match those of a pattern, in which ``**`` matches any number of parts."""
    if not parts or not pattern:
        return not parts and set(pattern) <= {"**"}
    if pattern[0] == "**":
        return _fits(parts, pattern[1:]) or _fits(parts[1:], pattern)
    return fnmatch.fnmatch(parts[0], pattern[0]) and _fits(parts[1:], pattern[1:])


def _check_file(path: Path) -> Path:
    """Return ``path`` if it is named like an image and exists."""
    if not path.exists():
        files = os.listdir(path.parent) if path.parent.is_dir() else []
        names = {name.casefold(): name for name in files if not name.startswith(".")}  # ._a.png of macOS is no image
        near = difflib.get_close_matches(path.name.casefold(), names, n=1)
        meant = f"did you mean {path.with_name(names[near[0]])}?" if near else ""
        remedy = meant or "give an image, a folder, a pattern, a list or a video."
        raise InputError(f"source={path} does not exist; {remedy}")
    if not _is_image(path):
        kinds = ", ".join((*IMAGE_SUFFIXES, *VIDEO_SUFFIXES, LIST_SUFFIX))
        raise InputError(f"source={path} is not an image, a video or a list ({kinds}); choose another file.")
    return path


def _listed(path: Path) -> list[Path]:
    """Return the paths in a list file; the images need not exist."""
    data = read_bytes(path)
    text = data.decode("utf-16", "replace") if data.startswith(_UTF16) else data.decode("utf-8-sig", "surrogateescape")
    if "\0" in text:
        raise InputError(f"{path} is not a text file in UTF-8; save it in that encoding.")
    lines = text.split("\n")
    texts = [line.strip("\r\t ") for line in lines]
    paths = [path.parent / expanded(text) for text in texts if text and not text.startswith("# ")]
    if wrong := next((one for one in paths if not _is_image(one)), None):
        kinds = ", ".join(IMAGE_SUFFIXES)
        raise InputError(f"{path} lists {str(wrong)!r}, which is not an image ({kinds}); correct or remove that line.")
    return [Path(os.path.abspath(one)) for one in paths]


def _named(paths: list[Path], base: Path) -> list[Item]:
    """Return items with distinct output names, even if case is ignored: a.jpg next to a.png keeps its suffix."""
    relative = [Path(os.path.abspath(path)).relative_to(base) for path in paths]
    stems = Counter(str(path.with_suffix("")).casefold() for path in relative)
    names = [path if stems[str(path.with_suffix("")).casefold()] > 1 else path.with_suffix("") for path in relative]
    counts = Counter(str(name).casefold() for name in names)
    if twice := next((path for path, name in zip(paths, names, strict=True) if counts[str(name).casefold()] > 1), None):
        raise InputError(f"{twice} and another image would have outputs of the same name; rename one of them.")
    return [Item(path, name) for path, name in zip(paths, names, strict=True)]
