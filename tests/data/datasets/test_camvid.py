"""CamVid in its three published layouts."""

import shutil
from collections import Counter

import numpy as np
import pytest
from layouts import FRAMES, is_sentence, noise, write, write_camvid
from PIL import Image

from regseg.data.datasets.camvid import SPEC, CamVid, official_split
from regseg.data.io import read_label, read_sample
from regseg.errors import InputError

SHAPES = ("stills", "flat", "labels", "annot")

# label_colors.txt of the dataset
COLORS_32 = """
64 128 64 Animal, 192 0 128 Archway, 0 128 192 Bicyclist, 0 128 64 Bridge, 128 0 0 Building, 64 0 128 Car,
64 0 192 CartLuggagePram, 192 128 64 Child, 192 192 128 Column_Pole, 64 64 128 Fence, 128 0 192 LaneMkgsDriv,
192 0 64 LaneMkgsNonDriv, 128 128 64 Misc_Text, 192 0 192 MotorcycleScooter, 128 64 64 OtherMoving,
64 192 128 ParkingBlock, 64 64 0 Pedestrian, 128 64 128 Road, 128 128 192 RoadShoulder, 0 0 192 Sidewalk,
192 128 128 SignSymbol, 128 128 128 Sky, 64 128 192 SUVPickupTruck, 0 0 64 TrafficCone, 0 64 64 TrafficLight,
192 64 128 Train, 128 128 0 Tree, 192 128 192 Truck_Bus, 64 0 64 Tunnel, 192 192 0 VegetationMisc, 0 0 0 Void,
64 192 0 Wall
"""
CLASSES = ("Building", "Tree", "Sky", "Car", "SignSymbol", "Road", "Pedestrian", "Fence", "Column_Pole", "Sidewalk",
           "Bicyclist")  # fmt: skip
# The 480x360 release, in the order of its values
RELEASE = ("Sky", "Building", "Column_Pole", "Road", "Sidewalk", "Tree", "SignSymbol", "Fence", "Car", "Pedestrian",
           "Bicyclist")  # fmt: skip


def published_colors():
    entries = (entry.split() for entry in COLORS_32.replace("\n", " ").split(","))
    return {name: (int(red), int(green), int(blue)) for red, green, blue, name in entries}


def test_eleven_of_the_32_colours_are_classes():
    colors = published_colors()
    assert len(set(colors.values())) == 32
    expected = {color: CLASSES.index(name) if name in CLASSES else 255 for name, color in colors.items()}
    assert dict(SPEC.color_ids) == expected and len(SPEC.color_ids) == 32
    assert SPEC.colors == tuple(colors[name] for name in CLASSES)
    names = [name.lower().replace("-", "").replace("_", "") for name in CLASSES]
    assert [name.replace("-", "") for name in SPEC.classes] == names


def test_values_of_the_480x360_release():
    assert SPEC.ids == {value: CLASSES.index(name) for value, name in enumerate(RELEASE)} | {11: 255, 255: 255}


@pytest.mark.parametrize("shape", SHAPES)
def test_every_layout_is_recognized(tmp_path, shape):
    dataset = CamVid(write_camvid(tmp_path, shape))
    for split in ("train", "val", "test"):
        assert [sample.image.stem for sample in dataset.samples(split)] == sorted(FRAMES[split])
    both = [sample.image.stem for sample in dataset.samples("trainval")]
    assert both == sorted(FRAMES["train"] + FRAMES["val"])
    image, label = read_sample(dataset.samples("train")[0], dataset.spec)
    assert np.array_equal(image, noise(0))
    assert label[::2, ::2].ravel()[:13].tolist() == [*range(11), 255, 0]


def test_labels_in_split_folders_may_lack_the_suffix(tmp_path):
    write_camvid(tmp_path, "labels")
    for label in tmp_path.glob("*_labels/*_L.png"):
        label.rename(label.with_stem(label.stem.removesuffix("_L")))
    assert len(CamVid(tmp_path).samples("train")) == 4


