"""What the runtimes of exported graphs share."""

import numpy as np
import pytest

from regseg.data.datasets.cityscapes import SPEC
from regseg.errors import InputError
from regseg.inference import exported_runtime
from regseg.inference.export_info import KEY, ExportInfo
from regseg.inference.exported_runtime import ExportedRuntime
from regseg.inference.runtimes import open_runtime


def test_a_missing_package_is_named(exported, monkeypatch):
    path = exported("onnx")

    def missing(name):
        raise ImportError(name)

    monkeypatch.setattr(exported_runtime.importlib, "import_module", missing)
    for runtime, extra in (("openvino", "openvino"), ("onnxruntime", "onnx")):
        with pytest.raises(InputError, match=rf"pip install 'regseg\[{extra}\]'"):
            open_runtime(path, runtime)


@pytest.mark.parametrize(
    ("output", "values"),
    [
        ("labels", np.zeros((1, 2, 2), np.float32)),
        ("labels", np.zeros((1, 2, 2, 3), np.uint8)),
        ("labels", np.full((1, 2, 2), SPEC.num_classes, np.uint8)),
        ("logits", np.zeros((1, 3, 2, 2), np.float32)),
        ("logits", np.zeros((1, SPEC.num_classes, 2, 2), np.uint8)),
    ],
)
def test_a_graph_that_computes_something_else_is_refused(output, values):
    with pytest.raises(InputError, match="does not compute labels of 19 classes"):
        Graph(values, output=output)(np.zeros((1, 2, 2, 3), np.uint8))


class Graph(ExportedRuntime):
    """A runtime whose graph returns ``values``."""

    def __init__(self, values, **options):
        super().__init__(ExportInfo(SPEC, **options), fused=False)
        self.values = values

    def run(self, images):
        return self.values


def test_labels_of_another_size_are_resized_by_nearest_neighbour():
    labels = np.array([[[0, 1], [2, 3]]], np.uint8)
    runtime, images = Graph(labels), np.zeros((1, 2, 2, 3), np.uint8)
    assert (runtime(images) == labels).all() and not runtime.resizes_logits
    assert (runtime(images, (4, 4)) == labels.repeat(2, 1).repeat(2, 2)).all()


def test_logits_are_interpolated_before_the_maximum():
    """Of logits (1, 0) and (0, 1) at two pixels, each wins one half of four."""
    logits = np.full((1, SPEC.num_classes, 1, 2), -1, np.float32)
    logits[0, :2, 0] = np.eye(2)
    runtime, images = Graph(logits, output="logits"), np.zeros((1, 1, 2, 3), np.uint8)
    assert runtime.resizes_logits and runtime(images, (1, 4)).tolist() == [[[0, 0, 1, 1]]]
    assert runtime.low_resolution_logits(images) is None


@pytest.mark.parametrize(
    ("name", "kind", "shape"),
    [("pixels", "UINT8", (1, 4, 4, 3)), ("images", "FLOAT", (1, 4, 4, 3)), ("images", "UINT8", (4, 4))],
)
@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_a_graph_with_another_input_is_refused(name, kind, shape, runtime, tmp_path):
    onnx = pytest.importorskip("onnx")
    values = [
        onnx.helper.make_tensor_value_info(each, getattr(onnx.TensorProto, kind), shape) for each in (name, "labels")
    ]
    graph = onnx.helper.make_graph([onnx.helper.make_node("Identity", [name], ["labels"])], "g", values[:1], values[1:])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)
    onnx.helper.set_model_props(model, {KEY: ExportInfo(SPEC).to_json()})
    (tmp_path / "graph.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(InputError, match=r"graph\.onnx does not have the input of this project's graphs"):
        open_runtime(tmp_path / "graph.onnx", runtime)
