"""Reading of JSON and CSV files that may be truncated, damaged or edited: a problem is returned, not raised."""

from __future__ import annotations

import csv
import errno
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple


def read_text(path: Path) -> str:
    """Read a UTF-8 file.

    Raises:
        OSError: it is missing, unreadable, or no regular file: reading a named pipe would block forever.
        UnicodeDecodeError: it is not UTF-8.
    """
    if path.exists() and not path.is_file():
        raise OSError(errno.EINVAL, "it is not a file", str(path))
    return path.read_text(encoding="utf-8")


def read_json(path: Path) -> tuple[Any, str]:
    """Return (content, problem) of a JSON file; the content is None if there is a problem."""
    try:
        if not path.is_file():
            return None, f"{path.name} is missing"
        return json.loads(path.read_text(encoding="utf-8")), ""
    except OSError as error:
        return None, f"{path.name} cannot be read ({error.strerror})"
    except (ValueError, RecursionError):
        return None, f"{path.name} is damaged"


def section(content: object, name: str) -> Mapping[str, Any]:
    """Return the mapping ``content[name]``; an empty one if it is missing, or if either is not a mapping."""
    value = content.get(name) if isinstance(content, Mapping) else None
    return value if isinstance(value, Mapping) else {}


class Rows(NamedTuple):
    """The content of a CSV file.

    Attributes:
        header: The names of the columns.
        rows: The cells of every row that has as many as the header and a line end.
        total: The number of rows, including those that are skipped.
        problem: Why there is no content; empty otherwise.
    """

    header: list[str]
    rows: list[list[str]]
    total: int
    problem: str = ""


def read_csv(path: Path) -> Rows:
    """Read a CSV file; bytes that are not UTF-8 are replaced."""
    if not path.exists():
        return Rows([], [], 0, f"{path.name} is missing")
    try:
        text = path.read_bytes().decode("utf-8", "replace") if path.is_file() else ""
        lines = [row for row in csv.reader(io.StringIO(text, newline="")) if row]
    except OSError as error:
        return Rows([], [], 0, f"{path.name} cannot be read ({error.strerror})")
    except csv.Error:
        return Rows([], [], 0, f"{path.name} is damaged")
    if not lines:
        return Rows([], [], 0, f"{path.name} is empty")
    header, *rows = lines
    whole = rows if text.endswith("\n") else rows[:-1]  # a row without a line end is truncated
    return Rows(header, [row for row in whole if len(row) == len(header)], len(rows))
