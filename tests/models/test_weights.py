"""Loading and saving of weights: checkpoints, state dicts, fine-tuning, and invalid files."""

import json
import os
import pickle
import time

import pytest
import torch

import regseg
from regseg.data.datasets.cityscapes import SPEC
from regseg.errors import InputError
from regseg.models import load_model, save_weights
from regseg.models.weights import read_checkpoint
from regseg.system.checkpoint_file import classes_in

SMALL = {"backbone": [[1], [1, 2]]}


def small(num_classes=19, **parts):
    return regseg.create_model(**SMALL | parts, num_classes=num_classes)


def lightning_checkpoint(model, **more):
    """A Lightning checkpoint of this project: the network among other tensors, and training state."""
    state = {f"network.{name}": tensor for name, tensor in model.state_dict().items()}
    return {
        "state_dict": {**state, "loss.weight": torch.ones(19)},
        "hyper_parameters": {"network": model.config, "lr": 0.05},
        "epoch": 3,
        "optimizer_states": [{"state": {}, "param_groups": [{"lr": 0.05}]}],
        **more,
    }


def equal(model, other):
    theirs = other.state_dict()
    return all(torch.equal(tensor, theirs[name]) for name, tensor in model.state_dict().items())


@pytest.mark.parametrize("layout", ["lightning", "plain", "compiled"])
def test_lightning_checkpoints(layout, tmp_path, capsys):
    trained, model = small(), small()
    content = {
        "lightning": lightning_checkpoint(trained),
        "plain": trained.state_dict(),
        "compiled": {"state_dict": {f"network._orig_mod.{k}": v for k, v in trained.state_dict().items()}},
    }[layout]
    torch.save(content, tmp_path / "last.ckpt")
    report = regseg.load_weights(model, tmp_path / "last.ckpt")
    assert equal(model, trained)
    assert not report.by_author and not report.skipped
    assert set(report.loaded) == set(model.state_dict())
    assert capsys.readouterr().out == f"{report}\n"
    assert str(report) == f"Loaded {len(report.loaded)} of {len(report.loaded)} tensors from {tmp_path / 'last.ckpt'}."


@pytest.mark.parametrize(
    "prefix",
    [
        "module.",
        "module.network.",
        "network.module.",
        "network._orig_mod.module.",
        "_orig_mod.module.",
        "module.module.",
    ],
)
def test_prefixes_of_wrappers_are_removed(prefix):
    """DataParallel, torch.compile and a LightningModule add them, and tensors of their own."""
    trained, model = small(), small()
    state = {f"{prefix}{name}": tensor for name, tensor in trained.state_dict().items()}
    report = regseg.load_weights(model, {"state_dict": {"n_averaged": torch.tensor(3), **state}})
    assert equal(model, trained) and not report.skipped


def test_dataparallel_and_averaged_weights_of_a_model_with_compiled_parts():
    trained, model = small(), small()
    state = torch.optim.swa_utils.AveragedModel(torch.nn.DataParallel(trained)).state_dict()
    state = {name.replace(".decoder.", ".decoder._orig_mod."): tensor for name, tensor in state.items()}
    regseg.load_weights(model, state)
    assert equal(model, trained)


def test_a_state_dict():
    trained, model = small(), small()
    regseg.load_weights(model, trained.state_dict())
    assert equal(model, trained)


def test_into_a_compiled_model():
    trained, model = small(), small()
    regseg.load_weights(torch.compile(model, backend="eager"), trained.state_dict())
    assert equal(model, trained)


@pytest.mark.parametrize("arguments", [SMALL, {"decoder": "lraspp"}, {"name": "ddrnet23", "num_classes": 4}])
def test_save_and_load_model(arguments, tmp_path):
    model = regseg.create_model(**arguments)
    save_weights(model, tmp_path / "new" / "weights.pt")
    again = load_model(tmp_path / "new" / "weights.pt")
    assert again.config == model.config and not again.training
    assert equal(again, model)


def test_load_model_reads_lightning_checkpoints(tmp_path):
    torch.save(lightning_checkpoint(small(3)), tmp_path / "last.ckpt")
    assert load_model(tmp_path / "last.ckpt").config["num_classes"] == 3


def test_load_model_needs_a_config(tmp_path):
    torch.save(small().state_dict(), tmp_path / "plain.pt")
    with pytest.raises(InputError, match=r"plain.pt does not record its model"):
        load_model(tmp_path / "plain.pt")


