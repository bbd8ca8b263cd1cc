"""Networks run with OpenVINO on a CPU."""

from __future__ import annotations

import functools
import threading
from pathlib import Path
from typing import Any

import numpy as np

from regseg.errors import InputError
from regseg.inference.export_info import KEY, LOW_RESOLUTION, ExportInfo, check_seal
from regseg.inference.exported_runtime import ExportedRuntime, check_input, require
from regseg.system.cpu import has_slow_bfloat16, num_threads

_PRECISION = "INFERENCE_PRECISION_HINT"  # of the operations that are not quantized
_FORMATS = {".onnx": ("onnx", "an ONNX file"), ".xml": ("ir", "an OpenVINO model")}
_SIZES = 4  # number of input shapes that are compiled separately


class OpenVinoRuntime(ExportedRuntime):
    """An OpenVINO model, compiled once per input size.

    Args:
        model: an `openvino.Model` whose record is ``info``; or a function that returns one with low-resolution logits,
            which `load` or the first image calls.
        info: the record.
        precision: ``auto``, ``f32`` or ``bf16``; for an int8 model, that of the layers that are not quantized.
        fused: see `ExportedRuntime`.
        streams: how many threads may call it at the same time without waiting for each other.

    Raises:
        InputError: the precision does not fit the model or the processor.
    """

    name = "openvino"

    def __init__(
        self, model: Any, info: ExportInfo, precision: str = "auto", fused: bool | None = None, streams: int = 1
    ) -> None:
        super().__init__(info, fused)
        _openvino()
        self._source = model
        self.fused = self.fused and (callable(model) or _output_named(model, LOW_RESOLUTION) is not None)
        hint = _hint(precision, info.precision)
        self.precision = "int8" if info.precision == "int8" else hint
        self._options = {
            "PERFORMANCE_HINT": "LATENCY",
            _PRECISION: hint,
            "INFERENCE_NUM_THREADS": num_threads(),
            "NUM_STREAMS": streams,
        }
        self._compiled: dict[tuple[int, ...] | None, Any] = {}
        self._compiling = threading.Lock()
        self._of_thread = threading.local()  # a request serves one call at a time

    @classmethod
    def from_file(
        cls, path: str | Path, precision: str = "auto", fused: bool | None = None, streams: int = 1
    ) -> OpenVinoRuntime:
        """Open an exported .xml or .onnx file.

        Raises:
            InputError: it is missing, damaged or from another project, or OpenVINO is missing.
        """
        model, info = read_model(path)
        return cls(model, info, precision, fused, streams)

    @functools.cached_property
    def _model(self) -> Any:
        """The model that is compiled for every size, up to the low-resolution logits if `fused`."""
        model = self._source() if callable(self._source) else self._source
        self._source = model  # releases the PyTorch network that was converted
        low = _output_named(model, LOW_RESOLUTION) if self.fused else None
        return model if low is None else _openvino().Model([low], model.get_parameters())

    def load(self) -> None:
        """See `regseg.inference.runtimes.Runtime`."""
        super().load()
        with self._compiling:
            _ = self._model

    def run(self, images: np.ndarray) -> np.ndarray:
        """See `ExportedRuntime.run`."""
        request = self._request(images.shape)
        images = np.ascontiguousarray(images)  # kept until the end, because the tensor does not own its memory
        request.set_input_tensor(_openvino().Tensor(images, shared_memory=True))
        request.infer()
        return request.get_output_tensor().data.copy()

    def _request(self, shape: tuple[int, ...]) -> Any:
        """Return this thread's inference request for a shape."""
        compiled = self._compile(shape)
        requests: dict[Any, Any] = self._of_thread.__dict__.setdefault("requests", {})
        if compiled not in requests:
            requests[compiled] = compiled.create_infer_request()
        return requests[compiled]

    def _compile(self, shape: tuple[int, ...]) -> Any:
        """Return the model compiled for ``shape`` if it is among the first `_SIZES` shapes, else for any shape."""
        with self._compiling:
            key = shape if shape in self._compiled or len(self._compiled) < _SIZES else None
            if key not in self._compiled:
                model = self._model.clone()
                if key is not None:
                    model.reshape(list(key))
                compile_model = _for_any_shape if key is None else _for_its_shape
                try:
                    self._compiled[key] = compile_model(model, self._options)
                except RuntimeError:
                    # With AMX, OpenVINO 2026.4 cannot combine int8 and bfloat16 in graphs that NNCF quantized as ONNX.
                    if self.precision != "int8" or self._options[_PRECISION] == "f32":
                        raise
                    self._options[_PRECISION] = "f32"
                    self._compiled[key] = compile_model(model, self._options)
            return self._compiled[key]


