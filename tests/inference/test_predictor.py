"""`regseg.Predictor`: images to labels."""

import subprocess
import sys

import numpy as np
import pytest

import regseg
from regseg.errors import InputError


def test_images_of_any_size_and_lists(checkpoint, photograph):
    predictor = regseg.Predictor(checkpoint, "torch", "f32")
    images = [photograph, photograph[:33, :90], np.zeros((32, 32, 3), np.uint8)]
    labels = predictor(images)
    assert [label.shape for label in labels] == [image.shape[:2] for image in images]
    assert (labels[1] == predictor(images[1])).all()
    assert predictor.draw(photograph, labels[0]).shape == photograph.shape


@pytest.mark.parametrize("shape", [(31, 64, 3), (64, 64), (64, 64, 4)])
def test_wrong_images(checkpoint, shape):
    with pytest.raises(InputError, match="An image has"):
        regseg.Predictor(checkpoint, "torch")(np.zeros(shape, np.uint8))
    with pytest.raises(InputError, match="float32"):
        regseg.Predictor(checkpoint, "torch")(np.zeros((64, 64, 3), np.float32))


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
