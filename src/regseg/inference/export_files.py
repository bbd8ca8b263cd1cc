"""Writing exported files: ONNX, OpenVINO and safetensors, each with its record."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from xml.sax.saxutils import quoteattr

from torch import nn

from regseg.errors import InputError
from regseg.inference.conversion import to_onnx, to_openvino
from regseg.inference.export_info import KEY, ExportInfo
from regseg.inference.exported_runtime import require
from regseg.inference.folding import ExportNetwork
from regseg.inference.torch_runtime import DTYPES
from regseg.system.checkpoint_file import read_tensors, write_weights_file


def write_graph(path: Path, format: str, network: nn.Module, info: ExportInfo) -> None:
    """Write a network in any precision but int8, with its record."""
    if format == "torch":
        dtype = DTYPES[info.precision]
        tensors = {name: t.to(dtype) if t.is_floating_point() else t for name, t in network.state_dict().items()}
        write_weights_file(path, tensors, {KEY: info.to_json()})
        return
    graph = ExportNetwork(network, info.output)
    if format == "onnx":
        graph = graph.to(DTYPES[info.precision])
        save_onnx(path, to_onnx(graph, info.size), info)
    else:
        save_openvino(path, to_openvino(graph, info.size), info)


def save_onnx(path: Path, model: Any, info: ExportInfo) -> None:
    """Write an `onnx.ModelProto` with its record."""
    onnx = require("onnx", "onnx", "format=onnx")
    onnx.helper.set_model_props(model, {KEY: info.to_json()})
    path.write_bytes(model.SerializeToString())


def save_openvino(path: Path, model: Any, info: ExportInfo) -> None:
    """Write an `openvino.Model` with its record; weights as float16 unless the precision is f32."""
    ov = require("openvino", "openvino", "format=openvino")
    model.set_rt_info(info.to_json(), [KEY])
    try:
        ov.save_model(model, path, compress_to_fp16=info.precision != "f32")
    except RuntimeError as error:
        raise InputError(f"{path.parent.parent} cannot be written; free some space or choose another out.") from error


def replace_record(path: Path, format: str, info: ExportInfo) -> None:
    """Replace the record in a file."""
    if format == "onnx":
        save_onnx(path, require("onnx", "onnx", "format=onnx").load(path), info)
    elif format == "openvino":
        # Only the .xml contains the text; saving again would compress the weights once more.
        text = path.read_text("utf-8")
        start = text.index(f"<{KEY} value=")
        stop = text.index("/>", start)
        path.write_text(f"{text[:start]}<{KEY} value={quoteattr(info.to_json())} {text[stop:]}", "utf-8")
    else:
        write_weights_file(path, read_tensors(path)[0], {KEY: info.to_json()})
