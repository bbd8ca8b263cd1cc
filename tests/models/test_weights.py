"""Loading and saving of weights; tests/models/test_refused_weights.py has those that are refused."""

import pytest
import torch
from small import SMALL, equal, lightning_checkpoint, small

import regseg
from regseg.data.datasets.cityscapes import SPEC
from regseg.errors import InputError
from regseg.models import load_model, save_weights
from regseg.system.checkpoint_file import classes_in


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


@pytest.mark.parametrize("names", [("sky", "road"), None])
def test_a_classifier_of_other_classes_is_not_loaded_if_their_names_are_given(names, capsys):
    trained, model = small(2), small(2)
    content = lightning_checkpoint(trained)
    content["hyper_parameters"]["spec"] = {"classes": ["road", "sky"]}
    content["state_dict"] = dict(reversed(content["state_dict"].items()))  # the order is that of the model
    kept = model.decoder.classifier.weight.clone()
    report = regseg.load_weights(model, content, classes=names)
    assert torch.equal(model.decoder.classifier.weight, trained.decoder.classifier.weight if names is None else kept)
    if names:
        assert list(report.skipped) == ["decoder.classifier.weight", "decoder.classifier.bias"]
        assert ": the file has other classes or another order (road, sky); " in capsys.readouterr().out
    assert not regseg.load_weights(model, content, classes=("road", "sky")).skipped


def test_another_class_count_of_ddrnet():
    report = regseg.load_weights(
        regseg.create_model("ddrnet23", num_classes=2), regseg.create_model("ddrnet23").state_dict()
    )
    assert list(report.skipped) == ["head.classifier.weight", "head.classifier.bias"]


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


def test_weights_of_8_bits_are_read():
    model = small()
    state = model.state_dict()
    state["stem.bn.weight"] = state["stem.bn.weight"].to(torch.float8_e4m3fn)
    regseg.load_weights(model, state)
    assert model.stem.bn.weight.dtype == torch.float32
    variances = {"stem.bn.running_var": torch.ones(32).to(torch.float8_e4m3fn)}
    regseg.load_weights(model, state | variances)
    with pytest.raises(InputError, match="negative variances"):
        regseg.load_weights(model, state | {name: (-one.float()).to(one.dtype) for name, one in variances.items()})
    with pytest.raises(InputError, match="not finite"):
        regseg.load_weights(model, state | {"stem.bn.weight": torch.full((32,), torch.nan).to(torch.float8_e4m3fn)})


def test_many_skipped_tensors_are_counted(capsys):
    regseg.load_weights(regseg.create_model(decoder="lraspp"), regseg.create_model().state_dict(), part="backbone")
    assert " and 7 more: not part of the backbone" in capsys.readouterr().out


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
