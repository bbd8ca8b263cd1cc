"""The legend below a picture."""

import numpy as np
import pytest

from regseg.data.datasets.cityscapes import SPEC
from regseg.data.datasets.spec import DatasetSpec, distinct_colors
from regseg.data.legend import legend, write_text


@pytest.mark.parametrize("width", [100, 300, 1024])
def test_the_legend_has_every_colour(width):
    strip = legend(SPEC, width)
    assert strip.shape[1:] == (width, 3) and strip.dtype == np.uint8
    found = {tuple(color) for color in strip.reshape(-1, 3).tolist()}
    assert set(SPEC.colors) <= found


def test_names_of_any_length_and_characters_fit():
    names = ("a" * 500, "half of a pair \udc80", "naïve", "")
    strip = legend(DatasetSpec("s", names, distinct_colors(len(names))), 160)
    assert strip.shape[1] == 160
    assert (strip[:, -4:] == 255).all()  # a shortened name does not touch the right edge


def test_text_is_written_in_place():
    picture = np.full((20, 60, 3), 255, np.uint8)
    write_text(picture, "road", 2, 14)
    assert (picture < 128).any()
