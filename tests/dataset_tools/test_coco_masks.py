"""Masks of COCO annotations, compared with pycocotools."""

import numpy as np
import pytest

from regseg.dataset_tools.coco_masks import decode_mask, draw_objects

coco = pytest.importorskip("pycocotools.mask")


def test_run_lengths_are_read_as_pycocotools_reads_them():
    rng = np.random.default_rng(0)
    for share in (0, 0.02, 0.5, 0.98, 1):
        mask = (rng.random((31, 17)) < share).astype(np.uint8)
        counts = coco.encode(np.asfortranarray(mask))["counts"].decode()
        assert (decode_mask({"size": [31, 17], "counts": counts}, 31, 17) == mask).all()


def test_the_smallest_object_is_on_top_and_the_last_of_equal_ones():
    rng = np.random.default_rng(0)
    masks = [rng.random((9, 7)) < share for share in (0.9, 0.2, 0.5, 1, 0, 0.5)] + [np.eye(9, 7) > 0] * 2
    expected = np.zeros((9, 7), np.uint8)
    for index in sorted(range(len(masks)), key=lambda index: -masks[index].sum()):
        expected[masks[index]] = index + 1
    encoded = [coco.encode(np.asfortranarray(mask.astype(np.uint8)))["counts"].decode() for mask in masks]
    objects = [
        {"category_id": index, "segmentation": {"size": [9, 7], "counts": counts}}
        for index, counts in enumerate(encoded, 1)
    ]
    assert (draw_objects(objects, {index: index for index in range(9)}, 9, 7) == expected).all()
