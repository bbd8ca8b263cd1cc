"""Networks as OpenVINO models and ONNX files: their inputs, outputs and sizes."""

import pytest

from regseg.inference.conversion import to_onnx, to_openvino
from regseg.inference.export_info import LOW_RESOLUTION
from regseg.inference.folding import ExportNetwork


@pytest.mark.parametrize("size", [None, (64, 96)])
def test_an_openvino_model(network, size):
    pytest.importorskip("openvino")
    model = to_openvino(ExportNetwork(network), size)
    assert [port.get_names() for port in (*model.inputs, *model.outputs)] == [{"images"}, {"labels"}]
    shape = model.inputs[0].get_partial_shape()
    assert str(shape) == ("[?,64,96,3]" if size else "[?,?,?,3]")
    names = {name for operation in model.get_ops() for port in operation.outputs() for name in port.get_names()}
    assert LOW_RESOLUTION in names


@pytest.mark.parametrize(("size", "sides"), [(None, ["batch", "height", "width"]), ((64, 96), ["batch", 64, 96])])
def test_an_onnx_file(network, size, sides):
    onnx = pytest.importorskip("onnx")
    model = to_onnx(ExportNetwork(network, "logits"), size)
    onnx.checker.check_model(model)
    assert [value.name for value in (*model.graph.input, *model.graph.output)] == ["images", "logits"]
    dims = model.graph.input[0].type.tensor_type.shape.dim
    assert [dim.dim_param or dim.dim_value for dim in dims] == [*sides, 3]
    assert any(LOW_RESOLUTION in node.output for node in model.graph.node)
