"""PyTorch networks as OpenVINO models and ONNX files."""

from __future__ import annotations

import io
import warnings
from typing import Any

import torch

from regseg.inference.export_info import LOW_RESOLUTION
from regseg.inference.exported_runtime import require
from regseg.inference.folding import ExportNetwork
from regseg.models.description import config_of
from regseg.system.signals import Postponed

_EXAMPLE = (96, 128)  # the size that the graph is traced at


def to_openvino(network: ExportNetwork, size: tuple[int, int] | None = None) -> Any:
    """Return an `openvino.Model` with the input ``images`` and the output ``labels`` or ``logits``.

    Args:
        network: the network, in float32.
        size: (height, width) if the model is for images of one size.
    """
    ov = require("openvino", "openvino", "format=openvino")
    # A network is converted when its first image arrives, possibly within autocast, as in an evaluation.
    with Postponed(), warnings.catch_warnings(), torch.autocast("cpu", enabled=False):
        warnings.simplefilter("ignore")  # the tracer warns about sizes, which remain variables
        # Traced here in half the time: OpenVINO would trace twice to compare, but an export is compared anyway.
        traced = torch.jit.trace(network.eval(), _example(size), check_trace=False)
        model = ov.convert_model(traced, example_input=_example(size))
    model.inputs[0].tensor.set_names({"images"})
    model.outputs[0].tensor.set_names({network.output})
    low = model.outputs[1].get_node().input_value(0)
    low.tensor.set_names({LOW_RESOLUTION})
    model = ov.Model([model.outputs[0].get_node().input_value(0)], model.get_parameters())
    model.outputs[0].tensor.set_names({network.output})
    model.reshape([-1, *(size or (-1, -1)), 3])
    return model


def to_onnx(network: ExportNetwork, size: tuple[int, int] | None = None) -> Any:
    """Return an `onnx.ModelProto` with the input ``images`` and the output ``labels`` or ``logits``; ``size`` as above.

    It uses the tracing exporter, which takes 1 s; the one based on `torch.export` takes 35 s for the same graph.
    """
    onnx = require("onnx", "onnx", "format=onnx")
    sides = {1: "height", 2: "width"} if size is None else {}
    file = io.BytesIO()
    with Postponed(), warnings.catch_warnings(), torch.inference_mode():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network.eval(),
            (_example(size),),
            file,  # type: ignore[arg-type]  # with dynamo=False it may be an open file
            dynamo=False,
            input_names=["images"],
            output_names=[network.output, LOW_RESOLUTION],
            dynamic_axes={"images": {0: "batch", **sides}, network.output: {0: "batch"}},
            opset_version=17,
        )
    model = onnx.load_from_string(file.getvalue())
    del model.graph.output[1]  # the tensor keeps its name
    # The exporter gives the output's sides symbolic names, even if they are fixed.
    shape = ["batch", *(size or ("height", "width"))]
    if network.output == "logits":
        shape.insert(1, config_of(network.network)["num_classes"])
    dtype = model.graph.output[0].type.tensor_type.elem_type
    model.graph.output[0].CopyFrom(onnx.helper.make_tensor_value_info(network.output, dtype, shape))
    return model


def _example(size: tuple[int, int] | None) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (1, *(size or _EXAMPLE), 3), dtype=torch.uint8, generator=generator)
