"""The record in an exported file."""

import json

import pytest

from regseg.data.datasets.cityscapes import SPEC
from regseg.errors import InputError
from regseg.inference.export_info import ExportInfo


@pytest.mark.parametrize(
    "change",
    [
        {"size": "ab"}, {"size": [1]}, {"size": [0, 0]}, {"size": [-64, 96]}, {"size": [10**6, 10**6]},
        {"precision": "f8"}, {"precision": ["f32"]}, {"spec": {}}, {"spec": [1]}, {"network": 3}, {"network": [1]},
        {"data": "x"}, {"output": 0},
    ],
)  # fmt: skip
def test_damaged_records(change):
    values = json.loads(ExportInfo(SPEC).to_json()) | change
    with pytest.raises(InputError, match="is damaged"):
        ExportInfo.from_json(json.dumps(values), "model.onnx")


def test_a_record_is_read_back():
    info = ExportInfo(SPEC, "bf16", "logits", (64, 96), {"name": "regseg"}, {"dataset": "camvid"}, {}, {"time": "now"})
    assert ExportInfo.from_json(info.to_json(), "model.onnx") == info
    assert ExportInfo.from_json(ExportInfo(SPEC).to_json(), "model.onnx").size is None


@pytest.mark.parametrize("text", ["[" * 100_000, '{"spec": ' + "[" * 100_000, '{"size": ' + "1" * 9000 + "}", "3"])
def test_records_that_are_no_records(text):
    with pytest.raises(InputError, match="is damaged") as error:
        ExportInfo.from_json(text, "model.onnx")
    assert len(str(error.value)) < 500


@pytest.mark.parametrize("text", [None, ""])
def test_a_file_without_a_record_is_of_another_project(text):
    with pytest.raises(InputError, match=r"model\.onnx was not exported by this project"):
        ExportInfo.from_json(text, "model.onnx")
