"""Writing of street scenes: folders, settings and interruptions."""

import json
import os

import cv2
import numpy as np
import pytest

from regseg.errors import InputError
from regseg.streets import draw_scene, write_streets

SMALL = {"height": 32, "width": 64, "counts": {"train": 3, "val": 2, "test": 1}}
TRAIN, VAL = 0, 1  # split numbers in the seeds


def scene(split, number, height=64, width=128, seed=0):
    return draw_scene(np.random.default_rng(np.random.SeedSequence([seed, split, number])), height, width)


def contents(root):
    return {path.relative_to(root): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def test_the_folders_are_those_of_cityscapes(tmp_path):
    root = write_streets(tmp_path / "streets", **SMALL)
    images = sorted(root.glob("leftImg8bit/*/*/*_leftImg8bit.png"))
    assert [path.parts[-3] for path in images].count("train") == 3 and len(images) == 6
    assert {path.parts[-2]: path.parts[-3] for path in images} == {
        **dict.fromkeys(["arkenburg", "brindlestadt", "corvenheim"], "train"),
        **dict.fromkeys(["elbrunn", "falkwede"], "val"),
        "grauwald": "test",
    }
    for path in images:
        label_path = root / "gtFine" / path.relative_to(root / "leftImg8bit").parent
        label_path /= path.name.replace("leftImg8bit.png", "gtFine_labelIds.png")
        assert cv2.imread(str(label_path), cv2.IMREAD_UNCHANGED).shape == (32, 64)
    first = images[[path.parts[-3] for path in images].index("val")]
    drawn = cv2.cvtColor(cv2.imread(str(first)), cv2.COLOR_BGR2RGB)
    assert np.array_equal(drawn, scene(VAL, 0, 32, 64)[0])


def test_a_second_call_changes_no_file(tmp_path):
    calls = []

    def progress(jobs):
        calls.append(len(jobs))
        return jobs

    root = write_streets(tmp_path / "streets", **SMALL, progress=progress)
    before = {path: path.stat().st_mtime_ns for path in root.rglob("*")}
    assert write_streets(root, **SMALL, progress=progress) == root
    assert before == {path: path.stat().st_mtime_ns for path in root.rglob("*")}
    assert calls == [6]


def test_an_interrupted_creation_is_continued(tmp_path):
    drawn = []

    def interrupted(jobs):
        yield jobs[0]
        yield jobs[1]
        raise KeyboardInterrupt

    root = tmp_path / "streets"
    with pytest.raises(KeyboardInterrupt):
        write_streets(root, **SMALL, progress=interrupted)
    write_streets(root, **SMALL, progress=lambda jobs: drawn.extend(jobs) or jobs)
    assert len(drawn) == 4  # two of the six were there
    assert contents(root) == contents(write_streets(tmp_path / "whole", **SMALL))
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_an_interrupted_creation_with_other_settings_is_refused(tmp_path):
    def interrupted(jobs):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_streets(tmp_path, **SMALL, progress=interrupted)
    with pytest.raises(InputError, match="seed 0 instead of 1"):
        write_streets(tmp_path, **SMALL, seed=1)


def test_an_empty_folder_is_filled(tmp_path):
    assert contents(write_streets(tmp_path, **SMALL)) == contents(write_streets(tmp_path / ".." / "other", **SMALL))


def test_a_second_process_uses_existing_files(tmp_path):
    root = tmp_path / "streets"

    def overtaken(jobs):
        yield from jobs
        write_streets(root, **SMALL)

    before = contents(write_streets(tmp_path / "alone", **SMALL))
    write_streets(root, **SMALL, progress=overtaken)
    assert contents(root) == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["alone", "streets"]


@pytest.mark.parametrize("change", [{"seed": 1}, {"height": 40}, {"counts": {"train": 4, "val": 2, "test": 1}}])
def test_other_settings_are_refused(tmp_path, change):
    root = write_streets(tmp_path / "streets", **SMALL)
    before = contents(root)
    with pytest.raises(
        InputError, match=f"{next(iter(change))}.*instead of.*delete that folder or choose another root"
    ):
        write_streets(root, **{**SMALL, **change})
    assert contents(root) == before


def test_an_older_version_is_refused(tmp_path):
    root = write_streets(tmp_path / "streets", **SMALL)
    marker = json.loads((root / "streets.json").read_text())
    (root / "streets.json").write_text(json.dumps({**marker, "version": 0}))
    with pytest.raises(InputError, match="version 0 instead of"):
        write_streets(root, **SMALL)


def test_a_folder_with_other_files_is_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match="not empty"):
        write_streets(tmp_path, **SMALL)
    assert contents(tmp_path).keys() == {(tmp_path / "notes.txt").relative_to(tmp_path)}


@pytest.mark.parametrize("marker", ["", "[]", "{"])
def test_a_broken_marker_is_refused(tmp_path, marker):
    (tmp_path / "streets.json").write_text(marker)
    with pytest.raises(InputError, match="another root"):
        write_streets(tmp_path, **SMALL)


def test_an_unknown_split_is_refused(tmp_path):
    with pytest.raises(InputError, match="validation"):
        write_streets(tmp_path / "streets", counts={"validation": 3})


def test_a_pipe_in_place_of_the_marker_is_refused(tmp_path):
    os.mkfifo(tmp_path / "streets.json")
    with pytest.raises(InputError, match="does not contain a readable"):
        write_streets(tmp_path, **SMALL)
