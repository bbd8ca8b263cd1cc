"""Weights that are refused: of other models, damaged, crafted, or no weights at all."""

import json
import os
import pickle
import time

import pytest
import torch
from safetensors.torch import save_file
from small import lightning_checkpoint, small

import regseg
from regseg.errors import InputError
from regseg.models import load_model, save_weights
from regseg.models.weights import read_checkpoint


def _half_resized(model):
    state = model.state_dict()
    state["decoder.classifier.bias"] = torch.zeros(4)
    return state


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (lambda: regseg.create_model("ddrnet23").state_dict(), "stem.conv.weight is missing in the file"),
        (lambda: small(decoder="lraspp").state_dict(), "decoder.head16.conv.weight is missing"),
        (lambda: small(backbone=[[1], [1, 2], [1, 2]]).state_dict(), r"stage16.2.conv1.conv.weight is \[256"),
        (
            lambda: small(backbone=[[1], [1]]).state_dict(),
            r"branches.0.weight is \[320, 16, 3, 3\] in the file and \[160",
        ),
        (lambda: lightning_checkpoint(small(backbone=[[1], [1, 4]])), r"saved from \[\[1\], \[1, 4\]\] \+ regseg"),
        (lambda: _half_resized(small()), "decoder.classifier.bias"),
        (lambda: {"state_dict": {"network.stem.conv.weight": torch.zeros(32, 3, 3, 3)}}, "stem.bn.weight is missing"),
    ],
    ids=["ddrnet", "decoder", "deeper", "unsplit", "rates", "half", "stem alone"],
)
def test_weights_of_other_models_are_refused_and_change_nothing(content, words):
    model = small()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with pytest.raises(InputError, match=words) as error:
        regseg.load_weights(model, content())
    assert "\n" not in str(error.value) and len(str(error.value)) < 500
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_another_decoder_hints_at_the_backbone():
    trained, other = regseg.create_model(), regseg.create_model(decoder="lraspp")
    with pytest.raises(InputError, match="weights_part=backbone"):
        regseg.load_weights(other, trained.state_dict())
    with pytest.raises(InputError) as error:
        regseg.load_weights(regseg.create_model("ddrnet23"), trained.state_dict())
    assert "weights_part" not in str(error.value)


class Malicious:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


@pytest.mark.parametrize("layout", ["zip", "old", "pickle"])
def test_files_that_would_run_code_are_refused(layout, tmp_path):
    path, trace = tmp_path / "evil.pth", tmp_path / "ran"
    content = {**small().state_dict(), "extra": Malicious(trace)}
    if layout == "pickle":
        path.write_bytes(pickle.dumps({"extra": Malicious(trace)}, protocol=2))
    else:
        torch.save(content, path, _use_new_zipfile_serialization=layout == "zip")
    with pytest.raises(InputError, match=r"evil.pth would run code \(posix.system\)"):
        regseg.load_weights(small(), path)
    assert not trace.exists()


def test_a_whole_pickled_model_is_refused(tmp_path):
    torch.save(small(), tmp_path / "model.pth")
    with pytest.raises(InputError, match=r"would run code \(regseg.models.regseg.RegSeg\)"):
        regseg.load_weights(small(), tmp_path / "model.pth")


def damaged(tmp_path, kind):
    path = tmp_path / f"{kind}.pth"
    torch.save(small().state_dict(), path, _use_new_zipfile_serialization=kind != "old truncated")
    whole = path.read_bytes()
    path.write_bytes(
        {
            "truncated": whole[: len(whole) // 2],
            "old truncated": whole[: len(whole) // 2],
            "head": whole[:100],
            "empty": b"",
            "web page": b"<html>404</html>",
            "picture": b"\x89PNG\r\n\x1a\n" + bytes(range(256)),
        }[kind]
    )
    return path


@pytest.mark.parametrize("kind", ["truncated", "old truncated", "head", "empty", "web page", "picture"])
def test_damaged_files_are_refused(kind, tmp_path, recwarn):
    path = damaged(tmp_path, kind)
    with pytest.raises(InputError, match="is not a PyTorch checkpoint, or it is damaged") as error:
        regseg.load_weights(small(), path)
    assert str(path) in str(error.value)
    assert not recwarn.list


def test_missing_files_are_refused(tmp_path):
    for path in (tmp_path / "none.pth", tmp_path):
        with pytest.raises(InputError, match=r"is no checkpoint|contains no best.ckpt"):
            regseg.load_weights(small(), str(path))


@pytest.mark.parametrize("content", [[1, 2], {"epoch": 3}, {"state_dict": {}}, {}, torch.zeros(3)])
def test_files_without_weights_are_refused(content, tmp_path):
    torch.save(content, tmp_path / "other.pt")
    with pytest.raises(InputError, match=r"other.pt contains no weights"):
        read_checkpoint(tmp_path / "other.pt")


def changed(change):
    state = small().state_dict()
    change(state)
    return state


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda state: state.update({"stem.bn.running_var": -state["stem.bn.running_var"]}), "negative variances"),
        (lambda state: state.update({"stem.bn.running_mean": torch.full((32,), torch.nan)}), "not finite"),
        (
            lambda state: state.update({"stem.bn.weight": torch.full((32,), torch.nan).to(torch.complex64)}),
            "not finite",
        ),
        (lambda state: state.update({"stem.conv.weight": state["stem.conv.weight"].to(torch.int8)}), "torch.int8"),
        (lambda state: state.update({"stem.conv.weight": state["stem.conv.weight"] > 0}), "torch.bool"),
    ],
)
def test_weights_that_compute_nothing_sensible_are_refused(change, words):
    with pytest.raises(InputError, match=words):
        regseg.load_weights(small(), changed(change))


@pytest.mark.parametrize(
    "record",
    [
        "[" * 100_000,
        "\x00",
        json.dumps({"network": {"name": "regseg", "num_classes": 10**18}}),
        json.dumps({"network": {"name": "regseg", "backbone": [[10**30]]}}),
        json.dumps({"network": {"name": "regseg", "backbone": [[1]] * 10_000}}),
        json.dumps({"network": {"name": "regseg", "backbone": [[1] * 10_000]}}),
        json.dumps({"network": {"name": "os.system"}}),
    ],
)
def test_a_crafted_record_of_an_export_is_one_sentence(record, tmp_path):
    save_file(small().state_dict(), tmp_path / "net.safetensors", {"regseg": record})
    began = time.monotonic()
    with pytest.raises(InputError, match=r"net\.safetensors") as error:
        regseg.models.load_model(tmp_path / "net.safetensors")
    assert "\n" not in str(error.value) and len(str(error.value)) < 1000 and time.monotonic() - began < 10


def test_what_is_not_a_model_or_weights_is_named(tmp_path):
    path = tmp_path / "a.ckpt"
    save_weights(small(), path)
    for use, words in (
        (lambda: regseg.load_weights(small(), small()), "The weights are of the type RegSeg; give a name"),
        (lambda: regseg.load_weights("regseg", path), "The model is of the type str; give one of regseg.create_model"),
        (lambda: save_weights(path, small()), "The model is of the type PosixPath"),
        (lambda: save_weights(small(), f"{tmp_path}/"), "is a folder; give a file in it, such as .*own.ckpt"),
        (lambda: load_model(None), "The weights are of the type NoneType"),
        (lambda: regseg.create_model(weights=5), "The weights are of the type int"),
    ):
        with pytest.raises(InputError, match=words):
            use()
