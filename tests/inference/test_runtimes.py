"""One call for every runtime; a missing package or an unsupported option is reported in one sentence."""

import pytest

import regseg
from regseg.errors import InputError
from regseg.inference.runtimes import open_runtime


def test_a_runs_folder(checkpoint, tmp_path, capsys):
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "last.ckpt").write_bytes(checkpoint.read_bytes())
    assert regseg.Predictor(tmp_path, "torch").spec.num_classes == 19
    assert "last.ckpt" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"runtime": "tensorrt"}, "runtime=tensorrt does not exist"),
        ({"runtime": "openvino", "precision": "f16"}, "runtime=openvino does not support precision=f16; choose bf16"),
        ({"runtime": "torch", "precision": "f16", "device": "cpu"}, "precision=f16 needs a GPU"),
        ({"precision": "int4"}, "precision=int4 does not exist"),
        ({"runtime": "onnxruntime"}, r"export it first: python -m regseg.export weights=\S+best.ckpt format=onnx"),
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