@pytest.mark.parametrize(
    ("parts", "classifier"),
    [
        ({}, ["decoder.classifier.weight", "decoder.classifier.bias"]),
        (
            {"decoder": "lraspp"},
            [f"decoder.{level}_classifier.{kind}" for level in ("low", "high") for kind in ("weight", "bias")],
        ),
        ({"decoder": "sfnet"}, ["decoder.classifier.weight", "decoder.classifier.bias"]),
    ],
)
def test_another_class_count_keeps_all_but_the_classifier(parts, classifier, capsys):
    trained, model = small(19, **parts), small(11, **parts)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    report = regseg.load_weights(model, lightning_checkpoint(trained))
    assert list(report.skipped) == classifier
    assert set(report.skipped.values()) == {"the file has 19 classes, the model 11"}
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, before[name] if name in classifier else trained.state_dict()[name])
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith("Loaded ")
    reason = "the file has 19 classes, the model 11"
    assert second == f"Skipped {', '.join(classifier)}: {reason}; these tensors keep their initial values."


def test_another_class_count_of_ddrnet():
    report = regseg.load_weights(
        regseg.create_model("ddrnet23", num_classes=2), regseg.create_model("ddrnet23").state_dict()
    )
    assert list(report.skipped) == ["head.classifier.weight", "head.classifier.bias"]


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


def test_the_backbone_alone_fits_another_decoder(tmp_path):
    source, target = regseg.create_model(decoder="lraspp"), regseg.create_model(num_classes=3)
    regseg.save_weights(source, tmp_path / "a.ckpt")
    before = {name: value.clone() for name, value in target.state_dict().items()}
    report = regseg.load_weights(target, tmp_path / "a.ckpt", part="backbone")
    after, theirs = target.state_dict(), source.state_dict()
    for name, value in after.items():
        own = not name.startswith(("stem.", "backbone."))
        assert torch.equal(value, before[name] if own else theirs[name])
        assert (name in report.loaded) == (not own) == (name not in report.skipped)
    other = regseg.create_model(backbone="dilation_1_6")
    with pytest.raises(InputError, match="dilation_1_14"):
        regseg.load_weights(other, tmp_path / "a.ckpt", part="backbone")
    with pytest.raises(InputError, match="weights_part=decoder"):
        regseg.load_weights(other, tmp_path / "a.ckpt", part="decoder")


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


def test_weights_of_8_bits_are_read():
    state = changed(lambda state: state.update({"stem.bn.weight": state["stem.bn.weight"].to(torch.float8_e4m3fn)}))
    regseg.load_weights(model := small(), state)
    assert model.stem.bn.weight.dtype == torch.float32
    variances = {"stem.bn.running_var": torch.ones(32).to(torch.float8_e4m3fn)}
    regseg.load_weights(model, state | variances)
    with pytest.raises(InputError, match="negative variances"):
        regseg.load_weights(model, state | {name: (-one.float()).to(one.dtype) for name, one in variances.items()})
    with pytest.raises(InputError, match="not finite"):
        regseg.load_weights(model, state | {"stem.bn.weight": torch.full((32,), torch.nan).to(torch.float8_e4m3fn)})


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
    from safetensors.torch import save_file

    save_file(small().state_dict(), tmp_path / "net.safetensors", {"regseg": record})
    began = time.monotonic()
    with pytest.raises(InputError, match=r"net\.safetensors") as error:
        regseg.models.load_model(tmp_path / "net.safetensors")
    assert "\n" not in str(error.value) and len(str(error.value)) < 1000 and time.monotonic() - began < 10


def test_another_decoder_hints_at_the_backbone():
    trained, other = regseg.create_model(), regseg.create_model(decoder="lraspp")
    with pytest.raises(InputError, match="weights_part=backbone"):
        regseg.load_weights(other, trained.state_dict())
    with pytest.raises(InputError) as error:
        regseg.load_weights(regseg.create_model("ddrnet23"), trained.state_dict())
    assert "weights_part" not in str(error.value)


def test_many_skipped_tensors_are_counted(capsys):
    regseg.load_weights(regseg.create_model(decoder="lraspp"), regseg.create_model().state_dict(), part="backbone")
    assert " and 7 more: it does not belong to the backbone" in capsys.readouterr().out


def test_what_is_no_model_or_no_weights_is_named(tmp_path):
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


def test_classes_are_saved_if_the_model_has_as_many(tmp_path):
    for spec in (SPEC, SPEC.to_dict()):
        save_weights(small(), tmp_path / "a.ckpt", spec=spec)
        assert classes_in(tmp_path / "a.ckpt") == list(SPEC.classes)
    for model, spec, words in (
        (small(11), SPEC, "spec has 19 classes and the model 11"),
        (small(), list(SPEC.classes), "spec is of the type list and lists no classes; give datamodule.spec"),
        (small(), {"name": "mine"}, "lists no classes"),
    ):
        with pytest.raises(InputError, match=words):
            save_weights(model, tmp_path / "b.ckpt", spec=spec)
    assert not (tmp_path / "b.ckpt").exists()
