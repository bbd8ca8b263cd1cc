"""`regseg.Predictor`: images to labels."""

import os
import pickle
import shutil
import subprocess
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from layouts import is_sentence
from PIL import Image

import regseg
from regseg.data.augment.crop_resize import resize_image
from regseg.data.datasets.spec import DatasetSpec
from regseg.errors import InputError
from regseg.inference.runtime_network import label_at


def test_images_of_any_size_and_lists(checkpoint, photograph):
    predictor = regseg.Predictor(checkpoint, "torch", "f32")
    images = [photograph, photograph[:33, :90], np.zeros((32, 32, 3), np.uint8)]
    labels = predictor(images)
    assert [label.shape for label in labels] == [image.shape[:2] for image in images]
    assert (labels[1] == predictor(images[1])).all()
    assert predictor.draw(photograph, labels[0]).shape == photograph.shape


def test_what_a_predictor_and_its_classes_are(checkpoint, exported):
    predictor = regseg.Predictor(checkpoint, "torch", "f32")
    assert repr(predictor) == f"<Predictor {checkpoint}: 19 classes of cityscapes, torch in f32, short_side=64>"
    fixed = regseg.Predictor(exported("openvino", size=(64, 96)), precision="f32")
    assert repr(fixed).endswith("19 classes of cityscapes, openvino in f32, size=[64, 96]>")
    text = repr(predictor.spec)
    assert text.startswith("<DatasetSpec cityscapes: 19 classes (0 road, 1 sidewalk,") and text.endswith("18 bicycle)>")
    help_text = regseg.Predictor.spec.__doc__
    assert all(f"spec.{name}" in help_text for name in ("name", "classes", "colors", "num_classes", "ids", "colorize"))


@pytest.mark.parametrize("shape", [(31, 64, 3), (64, 64), (64, 64, 4)])
def test_wrong_images(checkpoint, shape):
    with pytest.raises(InputError, match="An image"):
        regseg.Predictor(checkpoint, "torch")(np.zeros(shape, np.uint8))
    with pytest.raises(InputError, match="float32"):
        regseg.Predictor(checkpoint, "torch")(np.zeros((64, 64, 3), np.float32))


def test_a_model_of_a_loop_of_ones_own(tmp_path, photograph):
    spec = DatasetSpec("mine", ("a", "b"), ((1, 1, 1), (2, 2, 2)), ids={0: 0, 1: 1})
    model = regseg.create_model(num_classes=2)
    regseg.save_weights(model, tmp_path / "a.ckpt", spec=spec)
    predictor = regseg.Predictor(tmp_path / "a.ckpt", "torch")
    assert predictor.spec == spec and predictor(photograph).max() < 2
    regseg.save_weights(model, tmp_path / "b.ckpt")
    with pytest.raises(InputError, match=r"does not record its classes.*save_weights"):
        regseg.Predictor(tmp_path / "b.ckpt", "torch")


def test_weights_are_a_name_or_a_path(checkpoint):
    for wrong in (None, torch.nn.Identity()):
        with pytest.raises(InputError, match="The weights are"):
            regseg.Predictor(wrong)


def test_bfloat16_is_near(checkpoint, photograph):
    exact, half = (regseg.Predictor(checkpoint, "torch", precision)(photograph) for precision in ("f32", "bf16"))
    assert (exact == half).mean() > 0.9


