"""One call for all; what is missing or does not fit is said in a sentence."""

import subprocess
import sys

import numpy as np
import pytest

import regseg
from regseg.errors import InputError
from regseg.inference import exported as exported_module
from regseg.inference.runtimes import open_runtime, resolve_weights


def test_a_runs_folder(checkpoint, tmp_path, capsys):
    (tmp_path / "checkpoints").mkdir()
    with pytest.raises(InputError, match=r"contains no best\.ckpt or last\.ckpt"):
        resolve_weights(tmp_path)
    (tmp_path / "checkpoints" / "last.ckpt").write_bytes(checkpoint.read_bytes())
    assert regseg.Predictor(tmp_path, "torch").spec.num_classes == 19
    assert "last.ckpt" in capsys.readouterr().out
    (tmp_path / "checkpoints" / "best.ckpt").write_bytes(checkpoint.read_bytes())
    assert resolve_weights(tmp_path).name == "best.ckpt"


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


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"runtime": "tensorrt"}, "runtime=tensorrt does not exist"),
        ({"runtime": "openvino", "precision": "f16"}, "runtime=openvino does not support precision=f16; choose bf16"),
        ({"runtime": "torch", "precision": "f16", "device": "cpu"}, "precision=f16 needs a GPU"),
        ({"precision": "int4"}, "precision=int4 does not exist"),
        ({"runtime": "onnxruntime"}, "export the checkpoint first"),
        ({"runtime": "torch", "device": "cuda:7"}, "device=cuda:7 cannot be used"),
        ({"runtime": "openvino", "device": "cuda:0"}, "runs on the CPU"),
    ],
)
def test_wrong_options(checkpoint, options, told):
    with pytest.raises(InputError, match=told):
        open_runtime(checkpoint, **options)


def test_torch_cannot_run_a_graph(tmp_path):
    with pytest.raises(InputError, match="is a graph"):
        open_runtime(tmp_path / "model.onnx", "torch")
    (tmp_path / "model.xml").touch()
    with pytest.raises(InputError, match=r"give that file"):
        open_runtime(tmp_path / "model.bin")


def test_a_missing_package_is_named(exported, monkeypatch):
    path = exported("onnx")

    def missing(name):
        raise ImportError(name)

    monkeypatch.setattr(exported_module.importlib, "import_module", missing)
    for runtime, extra in (("openvino", "openvino"), ("onnxruntime", "onnx")):
        with pytest.raises(InputError, match=rf"pip install 'regseg\[{extra}\]'"):
            open_runtime(path, runtime)
