"""Imports of COCO annotations that fail, are killed or run at the same time."""

import json
import sys
import threading
import time

import cv2
import numpy as np
import pytest
from annotated import run, shown_files
from layouts import is_sentence, noise, write

from regseg.errors import InputError
from regseg.system.atomic import write_bytes
from regseg.system.locks import lock

pytest.importorskip("pycocotools")


def test_a_failed_import_writes_nothing_and_can_be_repeated(dataset, monkeypatch):
    root, path, content = dataset
    before = shown_files(root)
    for change in ({"category_id": 99}, {}):
        last = {"image_id": 6, "category_id": 2, "segmentation": {"size": [4, 4], "counts": [8, 8]}} | change
        path.write_text(json.dumps({**content, "annotations": [*content["annotations"], last]}))
        if change:
            with pytest.raises(InputError, match="damaged"):
                run(root, path)
            assert shown_files(root) == before
    monkeypatch.setitem(sys.modules, "pycocotools", None)
    with pytest.raises(InputError) as error:
        run(root, path)
    assert is_sentence(error, "pip install") and shown_files(root) == before
    monkeypatch.undo()
    run(root, path)
    assert shown_files(root) == sorted([*before, "classes.yaml", "labels/b.png", "labels/drive/a.png"])


def test_what_a_killed_import_left_is_removed(dataset):
    root, path, _ = dataset
    left = root / ".regseg/.import.x1y2z3"
    write(left / "files/0.png", np.zeros((6, 8), np.uint8))
    (left / ".lock").touch()
    run(root, path)
    assert not left.exists() and not list((root / ".regseg").glob(".import*"))


def test_an_import_that_was_killed_while_it_wrote_its_labels_is_repeated(dataset, tmp_path):
    """Labels that it wrote stay as they are; another label is not replaced."""
    root, path, _ = dataset
    run(root, path)
    expected = (root / "classes.yaml").read_text()
    (root / "classes.yaml").unlink()
    (root / "labels/b.png").unlink()
    run(root, path)
    assert (root / "labels/b.png").exists() and (root / "classes.yaml").read_text() == expected
    (root / "classes.yaml").unlink()
    write(root / "labels/b.png", np.full((4, 4), 3, np.uint8))
    with pytest.raises(InputError) as error:
        run(root, path)
    assert is_sentence(error, root / "labels/b.png", "differs from") and not (root / "classes.yaml").exists()


def test_a_misspelt_root_gets_no_files(dataset, monkeypatch):
    root, path, _ = dataset
    monkeypatch.setenv("REGSEG_CACHE", str(root / "cache"))
    with pytest.raises(InputError) as error:
        run(root.parent / "mime", path)
    assert is_sentence(error, root.parent / "mime/images", "data.root")
    assert not (root / "cache").exists() and not (root.parent / "mime").exists()


def test_a_disk_that_is_full_while_labels_are_moved_leaves_none(dataset, monkeypatch):
    root, path, _ = dataset
    before = shown_files(root)

    def full(path, data, **_):
        if path.name == "b.png":  # the second label
            raise OSError(28, "No space left on device")
        write_bytes(path, data)

    monkeypatch.setattr("regseg.dataset_tools.coco.write_bytes", full)
    with pytest.raises(OSError, match="No space"):
        run(root, path)
    assert shown_files(root) == before
    monkeypatch.undo()
    run(root, path)


def test_imports_at_the_same_time_use_the_same_ids(dataset, tmp_path):
    """Otherwise each of them would number its own categories."""
    root, *_ = dataset
    other = tmp_path / "other.json"
    write(root / "images/c.png", noise(2, (4, 4)))
    mask = {"image_id": 7, "category_id": 1, "segmentation": {"size": [4, 4], "counts": [0, 16]}}
    image = {"id": 7, "file_name": "c.png", "height": 4, "width": 4}
    other.write_text(json.dumps({"images": [image], "annotations": [mask], "categories": [{"id": 1, "name": "car"}]}))
    second = threading.Thread(target=run, args=(root, other))
    with lock(root / ".regseg/importing.lock", wait=True):  # as an import that is running holds it
        second.start()
        time.sleep(0.3)
        assert not (root / "labels").exists()
        (root / "classes.yaml").write_text("classes: [{name: background, id: 0}, {name: car, id: 5}]\n")
    second.join()
    assert (cv2.imread(str(root / "labels/c.png"), cv2.IMREAD_UNCHANGED) == 5).all()
