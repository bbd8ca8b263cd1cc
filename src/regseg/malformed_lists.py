"""What to type instead of a list or a mapping that Hydra cannot read, because of a space or a missing bracket."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from regseg.arguments import is_assignment, is_readable
from regseg.errors import InputError

_CLOSING = {"[": "]", "{": "}"}


def check_brackets(overrides: Sequence[str]) -> None:
    """Check that Hydra can read the lists and mappings of a command line.

    Args:
        overrides: The overrides as typed. An unquoted list with spaces is several of them.

    Raises:
        InputError: A list or a mapping is not closed, or contains what Hydra cannot read.
    """
    for number, text in enumerate(overrides):
        value = text.partition("=")[2]
        if value[:1] not in _CLOSING or is_readable(text):
            continue
        joined = [text]
        for other in overrides[number + 1 :]:
            if is_assignment(other) or not _unclosed(" ".join(joined)):
                break
            joined.append(other)
        whole, kind = "".join(joined), "list" if value[0] == "[" else "mapping"
        if len(joined) > 1 and is_readable(whole):
            raise InputError(f"Spaces divide the {kind} {' '.join(joined)}; type {shlex.quote(whole)}.")
        if (missing := _unclosed(text)) and is_readable(text + missing):
            raise InputError(f"{text} lacks {missing} at its end; type {shlex.quote(text + missing)}.")
        form = "KEY=[VALUE,VALUE]" if kind == "list" else "KEY={OPTION:VALUE,OPTION:VALUE}"
        raise InputError(
            f"{text} is not a {kind} that Hydra can read; type '{form}', with values that contain spaces, brackets or "
            "other punctuation in double quotes."
        )


def _unclosed(text: str) -> str:
    """Return the brackets that are missing at the end of ``text``; empty if others are missing."""
    missing: list[str] = []
    for character in text:
        if character in _CLOSING:
            missing.insert(0, _CLOSING[character])
        elif character in _CLOSING.values() and (not missing or missing.pop(0) != character):
            return ""
    return "".join(missing)
