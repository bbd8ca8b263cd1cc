"""Exported files with their records."""

import shutil
from dataclasses import replace

import pytest

from regseg.data.datasets.cityscapes import SPEC
from regseg.errors import InputError
from regseg.inference.export_files import replace_record, save_openvino
from regseg.inference.export_info import ExportInfo
from regseg.inference.openvino_runtime import read_model
from regseg.inference.runtimes import info_of, open_runtime
from regseg.system.checkpoint_file import read_checkpoint_file

pytest.importorskip("openvino")
pytest.importorskip("onnxruntime")


@pytest.mark.parametrize("format", ["onnx", "openvino"])
def test_a_replaced_record_leaves_the_graph(exported, photograph, tmp_path, format):
    for path in exported(format).parent.iterdir():
        shutil.copy(path, tmp_path)
    path = tmp_path / exported(format).name
    info = replace(info_of(path), provenance={"note": 'a "quoted" <name> & more'})
    replace_record(path, format, info)
    assert info_of(path) == info
    before, after = (open_runtime(file, precision="f32")(photograph[None]) for file in (exported(format), path))
    assert (before == after).all()


def test_a_replaced_record_leaves_the_tensors(exported, tmp_path):
    path = tmp_path / "model.safetensors"
    shutil.copy(exported("torch"), path)
    spec = replace(SPEC, name="renamed")
    before = read_checkpoint_file(path)["state_dict"]
    replace_record(path, "torch", ExportInfo(spec))
    content = read_checkpoint_file(path)
    assert content["hyper_parameters"]["spec"]["name"] == "renamed"
    assert all((content["state_dict"][name] == tensor).all() for name, tensor in before.items())


def test_a_file_that_cannot_be_written_is_one_sentence(exported, tmp_path):
    model, info = read_model(exported("openvino"))
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"cannot be written; free some space or choose another out\."):
        save_openvino(tmp_path / "file" / "model.xml", model, info)
