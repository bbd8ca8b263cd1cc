"""Networks as OpenVINO models and ONNX files: their inputs, outputs and sizes."""

import os
import signal

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


@pytest.mark.parametrize(("size", "sides"), [(None, ["height", "width"]), ((64, 96), [64, 96])])
@pytest.mark.parametrize(("output", "maps"), [("labels", []), ("logits", [19])])
def test_an_onnx_file(network, size, sides, output, maps):
    """Its input and its output state their shapes, in which a side of the same name has the same length."""
    onnx = pytest.importorskip("onnx")
    model = to_onnx(ExportNetwork(network, output), size)
    onnx.checker.check_model(model, full_check=True)
    shapes = {
        value.name: [dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim]
        for value in (*model.graph.input, *model.graph.output)
    }
    assert shapes == {"images": ["batch", *sides, 3], output: ["batch", *maps, *sides]}
    assert any(LOW_RESOLUTION in node.output for node in model.graph.node)


@pytest.mark.parametrize(
    ("convert", "package", "name"),
    [(to_openvino, "openvino", "convert_model"), (to_onnx, "torch.onnx", "export")],
)
def test_a_signal_does_not_abort_the_process(ctrl_c, network, monkeypatch, convert, package, name):
    """OpenVINO's C++ code calls Python code, where an exception would end the process with a trace."""
    module, done = pytest.importorskip(package), []
    converted = getattr(module, name)

    def interrupted(*arguments, **options):
        os.kill(os.getpid(), signal.SIGINT)
        done.append(converted(*arguments, **options))
        return done[0]

    monkeypatch.setattr(module, name, interrupted)
    with pytest.raises(KeyboardInterrupt):
        convert(ExportNetwork(network))
    assert done