def test_without_torch_and_quickly(exported):
    """From an exported file, neither the predictor nor its classes nor a drawing import PyTorch."""
    code = """if True:
        import sys, numpy, regseg
        predictor = regseg.Predictor(sys.argv[1], sys.argv[2])
        image = numpy.zeros((64, 96, 3), numpy.uint8)
        picture = predictor.draw(image, predictor(image))
        assert picture.shape == image.shape and predictor.spec.classes[0] == "road"
        print(predictor.runtime.name)
        sys.exit("torch" in sys.modules or "lightning" in sys.modules)"""
    for format, runtime in (("onnx", "auto"), ("openvino", "auto"), ("onnx", "onnxruntime")):
        done = subprocess.run([sys.executable, "-c", code, exported(format), runtime], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert done.stdout.splitlines()[-1] == runtime.replace("auto", "openvino")


@pytest.mark.parametrize("format", [None, "onnx", "openvino"])
def test_large_images_are_reduced_as_in_evaluation(format, checkpoint, exported, photograph):
    """The weights record the evaluation size 64; labels have the image's own size all the same."""
    weights, runtime = (exported(format), "auto") if format else (checkpoint, "torch")
    large = cv2.resize(photograph, (300, 200))
    predictor = regseg.Predictor(weights, runtime, "f32")
    assert predictor.short_side == 64
    labels = predictor(large)
    assert (labels == label_at(predictor.runtime, resize_image(large, (200, 300), 64), (200, 300))).all()
    whole = regseg.Predictor(weights, runtime, "f32", short_side=None)(large)
    assert labels.shape == whole.shape == (200, 300) and (labels != whole).any()
    given = regseg.Predictor(weights, runtime, "f32", short_side=100)(large)
    assert (given != whole).any() and (given != labels).any()
    small = large[:50, :80]
    assert (predictor(small) == regseg.Predictor(weights, runtime, "f32", short_side=None)(small)).all()


def test_wrong_short_sides(checkpoint, exported):
    for wrong in (0, 31, 64.5, True, "all"):
        with pytest.raises(InputError, match="short_side"):
            regseg.Predictor(checkpoint, "torch", short_side=wrong)
    with pytest.raises(InputError, match="accepts only images that are 64 pixels high and 96 wide"):
        regseg.Predictor(exported("openvino", size=(64, 96)), short_side=64)
    assert regseg.Predictor(exported("openvino", size=(64, 96))).short_side is None


def test_arrays_in_any_memory(checkpoint, exported, photograph):
    """Slices, mirrored views, Fortran order, and read-only arrays such as Pillow's, which PyTorch would warn about."""
    large = np.repeat(np.repeat(photograph, 2, 0), 2, 1)
    frozen = photograph.copy()
    frozen.flags.writeable = False
    views = [large[::2, ::2], photograph[::-1, ::-1].copy()[::-1, ::-1], np.asfortranarray(photograph), frozen]
    for weights, runtime in ((checkpoint, "torch"), (exported("onnx"), "onnxruntime"), (exported("openvino"), "auto")):
        for short_side in (None, 64):
            predictor = regseg.Predictor(weights, runtime, "f32", short_side=short_side)
            expected = predictor(photograph)
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                assert all((labels == expected).all() for labels in predictor(views))
    size = (64, 96)
    predictor = regseg.Predictor(exported("openvino", size=size), precision="f32")
    assert all((labels == predictor(photograph)).all() for labels in predictor(views))


def test_what_is_not_an_array_is_named(checkpoint, photograph):
    predictor = regseg.Predictor(checkpoint, "torch", "f32")
    others = [(Image.fromarray(photograph), "PIL.Image.Image"), (torch.from_numpy(photograph), "torch.Tensor")]
    others += [(Path("photo.png"), "PosixPath"), ("photo.png", "str"), ([[1, 2]], "list"), (None, "None")]
    for wrong, kind in others:
        with pytest.raises(InputError) as error:
            predictor(wrong)
        assert is_sentence(error, kind, "give a NumPy array (H, W, 3) uint8 RGB")
        with pytest.raises(InputError, match="NumPy array"):
            predictor.draw(wrong, np.zeros((64, 64), np.uint8))
    for wrong in (["photo.jpg"], 3):
        with pytest.raises(InputError, match="NumPy array"):
            predictor(wrong)
    assert predictor([]) == []


def test_wrong_labels_are_not_drawn(checkpoint, photograph):
    predictor = regseg.Predictor(checkpoint, "torch", "f32")
    height, width = photograph.shape[:2]
    sizes = ((height, width + 1), (height, width, 3))
    for wrong in (*(np.zeros(size, np.uint8) for size in sizes), np.zeros((height, width), np.int64), None, "labels"):
        with pytest.raises(InputError) as error:
            predictor.draw(photograph, wrong)
        assert is_sentence(error, "The labels have", f"({height}, {width}) uint8 class indices")
    with pytest.raises(InputError, match="float32"):
        predictor.draw(photograph.astype(np.float32), np.zeros((height, width), np.uint8))
    assert (predictor.draw(photograph, np.full((height, width), 200, np.uint8)) == photograph).all()
    assert predictor.draw(photograph[:5, :7], np.zeros((5, 7), np.uint8)).shape == (5, 7, 3)


@pytest.mark.parametrize("runtime", ["torch", "onnxruntime", "openvino"])
def test_several_threads(runtime, checkpoint, exported, photograph):
    predictor = regseg.Predictor(checkpoint if runtime == "torch" else exported("onnx"), runtime, "f32")
    images = [np.ascontiguousarray(photograph[: 40 + 5 * number, : 50 + 7 * number]) for number in range(8)]
    expected = predictor(images)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(predictor, 3 * images))
    assert all((one == other).all() for one, other in zip(found, 3 * expected, strict=True))


def test_pickle_opens_the_weights_again(checkpoint, photograph):
    predictor = regseg.Predictor(checkpoint, "torch", "f32", "cpu", short_side=50)
    copy = pickle.loads(pickle.dumps(predictor))
    assert (copy.runtime.name, copy.runtime.precision, copy.short_side) == ("torch", "f32", 50)
    assert (copy(photograph) == predictor(photograph)).all()
    other = regseg.Predictor(checkpoint, "torch", "f32", "cpu", short_side=49)
    assert pickle.loads(pickle.dumps(other)).short_side == 49


def test_a_process_opens_the_weights_of_copies_once(checkpoint, photograph, tmp_path):
    """`multiprocessing.Pool.map` pickles the predictor for every chunk of images."""
    path = Path(shutil.copy(checkpoint, tmp_path))
    pickled = pickle.dumps(regseg.Predictor(path, "torch", "f32", "cpu"))
    copy = pickle.loads(pickled)
    assert pickle.loads(pickled) is copy
    os.utime(path, ns=(0, 0))  # as after another training
    assert pickle.loads(pickled) is not copy
    path.unlink()
    with pytest.raises(InputError) as error:
        pickle.loads(pickled)
    assert is_sentence(error, path)


def test_a_copy_of_a_run_whose_best_checkpoint_is_gone_opens_the_last_one(checkpoint, tmp_path):
    shutil.copy(checkpoint, tmp_path / "best.ckpt")
    pickled = pickle.dumps(regseg.Predictor(tmp_path, "torch", "f32", "cpu"))
    (tmp_path / "best.ckpt").rename(tmp_path / "last.ckpt")
    assert pickle.loads(pickled) is not pickle.loads(pickled)  # it may have changed
