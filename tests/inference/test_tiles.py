from itertools import pairwise

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
        assert end - start >= 32 and abs((start + end) / 2 - cut) <= 0.5  # a fourth, cut in its middle


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


def test_a_tile_that_is_too_small_is_refused():
    for tile in (127, 0, "big", 200.5):
        with pytest.raises(InputError) as error:
            Tiled(len, tile)
        assert is_sentence(error, "tile=")
