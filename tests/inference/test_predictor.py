"""`regseg.Predictor`: images to labels."""

import subprocess
import sys

import cv2
import numpy as np
import pytest
import torch

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


@pytest.mark.parametrize("shape", [(31, 64, 3), (64, 64), (64, 64, 4)])
def test_wrong_images(checkpoint, shape):
    with pytest.raises(InputError, match="An image"):
        regseg.Predictor(checkpoint, "torch")(np.zeros(shape, np.uint8))
    with pytest.raises(InputError, match="float32"):
        regseg.Predictor(checkpoint, "torch")(np.zeros((64, 64, 3), np.float32))


@pytest.mark.parametrize("wrong", [None, "photo.jpg", torch.zeros(64, 64, 3, dtype=torch.uint8), ["photo.jpg"], 3])
def test_what_is_no_image(checkpoint, wrong):
    predictor = regseg.Predictor(checkpoint, "torch")
    with pytest.raises(InputError, match="NumPy array"):
        predictor(wrong)
    with pytest.raises(InputError, match="NumPy array"):
        predictor.draw(wrong, np.zeros((64, 64), np.uint8))


@pytest.mark.parametrize(
    "wrong", [None, np.zeros((64, 63), np.uint8), np.zeros((64, 64)), np.zeros((64, 64, 3), np.uint8)]
)
def test_what_is_no_label(checkpoint, wrong):
    with pytest.raises(InputError, match="labels are"):
        regseg.Predictor(checkpoint, "torch").draw(np.zeros((64, 64, 3), np.uint8), wrong)


def test_a_model_of_a_loop_of_ones_own(tmp_path, photograph):
    spec = DatasetSpec("mine", ("a", "b"), ((1, 1, 1), (2, 2, 2)), ids={0: 0, 1: 1})
    model = regseg.create_model(num_classes=2)
    regseg.save_weights(model, tmp_path / "a.ckpt", spec=spec.to_dict())
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


def test_without_torch_and_quickly(exported, tmp_path):
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
    with pytest.raises(InputError, match="accepts only images of 64x96 pixels"):
        regseg.Predictor(exported("openvino", size=(64, 96)), short_side=64)
    assert regseg.Predictor(exported("openvino", size=(64, 96))).short_side is None
