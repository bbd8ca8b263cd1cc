"""One call for every runtime; a missing package or an unsupported option is reported in one sentence."""

from functools import partial

import pytest
import torch

import regseg
from regseg.data.datasets.camvid import SPEC as CAMVID
from regseg.errors import InputError
from regseg.inference.export import export
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
        ({"device": None}, r"device=null cannot be used \(PyTorch has no such device\); choose cpu"),
        ({"runtime": "torch", "device": "meta"}, "device=meta cannot be used"),
        ({"runtime": "torch", "device": "xla"}, r"device=xla cannot be used \([^.]*(aten::[\w.]+)?[^.]*\); choose"),
    ],
)
def test_wrong_options(checkpoint, options, told):
    with pytest.raises(InputError, match=told):
        open_runtime(checkpoint, **options)


@pytest.mark.parametrize("use", [partial(open_runtime, runtime=name) for name in ("torch", "openvino")] + [export])
def test_other_classes_than_the_networks(checkpoint, tmp_path, use):
    content = torch.load(checkpoint, weights_only=True)
    content["hyper_parameters"]["spec"] = CAMVID.to_dict()
    torch.save(content, tmp_path / "best.ckpt")
    more = (tmp_path / "model.safetensors", "torch") if use is export else ()
    with pytest.raises(InputError, match=r"best\.ckpt records 11 classes, but its network has 19; save it again"):
        use(tmp_path / "best.ckpt", *more)
    content["hyper_parameters"]["spec"]["classes"] = []
    torch.save(content, tmp_path / "best.ckpt")
    with pytest.raises(InputError, match=r"of the classes in \S+best\.ckpt is damaged"):
        use(tmp_path / "best.ckpt", *more)


def test_what_auto_chose_is_printed(checkpoint, capsys):
    for quiet in (False, True):
        open_runtime(checkpoint, "torch", device="cpu", quiet=quiet)
        assert ("Running best.ckpt with torch in" in capsys.readouterr().out) is not quiet


def test_onnxruntime_cannot_run_another_graph(tmp_path):
    """Which cannot be exported again either."""
    (tmp_path / "model.xml").touch()
    with pytest.raises(InputError, match=r"cannot run \S+model\.xml; export its checkpoint with format=onnx"):
        open_runtime(tmp_path / "model.xml", "onnxruntime")


def test_torch_cannot_run_a_graph(tmp_path):
    with pytest.raises(InputError, match="is a graph"):
        open_runtime(tmp_path / "model.onnx", "torch")
    (tmp_path / "model.xml").touch()
    with pytest.raises(InputError, match=r"give that file"):
        open_runtime(tmp_path / "model.bin")
