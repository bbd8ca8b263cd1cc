"""`python -m regseg.export`: what it refuses and what it replaces."""

import pytest
from layouts import noise, write


def test_an_export_is_not_exported_again(run_module, tmp_path):
    (tmp_path / "model.onnx").touch()
    done = run_module("regseg.export", "weights=model.onnx", "format=openvino", "out=again.xml")
    assert done.returncode == 2 and "is already an export" in done.stderr, done.stderr


@pytest.mark.parametrize("size", ["512", "[64]", "[64,16]", "[64,x]", "[64,99999]"])
def test_a_wrong_size_is_one_sentence(run_module, tiny_weights, size):
    done = run_module("regseg.export", f"weights={tiny_weights}", f"size={size}")
    assert done.returncode == 2 and "size=" in done.stderr and len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("default", [True, False])
def test_an_existing_file_is_replaced_only_with_overwrite(run_module, tiny_weights, tmp_path, default):
    """Also at the default place, next to the weights; for OpenVINO also if only the .bin exists."""
    weights = tmp_path / "best.ckpt"
    weights.write_bytes(tiny_weights.read_bytes())
    taken = tmp_path / ("best.safetensors" if default else "other.bin")
    taken.write_bytes(b"kept")
    options = ["format=torch"] if default else ["format=openvino", f"out={tmp_path / 'other.xml'}"]
    done = run_module("regseg.export", f"weights={weights}", *options)
    assert done.returncode == 2 and f"{taken} exists; choose another out, or overwrite=true" in done.stderr
    assert taken.read_bytes() == b"kept" and len(done.stderr.splitlines()) == 1
    if default:
        done = run_module("regseg.export", f"weights={weights}", *options, "overwrite=true")
        assert done.returncode == 0 and taken.stat().st_size > 10000, done.stderr
        (tmp_path / "best.onnx").mkdir()
        done = run_module("regseg.export", f"weights={weights}", "overwrite=true")
        assert done.returncode == 2 and "is a folder" in done.stderr


@pytest.mark.slow
def test_shipped_weights_are_exported_into_the_current_folder(run_module, tmp_path):
    done = run_module("regseg.export", "weights=camvid_360", "format=onnx")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "camvid_360.onnx").is_file() and "Exported to camvid_360.onnx" in done.stdout


def test_weights_that_record_no_folder_of_their_dataset(run_module, tmp_path):
    """Shipped weights are named as they are typed, not by a path in the installed package."""
    done = run_module("regseg.evaluate", "weights=camvid_360")
    assert done.returncode == 2
    assert done.stderr == ("regseg: camvid_360 does not record the folder of its dataset; add data.root=FOLDER.\n")
    done = run_module("regseg.evaluate", "weights=camvid_360", "data=streets")
    assert done.returncode == 2 and done.stderr.startswith("regseg: camvid_360 was trained for other classes")
    write(tmp_path / "a.png", noise(0))
    done = run_module("regseg.predict", "source=a.png", "runtime=onnxruntime")
    assert done.returncode == 2 and "weights=camvid_360 format=onnx" in done.stderr, done.stderr


def test_int8_needs_the_dataset(run_module, tiny_weights, tmp_path):
    done = run_module("regseg.export", "weights=camvid_360", "precision=int8")
    assert (done.returncode, done.stdout) == (2, "")
    words = (
        "calibrated on training images, and those of camvid_360 were not found; set data.root=FOLDER to its dataset."
    )
    assert words in done.stderr and len(done.stderr.splitlines()) == 1
    done = run_module("regseg.export", f"weights={tiny_weights}", "precision=int8", f"data.root={tmp_path}")
    assert done.returncode == 2 and len(done.stderr.splitlines()) == 1
    assert "net.ckpt records no dataset, which precision=int8 needs; export a training" in done.stderr
