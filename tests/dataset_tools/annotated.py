"""What the tests of `prepare what=import` share: a small dataset with COCO annotations."""

import json

import numpy as np
from layouts import files, noise, write

from regseg.data.datamodule import SegmentationDataModule
from regseg.dataset_tools.coco import import_coco


def write_annotated(tmp_path):
    """Return the root, the annotations and their content.

    One image of 6x8 has a polygon, both kinds of run-length encodings and a crowd.
    """
    from pycocotools import mask as coco

    root = tmp_path / "mine"
    write(root / "images/drive/a.png", noise(0, (6, 8)))
    write(root / "images/b.png", noise(1, (4, 4)))
    small = np.zeros((6, 8), np.uint8)
    small[1:3, 1:3] = 1
    compressed = coco.encode(np.asfortranarray(small))
    corner = [40, 8]  # column by column: the last column
    crowd = np.zeros((6, 8), np.uint8)
    crowd[5, :3] = 1
    annotations = [
        {"image_id": 5, "category_id": 30, "segmentation": {"size": [6, 8], "counts": compressed["counts"].decode()}},
        {"image_id": 5, "category_id": 2, "segmentation": [[0, 0, 4, 0, 4, 4, 0, 4]], "iscrowd": 0},
        {"image_id": 5, "category_id": 2, "segmentation": {"size": [6, 8], "counts": [42, 6]}},
        {
            "image_id": 5,
            "category_id": 2,
            "iscrowd": 1,
            "segmentation": {"size": [6, 8], "counts": coco.encode(np.asfortranarray(crowd))["counts"].decode()},
        },
    ]
    assert sum(corner) == 48
    content = {
        "images": [
            {"id": 5, "file_name": "drive/a.png", "height": 6, "width": 8},
            {"id": 6, "file_name": "b.png", "height": 4, "width": 4},
        ],
        "annotations": annotations,
        "categories": [{"id": 30, "name": "car"}, {"id": 2, "name": "road: wet"}],
    }
    path = tmp_path / "annotations.json"
    path.write_text(json.dumps(content))
    return root, path, content


def shown_files(root):
    return [name for name in files(root) if not name.startswith(".regseg")]


def run(root, path):
    import_coco(SegmentationDataModule("folder", root, crop_size=(4, 4), short_side=(4, 4)), path)
