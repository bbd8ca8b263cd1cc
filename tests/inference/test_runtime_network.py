"""A runtime in place of a network, for evaluation."""

import pytest
import torch
from layouts import is_sentence

from regseg.data.datasets.cityscapes import SPEC
from regseg.errors import InputError
from regseg.inference.runtime_network import RuntimeNetwork
from regseg.inference.runtimes import open_runtime
from regseg.training.task import SegmentationTask


@pytest.mark.parametrize("size", [(90, 122), (64, 128), (180, 250)])
@pytest.mark.parametrize("options", [{}, {"output": "logits"}])
@pytest.mark.parametrize("numba", [True, False])
@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_a_runtime_in_place_of_the_network(exported, network, photograph, size, options, numba, runtime):
    """Also at another size than the images', where the release interpolates twice."""
    images = torch.from_numpy(photograph[None])
    opened = open_runtime(exported("onnx", **options), runtime, "f32", fused=numba)
    with torch.inference_mode():
        expected = SegmentationTask(network, SPEC).eval().predict_labels(images, size)
        task = SegmentationTask(RuntimeNetwork(opened), SPEC)
        if not numba and not options and size != images.shape[1:3]:
            with pytest.raises(InputError) as error:
                task.predict_labels(images, size)
            assert is_sentence(
                error, "90 pixels high and 122 wide", f"{size[0]} and {size[1]}", "numba", "output=logits"
            )
            return
        found = task.predict_labels(images, size)
    assert found.shape == (1, *size) and (found == expected).float().mean() > 0.9999
