import tracemalloc
from itertools import pairwise

import cv2
import numpy as np
import pytest
from layouts import is_sentence

from regseg.errors import InputError
from regseg.inference.tiles import Tiled, spans


@pytest.mark.parametrize("length", [1, 128, 129, 160, 200, 256, 1000, 1001])
def test_kept_parts_cover_an_axis_once_and_tiles_overlap(length):
    parts = spans(length, 128)
    assert [place for _, _, start, end in parts for place in range(start, end)] == list(range(length))
    for start, end, first, last in parts:
        assert 0 <= start <= first < last <= end <= length and end - start == min(128, length)
    for (_, end, _, _), (start, _, cut, _) in pairwise(parts):
        assert end - start >= 32 and abs((start + end) / 2 - cut) <= 0.5  # a quarter, cut in its middle


def test_each_pixel_is_labelled_in_its_place():
    image = np.random.default_rng(0).integers(0, 255, (300, 517, 3), np.uint8)
    sizes = []

    def labeller(tile):
        assert tile.flags["C_CONTIGUOUS"]
        sizes.append(tile.shape)
        return tile[..., 0].copy()

    assert (Tiled(labeller, 128)(image) == image[..., 0]).all() and set(sizes) == {(128, 128, 3)}
    sizes.clear()
    assert (Tiled(labeller, 517)(image) == image[..., 0]).all() and sizes == [(300, 517, 3)]


def test_no_seam_where_the_field_of_view_fits_into_the_overlap():
    """A labeller that looks 16 pixels far, half the overlap, labels tiles like the whole image."""
    image = np.random.default_rng(0).integers(0, 255, (300, 517, 3), np.uint8)

    def labeller(reach):
        def label(tile):
            mean = cv2.blur(tile[..., 0], (2 * reach + 1, 2 * reach + 1), borderType=cv2.BORDER_CONSTANT)
            return mean // 2 * 2

        return label

    assert (Tiled(labeller(16), 128)(image) == labeller(16)(image)).all()
    assert (Tiled(labeller(24), 128)(image) != labeller(24)(image)).any()  # so the test can fail


def test_memory_does_not_grow_with_the_number_of_tiles():
    """8192x8192 pixels: next to the image, the labels (64 MB) and one tile (4 MB with its labels)."""
    image = np.zeros((8192, 8192, 3), np.uint8)
    tracemalloc.start()
    labels = Tiled(lambda tile: tile[..., 0].copy(), 1024)(image)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert labels.shape == (8192, 8192) and labels.nbytes < peak < labels.nbytes + 9 * 2**20


def test_a_tile_that_is_too_small_is_refused():
    for tile in (127, 0, "big", 200.5):
        with pytest.raises(InputError) as error:
            Tiled(len, tile)
        assert is_sentence(error, "tile=")
