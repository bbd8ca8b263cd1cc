"""What the runtimes of exported graphs share."""

import numpy as np
import pytest

from regseg.data.datasets.cityscapes import SPEC
from regseg.errors import InputError
from regseg.inference import exported_runtime
from regseg.inference.export_info import ExportInfo
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
    logits = np.array([[[[1.0, 0.0]], [[0.0, 1.0]]]], np.float32)
    runtime, images = Graph(logits, output="logits"), np.zeros((1, 1, 2, 3), np.uint8)
    assert runtime.resizes_logits and runtime(images, (1, 4)).tolist() == [[[0, 0, 1, 1]]]
    assert runtime.low_resolution_logits(images) is None
