"""Networks run with ONNX Runtime on a CPU."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from regseg.errors import InputError
from regseg.inference.export_info import KEY, LOW_RESOLUTION, ExportInfo, check_seal
from regseg.inference.exported_runtime import ExportedRuntime, check_input, require
from regseg.system.cpu import num_threads


class OnnxRuntime(ExportedRuntime):
    """An exported .onnx file.

    Args:
        path: the file.
        precision: ``auto`` or the precision of the file.
        fused: see `ExportedRuntime`.

    Raises:
        InputError: the file is missing, damaged or from another project, it has another precision, or ONNX Runtime is
            not installed.
    """

    name = "onnxruntime"

    def __init__(self, path: str | Path, precision: str = "auto", fused: bool | None = None) -> None:
        ort = require("onnxruntime", "onnx", "runtime=onnxruntime")
        if not Path(path).is_file():
            raise InputError(f"There is no file {path}; check the path.")
        try:
            content = Path(path).read_bytes()  # ONNX Runtime itself opens only names that are UTF-8
        except OSError as error:
            raise InputError(f"{path} cannot be read ({error.strerror}); check its permissions.") from error
        session = self._session(ort, content, path)
        inputs = session.get_inputs()
        check_input(path, [one.name for one in inputs], inputs[0].type if inputs else "", _rank(inputs))
        info = ExportInfo.from_json(session.get_modelmeta().custom_metadata_map.get(KEY), path)
        check_seal(path, info)
        super().__init__(info, fused)
        if precision not in ("auto", self.precision):
            raise InputError(
                f"ONNX Runtime computes {path} in {self.precision}; leave precision={precision} out, or use "
                "runtime=openvino."
            )
        cut = _up_to(Path(path), LOW_RESOLUTION) if self.fused else None
        self.fused = cut is not None
        self._running = session if cut is None else self._session(ort, cut, path)

    @staticmethod
    def _session(ort: Any, model: bytes, path: str | Path) -> Any:
        options = ort.SessionOptions()
        options.intra_op_num_threads = num_threads()
        options.log_severity_level = 3
        try:
            return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # its errors have no common type
            raise InputError(f"{path} cannot be read by ONNX Runtime; it may be damaged: export it again.") from error

    def run(self, images: np.ndarray) -> np.ndarray:
        """See `ExportedRuntime.run`."""
        return self._running.run(None, {"images": images})[0]


def _rank(inputs: Sequence[Any]) -> int | None:
    return len(inputs[0].shape) if inputs and inputs[0].shape else None


def _up_to(path: Path, name: str) -> bytes | None:
    """Return the graph up to the tensor ``name``; None if it has none, or if the package onnx is missing."""
    try:
        import onnx
    except ImportError:
        return None
    model = onnx.load(path)
    needed, kept = {name}, []
    for node in reversed(model.graph.node):  # an ONNX graph is sorted topologically
        if needed & set(node.output):
            kept.append(node)
            needed |= set(node.input)
    if not any(name in node.output for node in kept):
        return None
    del model.graph.node[:], model.graph.output[:]
    model.graph.node.extend(reversed(kept))
    weights = [tensor for tensor in model.graph.initializer if tensor.name in needed]
    half = any(tensor.data_type == onnx.TensorProto.FLOAT16 for tensor in weights)
    kind = onnx.TensorProto.FLOAT16 if half else onnx.TensorProto.FLOAT
    model.graph.output.append(onnx.helper.make_tensor_value_info(name, kind, None))
    del model.graph.initializer[:]
    model.graph.initializer.extend(weights)
    return model.SerializeToString()
