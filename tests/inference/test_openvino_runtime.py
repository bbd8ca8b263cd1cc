"""Exported files and networks run with OpenVINO."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from layouts import is_sentence

from regseg.data.datasets.cityscapes import SPEC
from regseg.errors import InputError
from regseg.inference import openvino_runtime
from regseg.inference.conversion import to_openvino
from regseg.inference.export_check import _runtime_of
from regseg.inference.export_info import ExportInfo
from regseg.inference.folding import ExportNetwork
from regseg.inference.openvino_runtime import OpenVinoRuntime, read_model

pytest.importorskip("openvino")


@pytest.mark.parametrize("refuses", [False, True])
def test_the_first_shapes_are_compiled_separately(exported, monkeypatch, refuses):
    """The model for all other shapes keeps nothing for each of them, if OpenVINO has the option."""
    path, core, options = exported("openvino"), openvino_runtime._core(), []

    def compile_model(model, device, given):
        if refuses and "CPU_RUNTIME_CACHE_CAPACITY" in given:
            raise RuntimeError("Unsupported property")
        options.append(given.get("CPU_RUNTIME_CACHE_CAPACITY"))
        return core.compile_model(model, device, given)

    fake = SimpleNamespace(read_model=core.read_model, compile_model=compile_model, get_property=core.get_property)
    monkeypatch.setattr(openvino_runtime, "_core", lambda: fake)
    monkeypatch.setattr(openvino_runtime, "_SIZES", 2)
    runtime = OpenVinoRuntime.from_file(path, "f32")
    for side in (32, 64, 32, 96, 128):
        assert runtime(np.zeros((1, side, 32, 3), np.uint8)).shape == (1, side, 32)
    assert list(runtime._compiled) == [(1, 32, 32, 3), (1, 64, 32, 3), None]
    assert options == [None, None, None if refuses else 0]


CONTENTS = {
    "a page of a server": b"<html>404 Not Found</html>",
    "a pointer of Git LFS": b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n",
    "a checkpoint": b"PK\3\4" + bytes(99),
    "bytes": bytes(range(8, 99)),
    "nothing": b"",
}


@pytest.mark.parametrize("suffix", [".onnx", ".xml"])
@pytest.mark.parametrize("content", CONTENTS.values(), ids=list(CONTENTS))
def test_other_content_is_refused_without_messages_of_other_formats(tmp_path, capfd, content, suffix):
    path = tmp_path / f"model{suffix}"
    path.write_bytes(content)
    path.with_suffix(".bin").write_bytes(b"")
    with pytest.raises(InputError) as error:
        read_model(path)
    assert is_sentence(error, path, "ONNX" if suffix == ".onnx" else "OpenVINO", "export it again")
    assert capfd.readouterr() == ("", "")


def test_bf16_needs_its_instructions(exported, monkeypatch):
    """Without them, OpenVINO would compute in float32 without saying so."""
    path, core = exported("openvino"), openvino_runtime._core()
    fake = SimpleNamespace(read_model=core.read_model, get_property=lambda *_: ["FP32", "INT8"])
    monkeypatch.setattr(openvino_runtime, "_core", lambda: fake)
    assert OpenVinoRuntime.from_file(path).precision == "f32"
    with pytest.raises(InputError, match=r"cannot compute in bf16 on this processor; leave precision=bf16 out\."):
        OpenVinoRuntime.from_file(path, "bf16")
    assert _runtime_of(Path("model.xml"), "bf16") == ("openvino", "auto")


@pytest.mark.parametrize("precision", ["int8", "bf16"])
def test_int8_runs_where_it_cannot_be_combined_with_bf16(exported, monkeypatch, precision):
    """As ONNX graphs with AMX; a graph that is not quantized keeps the precision that it was opened with."""
    core, used = openvino_runtime._core(), []

    def compile_model(model, device, given):
        used.append(given[openvino_runtime._PRECISION])
        if used[-1] == "bf16":
            raise RuntimeError("No suitable implementations.")
        return core.compile_model(model, device, given)

    model, info = read_model(exported("openvino"))
    runtime = OpenVinoRuntime(model, replace(info, precision=precision), "f32" if precision == "int8" else "auto")
    runtime._options[openvino_runtime._PRECISION] = "bf16"
    monkeypatch.setattr(openvino_runtime, "_core", lambda: SimpleNamespace(compile_model=compile_model))
    image = np.zeros((1, 32, 32, 3), np.uint8)
    if precision == "int8":
        assert runtime(image).shape == (1, 32, 32) and used == ["bf16", "f32"]
    else:
        with pytest.raises(RuntimeError, match="No suitable"):
            runtime(image)
        assert used == ["bf16"]


def test_threads_share_a_runtime(exported, photograph):
    runtime = OpenVinoRuntime.from_file(exported("openvino"), "f32", streams=2)
    images = [photograph[None], photograph[None, ::-1], photograph[None, :, ::-1]]
    expected = [runtime(image) for image in images]
    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(runtime, images * 3))
    assert all((one == other).all() for one, other in zip(found, expected * 3, strict=True))


def test_a_network_in_memory_gives_the_labels_of_its_file(network, exported, photograph):
    runtime = OpenVinoRuntime(lambda: to_openvino(ExportNetwork(network)), ExportInfo(SPEC), "f32")
    assert (runtime(photograph[None]) == OpenVinoRuntime.from_file(exported("openvino"), "f32")(photograph[None])).all()


def test_a_file_in_bf16_does_not_run_in_f32(exported, trained):
    with pytest.raises(InputError, match="exported in bf16; leave precision out"):
        OpenVinoRuntime.from_file(exported("openvino", trained, precision="bf16"), "f32")


def test_weights_that_are_missing_are_named(exported, tmp_path):
    (tmp_path / "model.xml").write_bytes(exported("openvino").read_bytes())
    with pytest.raises(InputError, match=r"There is no file .*model\.bin"):
        read_model(tmp_path / "model.xml")


def test_a_file_system_without_memory_mapping_is_read(exported, monkeypatch):
    """Such as some FUSE and 9p mounts."""
    core, options = openvino_runtime._core(), {}

    def read(path):
        if options.get("ENABLE_MMAP", True):
            raise RuntimeError("Can not create file mapping for 5, err=No such device")
        return core.read_model(path)

    fake = SimpleNamespace(read_model=read, set_property=options.update)
    monkeypatch.setattr(openvino_runtime, "_core", lambda: fake)
    assert read_model(exported("openvino"))[0].inputs and options == {"ENABLE_MMAP": False}