def _for_its_shape(model: Any, options: dict[str, Any]) -> Any:
    return _core().compile_model(model, "CPU", options)


def _for_any_shape(model: Any, options: dict[str, Any]) -> Any:
    """Compile a model without OpenVINO's cache of what it prepared for each shape, which grows with every shape."""
    try:
        return _core().compile_model(model, "CPU", options | {"CPU_RUNTIME_CACHE_CAPACITY": 0})
    except RuntimeError:  # the option is not documented, so another version may refuse it
        return _core().compile_model(model, "CPU", options)


def read_model(path: str | Path) -> tuple[Any, ExportInfo]:
    """Return an exported .xml or .onnx file as an `openvino.Model`, and its record.

    Raises:
        InputError: it is missing, damaged or from another project, or OpenVINO is missing.
    """
    _openvino()
    path = Path(path)
    for needed in (path, path.with_suffix(".bin")) if path.suffix == ".xml" else (path,):
        if not needed.is_file():
            raise InputError(f"There is no file {needed}; check the path.")
    framework, kind = _FORMATS[path.suffix]
    # OpenVINO would try all formats that it knows, and those of TensorFlow print messages.
    if not _frontends().load_by_framework(framework).supported(path):
        raise InputError(f"{path} is not {kind}; download or copy it again, or export it again.")
    try:
        model = _model_in(path)
        place = ["framework", KEY] if path.suffix == ".onnx" else [KEY]
        text = model.get_rt_info(place).value if model.has_rt_info(place) else None
    except RuntimeError as error:
        raise InputError(f"{path} cannot be read by OpenVINO; it may be damaged: export it again.") from error
    info = ExportInfo.from_json(text if isinstance(text, str) else None, path)
    rank = model.inputs[0].partial_shape.rank if model.inputs else None
    length = rank.get_length() if rank is not None and rank.is_static else None
    kind = model.inputs[0].element_type.get_type_name() if model.inputs else ""
    check_seal(path, info)
    check_input(path, [name for one in model.inputs for name in one.get_names()], kind, length)
    return model, info


def _model_in(path: Path) -> Any:
    """Return the model in a file, also on file systems that cannot map it into memory, such as some FUSE mounts."""
    try:
        return _core().read_model(path)
    except RuntimeError as error:
        if "mapping" not in str(error):
            raise
    _core().set_property({"ENABLE_MMAP": False})
    return _core().read_model(path)


def has_bfloat16() -> bool:
    """Return whether OpenVINO computes in bfloat16 on this processor; elsewhere it ignores that precision."""
    return "BF16" in _core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def _hint(precision: str, exported: str) -> str:
    if precision == "auto":
        return "bf16" if has_bfloat16() and not has_slow_bfloat16() else "f32"
    if precision == "bf16" and not has_bfloat16():
        raise InputError("OpenVINO cannot compute in bf16 on this processor; leave precision=bf16 out.")
    if exported == "bf16" and precision == "f32":
        raise InputError("The file was exported in bf16; leave precision out, or export it in f32.")
    return precision


def _output_named(model: Any, name: str) -> Any:
    """Return the output of an operation in a model by the name of its tensor; None if there is none."""
    for operation in model.get_ops():
        if operation.get_type_name() != "Result":
            for output in operation.outputs():
                if name in output.get_names():
                    return output
    return None


def _openvino() -> Any:
    return require("openvino", "openvino", "runtime=openvino")


@functools.cache
def _frontends() -> Any:
    return require("openvino.frontend", "openvino", "runtime=openvino").FrontEndManager()


@functools.cache
def _core() -> Any:
    return _openvino().Core()
