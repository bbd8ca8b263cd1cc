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


def test_the_colour_of_ignored_pixels_is_explained_and_visible():
    spec = DatasetSpec("s", ("background", "car"), ((0, 0, 0), (9, 9, 200)))
    plain, strip = legend(spec, 480), legend(spec, 480, ignored=True)
    box = strip[4:18, 2 * 144 + 4 : 2 * 144 + 22]  # white, with an outline
    assert (box[6, 6] == 255).all() and (box == 128).all(-1).sum() > 40
    assert (plain[:, 2 * 144 :] == 255).all()


def test_names_of_any_length_and_characters_fit():
    names = ("a" * 500, "half of a pair \udc80", "naïve", "")
    strip = legend(DatasetSpec("s", names, distinct_colors(len(names))), 160)
    assert strip.shape[1] == 160
    assert (strip[:, -4:] == 255).all()  # a shortened name does not touch the right edge


def test_text_is_written_in_place():
    picture = np.full((20, 60, 3), 255, np.uint8)
    write_text(picture, "road", 2, 14)
    assert (picture < 128).any()


@pytest.mark.parametrize("width", [8, 100, 1448])
def test_a_legend_takes_any_name(width):
    names = ("", "x" * 100_000, "Straße дорога 道路", "two\nlines\0", "half a pair \ud800", "road [paved]")
    picture = legend(DatasetSpec("own", names, distinct_colors(len(names))), width)
    assert picture.shape[1] == width and picture.shape[0] <= 6 + 20 * len(names)


def test_a_long_name_does_not_run_into_the_next_class():
    def drawn(*names):
        return legend(DatasetSpec("own", names, ((0, 0, 0),) * len(names)), 900)

    both = drawn("w" * 300, "b")
    alone = drawn("w" * 300, "")
    assert (both[:, :432] == alone[:, :432]).all() and (both[:, 432:] != alone[:, 432:]).any()
    assert (alone[:, 429:432] == 255).all()
