"""DatasetSpec: decoding of labels, and the description in checkpoints and workers."""

import io
import json
import pickle
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from layouts import is_sentence

from regseg.data.datasets.camvid import SPEC as CAMVID
from regseg.data.datasets.cityscapes import SPEC as CITYSCAPES
from regseg.data.datasets.spec import IGNORE_INDEX, MAX_CLASSES, DatasetSpec, distinct_colors
from regseg.errors import InputError

FILE = Path("a/label.png")
IDS = DatasetSpec("ids", ("a", "b"), ((9, 9, 9), (8, 8, 8)), ids={0: 0, 7: 1, 255: IGNORE_INDEX})
COLORS = DatasetSpec(
    "colours", ("a", "b"), ((9, 9, 9), (1, 2, 3)), color_ids=(((9, 9, 9), 0), ((1, 2, 3), 1), ((0, 0, 0), 255))
)


@pytest.mark.parametrize("spec", [CAMVID, CITYSCAPES, IDS, COLORS], ids=lambda spec: spec.name)
def test_to_dict_and_back_also_by_json_and_checkpoint(spec):
    values = spec.to_dict()
    assert DatasetSpec.from_dict(values) == spec
    assert DatasetSpec.from_dict(json.loads(json.dumps(values))) == spec
    file = io.BytesIO()
    torch.save(values, file)
    file.seek(0)
    assert DatasetSpec.from_dict(torch.load(file, weights_only=True)) == spec


def test_the_former_key_left_out_is_still_read():
    """Checkpoints of earlier versions have it instead of `excluded`."""
    values = CITYSCAPES.to_dict()
    old = {("left_out" if key == "excluded" else key): value for key, value in values.items()}
    assert "excluded" in values and "excluded" not in old
    assert DatasetSpec.from_dict(old) == CITYSCAPES
    del old["left_out"]
    with pytest.raises(InputError, match="damaged"):
        DatasetSpec.from_dict(old)


@pytest.mark.parametrize("change", [{"ids": {float("inf"): 0}}, {"classes": ["a", "a"]}, {"colors": 5}])
def test_a_damaged_description_names_its_file(change):
    for source, words in (("own.ckpt", "of the classes in own.ckpt is damaged"), (None, "of the classes is damaged")):
        with pytest.raises(InputError, match=words):
            DatasetSpec.from_dict(CITYSCAPES.to_dict() | change, source)


def test_the_tables_are_not_pickled():
    raw = np.array([[[9, 9, 9], [1, 2, 3]]], np.uint8)
    COLORS.decode(raw, FILE)  # makes the table of 2^24 entries
    sent = pickle.dumps(COLORS)
    assert len(sent) < 1000
    assert pickle.loads(sent) == COLORS
    assert pickle.loads(sent).decode(raw, FILE).tolist() == [[0, 1]]


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32])
def test_ids(dtype):
    label = IDS.decode(np.array([[0, 7], [255, 0]], dtype), FILE)
    assert label.dtype == np.uint8 and label.tolist() == [[0, 1], [255, 0]]


@pytest.mark.parametrize(("value", "dtype"), [(4, np.uint8), (300, np.uint16), (65535, np.uint16), (-1, np.int32)])
def test_an_unknown_value_is_named_and_counted(value, dtype):
    with pytest.raises(InputError) as error:
        IDS.decode(np.array([[0, value, value], [255, 0, 5]], dtype), FILE)
    assert is_sentence(error, FILE, f"value {value} at 2 pixels", "0, 7, 255", "ids")


def test_colours():
    assert COLORS.decode(np.array([[[9, 9, 9], [1, 2, 3], [0, 0, 0]]], np.uint8), FILE).tolist() == [[0, 1, 255]]


def test_an_unknown_colour_is_named_and_counted():
    with pytest.raises(InputError) as error:
        COLORS.decode(np.array([[[9, 9, 9], [3, 2, 1], [3, 2, 1], [3, 2, 2]]], np.uint8), FILE)
    assert is_sentence(error, FILE, "colour [3, 2, 1] at 2 pixels and others at 1, which are", "3 colours", "smoothed")


def test_colours_of_16_bits():
    raw = np.array([[[9, 9, 9], [1, 2, 3]]], np.uint16)
    assert COLORS.decode(raw * 257, FILE).tolist() == [[0, 1]]
    with pytest.raises(InputError) as error:
        COLORS.decode(raw * 257 + 1, FILE)  # between two colours of 8 bits
    assert is_sentence(error, FILE, [2314, 2314, 2314])


def test_an_index_label_saved_as_rgb():
    assert IDS.decode(np.full((2, 2, 3), 7, np.uint8), FILE).tolist() == [[1, 1], [1, 1]]


def test_a_colour_label_whose_colours_are_all_grey():
    assert COLORS.decode(np.array([[9, 0]], np.uint8), FILE).tolist() == [[0, 255]]  # saved with one channel
    assert COLORS.decode(np.array([[[9] * 3, [0] * 3]], np.uint8), FILE).tolist() == [[0, 255]]
    both = DatasetSpec("both", ("a",), ((9, 9, 9),), ids={3: 0}, color_ids=(((9, 9, 9), 0),))
    assert both.decode(np.array([[3]], np.uint8), FILE).tolist() == [[0]]
    assert both.decode(np.array([[[9, 9, 9]]], np.uint8), FILE).tolist() == [[0]]


def test_a_label_of_the_wrong_kind_is_refused():
    with pytest.raises(InputError) as error:
        IDS.decode(np.array([[[1, 2, 3]]], np.uint8), FILE)
    assert is_sentence(error, FILE, "colour label", "color")


def test_a_picture_of_a_label():
    picture = IDS.colorize(np.array([[0, 1, 255]], np.uint8))
    assert picture.dtype == np.uint8 and picture.tolist() == [[[9, 9, 9], [8, 8, 8], [0, 0, 0]]]


def test_ignored_pixels_do_not_look_like_a_black_class():
    voc = DatasetSpec("voc", ("background", "car"), ((0, 0, 0), (128, 128, 128)), ids={0: 0, 7: 1})
    assert voc.colorize(np.array([[0, 255]], np.uint8)).tolist() == [[[0, 0, 0], [255, 255, 255]]]


def test_the_reduced_mean_of_cityscapes_excludes_truck_bus_and_train():
    assert CITYSCAPES.kept_in_reduced == [*range(14), 17, 18]
    assert IDS.kept_in_reduced == [0, 1]


def test_generated_colours_differ():
    colors = distinct_colors(MAX_CLASSES)
    assert len(set(colors)) == MAX_CLASSES
    assert all(0 <= channel <= 255 for color in colors for channel in color)


def test_generated_colours_of_a_usual_number_of_classes_are_easily_told_apart():
    colors = np.array([distinct_colors(30)], np.float32) / 255
    lab = cv2.cvtColor(colors, cv2.COLOR_RGB2Lab)[0]
    distances = np.linalg.norm(lab[:, None] - lab, axis=-1)
    assert distances[np.triu_indices(30, 1)].min() > 18  # a difference of 2 is just visible
