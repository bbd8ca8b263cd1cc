"""JSON and CSV files that may be damaged: a problem is returned, not raised."""

import pytest

from regseg.system.records import read_csv, read_json


def test_sound_files(tmp_path):
    (tmp_path / "a.json").write_text('{"a": [1]}')
    assert read_json(tmp_path / "a.json") == ({"a": [1]}, "")
    (tmp_path / "a.csv").write_text("a,b\n1,2\n\n3,4\n")
    assert read_csv(tmp_path / "a.csv") == (["a", "b"], [["1", "2"], ["3", "4"]], 2, "")


@pytest.mark.parametrize(
    ("content", "problem"),
    [(None, "is missing"), (b"{", "is damaged"), (b"\xff", "is damaged"), (b"[" * 9999, "damaged")],
)
def test_problems_of_json(tmp_path, content, problem):
    if content is not None:
        (tmp_path / "a.json").write_bytes(content)
    found, reason = read_json(tmp_path / "a.json")
    assert found is None and reason.startswith("a.json ") and reason.endswith(problem)


@pytest.mark.parametrize(
    ("content", "rows", "total", "problem"),
    [
        (None, [], 0, "a.csv is missing"),
        (b"", [], 0, "a.csv is empty"),
        (b"a,b\n" + b"9" * 200_000 + b",1\n", [], 0, "a.csv is damaged"),
        (b"a,b\n1,2\n3\n4,5\n6,7", [["1", "2"], ["4", "5"]], 4, ""),
        (b"a,b\n\xff,2\n", [["\ufffd", "2"]], 1, ""),
    ],
)
def test_rows_that_cannot_be_read_are_skipped_and_counted(tmp_path, content, rows, total, problem):
    if content is not None:
        (tmp_path / "a.csv").write_bytes(content)
    found = read_csv(tmp_path / "a.csv")
    assert (found.rows, found.total, found.problem) == (rows, total, problem)
