import tracemalloc
from itertools import pairwise

import cv2
import numpy as np
import pytest
import torch
from layouts import is_sentence, noise
from random_weights import fill
from torch import nn
from torch.nn import functional as F

from regseg.errors import InputError
from regseg.inference import tiles
from regseg.inference.tiles import STRIDE, Tiled, spans
from regseg.models.blocks import DBlock, conv3x3


@pytest.mark.parametrize("length", [1, 128, 129, 160, 200, 256, 1000, 1001])
def test_kept_parts_cover_an_axis_once_and_tiles_overlap(length):
    parts = spans(length, 128)
    assert [place for _, _, start, end in parts for place in range(start, end)] == list(range(length))
    for start, end, first, last in parts:
        assert start % STRIDE == 0 and end - start == min(128, length) and end < length + STRIDE
        assert start <= first < last <= min(end, length)
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
    """A labeller that looks 32 pixels far, half the overlap, labels tiles like the whole image."""
    image = np.random.default_rng(0).integers(0, 255, (448, 640, 3), np.uint8)

    def labeller(reach):
        def label(tile):
            mean = cv2.blur(tile[..., 0], (2 * reach + 1, 2 * reach + 1), borderType=cv2.BORDER_CONSTANT)
            return mean // 2 * 2

        return label

    assert (Tiled(labeller(32), 256)(image) == labeller(32)(image)).all()
    assert (Tiled(labeller(40), 256)(image) != labeller(40)(image)).any()  # so the test can fail


REACH = 48  # pixels that the network below sees in each direction, rounded up


@pytest.fixture(scope="module")
def local():
    """A labeller by few of RegSeg's blocks, down to 1/16, without the global average of squeeze-and-excite."""
    blocks = [DBlock(channels, 16, stride=2, group_width=8) for channels in (8, 16, 16)]
    network = fill(nn.Sequential(conv3x3(3, 8, stride=2), *blocks, nn.Conv2d(16, 5, 1))).double()
    for block in blocks:
        block.se.conv2.weight.data.zero_()

    def logits(image):
        with torch.no_grad():
            found = network(torch.from_numpy(image).permute(2, 0, 1)[None].double() / 255 - 0.5)
        return F.interpolate(found, image.shape[:2], mode="bilinear", align_corners=False)[0]

    network[-1].bias.data -= logits(noise(1, (256, 256))).mean((1, 2))  # so that all classes occur
    return lambda image: logits(image).argmax(0).numpy().astype(np.uint8)


@pytest.mark.parametrize(("height", "width", "far"), [(640, 1024, 0), (624, 976, REACH)])
def test_tiles_see_the_phase_of_the_whole_image(local, monkeypatch, height, width, far):
    """A network that sees no farther than half the overlap labels tiles like the whole image.

    Sizes are multiples of its stride, 16. Where the last tile ends beyond the image, labels near that side can differ.
    """
    image = cv2.resize(noise(0, (height // 8, width // 8)), (width, height), interpolation=cv2.INTER_CUBIC)
    inner, tile = np.s_[: height - far, : width - far], 8 * REACH  # of which neighbours share at least a fourth
    whole = local(image)[inner]
    assert (Tiled(local, tile)(image)[inner] == whole).all() and len(np.unique(whole)) > 2
    monkeypatch.setattr(tiles, "STRIDE", 1)
    unaligned = [start % 16 for side in (height, width) for start, *_ in tiles.spans(side, tile)]
    assert any(unaligned) and (Tiled(local, tile)(image)[inner] != whole).any()  # so the test can fail


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
