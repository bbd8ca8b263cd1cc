"""What `weights` may name."""

from pathlib import Path

import pytest
from layouts import is_sentence

from regseg.errors import InputError
from regseg.system import weights_files
from regseg.system.weights_files import list_weights, resolve_weights, shown_weights


@pytest.fixture
def shipped(monkeypatch, tmp_path):
    folder = tmp_path / "shipped"
    folder.mkdir()
    (folder / "streets.safetensors").write_bytes(b"")
    (folder / "streets.md").write_text("a model card")
    monkeypatch.setattr(weights_files, "SHIPPED", folder)
    return folder


def test_names_of_shipped_weights(shipped):
    assert list_weights() == ["streets"]
    assert resolve_weights("streets") == shipped / "streets.safetensors"
    assert resolve_weights("other") == Path("other")


def test_people_see_the_name_of_shipped_weights(shipped):
    assert shown_weights(resolve_weights("streets")) == shown_weights(str(shipped / "streets.safetensors")) == "streets"
    assert shown_weights("runs/best.ckpt") == "runs/best.ckpt"


def test_a_mistyped_name(shipped):
    with pytest.raises(InputError, match=r"There is no checkpoint street; did you mean streets\?$"):
        resolve_weights("street")


@pytest.mark.parametrize("wrong", [None, 5, ["a.ckpt"]])
def test_weights_of_another_type(wrong):
    with pytest.raises(InputError, match=r"The weights are of the type \w+; give a name, or the path of a file or of"):
        resolve_weights(wrong)


def test_a_folder_of_that_name_needs_its_path(shipped, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "streets").mkdir()
    (tmp_path / "streets" / "last.ckpt").write_bytes(b"")
    assert resolve_weights("streets") == shipped / "streets.safetensors"
    assert resolve_weights("./streets") == Path("streets/last.ckpt")


def test_a_runs_folder(tmp_path, capsys):
    (tmp_path / "checkpoints").mkdir()
    with pytest.raises(InputError, match=r"contains no best\.ckpt or last\.ckpt"):
        resolve_weights(tmp_path)
    (tmp_path / "checkpoints" / "last.ckpt").write_bytes(b"")
    assert resolve_weights(tmp_path).name == "last.ckpt"
    assert f"Using {tmp_path / 'checkpoints' / 'last.ckpt'}." in capsys.readouterr().out
    (tmp_path / "checkpoints" / "best.ckpt").write_bytes(b"")
    assert resolve_weights(tmp_path).name == "best.ckpt"


def test_half_of_an_openvino_model(tmp_path):
    (tmp_path / "model.xml").write_bytes(b"")
    with pytest.raises(InputError, match=r"model\.bin contains the weights of .*model\.xml"):
        resolve_weights(tmp_path / "model.bin")


def test_a_graph_whose_suffix_is_in_capitals(tmp_path):
    (tmp_path / "MODEL.ONNX").touch()
    with pytest.raises(InputError) as error:
        resolve_weights(tmp_path / "MODEL.ONNX")
    assert is_sentence(error, "rename it to MODEL.onnx")


def test_the_home_of_an_unknown_user_is_a_missing_file(tmp_path):
    assert resolve_weights("~no_such_user/net.ckpt") == Path("~no_such_user/net.ckpt")