@pytest.mark.parametrize("shape", ["stills", "labels"])
def test_colour_labels_shrunk_to_a_palette(tmp_path, shape):
    """PNG optimizers do so; the indices are then arbitrary, not those of the 480x360 release."""
    dataset = CamVid(write_camvid(tmp_path, shape))
    sample = dataset.samples("train")[0]
    expected = read_label(sample.label, dataset.spec)
    Image.open(sample.label).quantize(32).save(sample.label)
    assert np.array_equal(read_label(sample.label, dataset.spec), expected)


@pytest.mark.parametrize("shape", SHAPES)
def test_a_label_that_is_missing_is_named(tmp_path, shape):
    dataset = CamVid(write_camvid(tmp_path, shape))
    sample = dataset.samples("val")[0]
    sample.label.unlink()
    with pytest.raises(InputError) as error:
        dataset.samples("val")
    assert is_sentence(error, sample.image, sample.label.parent, "add the label")


@pytest.mark.parametrize(
    ("shape", "gone", "words"),
    [
        ("annot", "val", ["/val is missing", "data.root"]),
        ("annot", "valannot", ["/valannot is missing", "data.root"]),
        ("labels", "val_labels", ["/val_labels is missing", "data.root"]),
        ("stills", "LabeledApproved_full", ["no folder with *_L.png labels", "trainannot", "data.root"]),
        ("stills", "701_StillsRaw_full", ["no images", "val"]),
        ("annot", ".", ["is missing", "annot", "data.root"]),
    ],
)
def test_what_is_missing_is_named(tmp_path, shape, gone, words):
    root = write_camvid(tmp_path / "camvid", shape)
    shutil.rmtree(root / gone)
    with pytest.raises(InputError) as error:
        CamVid(root).samples("val")
    assert is_sentence(error, root, *words)


def test_two_folders_of_labels_are_refused(tmp_path):
    write_camvid(tmp_path, "stills")
    shutil.copytree(tmp_path / "LabeledApproved_full", tmp_path / "copy")
    with pytest.raises(InputError) as error:
        CamVid(tmp_path).samples("train")
    assert is_sentence(error, tmp_path, "2 folders")


def test_an_image_that_is_not_a_frame_is_named(tmp_path):
    write_camvid(tmp_path, "stills")
    write(tmp_path / "701_StillsRaw_full/holiday.png", noise(0))
    with pytest.raises(InputError) as error:
        CamVid(tmp_path).samples("train")
    assert is_sentence(error, "holiday", "remove it")


def test_the_real_images_are_split_as_published(camvid_root):
    dataset, counts = CamVid(camvid_root), Counter()
    for split in ("train", "val", "test"):
        stems = [sample.image.stem for sample in dataset.samples(split)]
        counts[split] = len(stems)
        assert {official_split(stem) for stem in stems} == {split}
    assert counts == {"train": 367, "val": 101, "test": 233}
    assert len(dataset.samples("trainval")) == 468


def test_every_real_label_is_decoded(camvid_root):
    dataset = CamVid(camvid_root)
    pixels = np.zeros(256, np.int64)
    for split in ("trainval", "test"):
        for sample in dataset.samples(split):
            label = read_label(sample.label, dataset.spec)
            assert label.shape == (360, 480)
            pixels += np.bincount(label.ravel(), minlength=256)
    assert pixels[11:255].sum() == 0 and (pixels[:11] > 0).all()
    # Roads and buildings are frequent, signs and cyclists rare, so the values are not permuted.
    order = [SPEC.classes[index] for index in np.argsort(pixels[:11])]
    assert set(order[-3:]) == {"road", "building", "sky"} and order[0] in ("pedestrian", "bicyclist", "column-pole")


def test_real_images_fit_their_labels(camvid_root):
    dataset = CamVid(camvid_root)
    for split in ("train", "val", "test"):
        for sample in dataset.samples(split)[::100]:
            image, label = read_sample(sample, dataset.spec)
            assert image.shape == (*label.shape, 3) == (360, 480, 3)
            sky, road = SPEC.classes.index("sky"), SPEC.classes.index("road")
            rows = [np.flatnonzero((label == index).any(1)).mean() for index in (sky, road)]
            assert rows[0] < rows[1]
