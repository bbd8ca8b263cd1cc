"""`create_model`: names, configs and invalid arguments."""

import pytest
import torch

import regseg
from regseg.errors import InputError


def test_names():
    assert regseg.list_models() == ["regseg", "regseg_large", "ddrnet23"]
    assert regseg.list_backbones()[0] == "dilation_1_14" and regseg.list_decoders()[0] == "regseg"  # those of RegSeg


def test_weights_decide_the_number_of_classes(tmp_path, capsys):
    saved = regseg.create_model(backbone=[[1]], decoder="lraspp", num_classes=5)
    regseg.save_weights(saved, tmp_path / "five.pt")
    parts = {"backbone": [[1]], "decoder": "lraspp", "weights": tmp_path / "five.pt"}
    model = regseg.create_model(**parts)
    assert model.config == saved.config and model.training
    for name, tensor in saved.state_dict().items():
        assert (model.state_dict()[name] == tensor).all(), name
    other = regseg.create_model(**parts, num_classes=7)
    assert other.config["num_classes"] == 7 and "Skipped" in capsys.readouterr().out
    assert (other.state_dict()["stem.conv.weight"] == saved.state_dict()["stem.conv.weight"]).all()
    with pytest.raises(InputError, match="weights of a different model"):
        regseg.create_model(weights=tmp_path / "five.pt")


def test_a_checkpoint_cannot_name_another_file(tmp_path):
    """Its description takes no `weights`: a file that is read must not decide that another one is read."""
    saved = regseg.create_model(backbone=[[1]], decoder="lraspp", num_classes=5)
    saved.config["weights"] = str(tmp_path / "other.pt")
    regseg.save_weights(saved, tmp_path / "five.pt")
    with pytest.raises(InputError, match=r"describes a model that cannot be built.*weights"):
        regseg.load_model(tmp_path / "five.pt")


@pytest.mark.parametrize("name", ["regseg", "regseg_large", "ddrnet23"])
def test_every_listed_model_is_created(name):
    model = regseg.create_model(name, num_classes=7)
    assert model.config["name"] == name
    with torch.no_grad():
        assert model.eval()(torch.randn(1, 3, 40, 56)).shape == (1, 7, 40, 56)


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"name": "ddrnet23", "num_classes": 3},
        {"name": "regseg_large"},
        {"name": "regseg_large", "decoder": "lraspp"},
        {"name": "regseg_large", "backbone": [[1], [1, 2]]},
        {"backbone": "dilation_1_6", "decoder": "lraspp", "num_classes": 11},
        {"backbone": "regseg_large"},
        {"backbone": ((1,), (1, 2), (1, 1, 1, 4)), "decoder": "sfnet"},
        {"backbone": {"name": "regseg_large", "dilations": [[1], [1, 2]]}, "decoder": {"name": "regseg"}},
        {"backbone": {"name": "dilation_1_6", "dilations": None}, "decoder": {"name": "bisenet"}},
    ],
)
def test_config_rebuilds_the_model(arguments):
    model = regseg.create_model(**arguments)
    _assert_plain(model.config)
    again = regseg.create_model(**model.config)
    assert again.config == model.config
    assert str(again) == str(model)
    assert model.config["num_classes"] == arguments.get("num_classes", 19)


def _assert_plain(value):
    if type(value) in (dict, list):
        for item in value.values() if type(value) is dict else value:
            _assert_plain(item)
    else:
        assert type(value) in (str, int), value


def test_config_has_the_given_parts():
    config = regseg.create_model(backbone="dilation_1_6", decoder="lraspp", num_classes=11).config
    assert config == {"name": "regseg", "backbone": "dilation_1_6", "decoder": "lraspp", "num_classes": 11}
    config = regseg.create_model("regseg", backbone=[[1], (1, 2)]).config
    assert config == {"name": "regseg", "backbone": [[1], [1, 2]], "decoder": "regseg", "num_classes": 19}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"name": "regsge"}, "no model 'regsge' .*did you mean 'regseg'.*choose regseg, regseg_large or ddrnet23"),
        ({"name": None}, "no model None"),
        ({"backbone": "dilation_1_15"}, "no backbone 'dilation_1_15' .*regnety_600mf"),
        ({"decoder": "lrasp"}, "no decoder 'lrasp' .*did you mean 'lraspp'"),
        ({"decoder": ""}, "no decoder ''; choose"),
        ({"backbone": {"name": 0, "dilations": [[1]]}}, "no backbone 0; choose"),
        ({"decoder": ["lraspp"]}, "decoder is"),
        ({"decoder": {"nam": "lraspp"}}, "unknown setting 'nam'"),
        ({"num_classes": 0}, "num_classes=0"),
        ({"num_classes": "19"}, "num_classes='19'"),
        ({"num_classes": True}, "num_classes=True"),
        ({"backbone": {"name": "regnety_600mf", "dilations": [[1]]}}, "regnety_600mf accepts no dilations"),
        ({"name": "ddrnet23", "backbone": "dilation_1_6"}, "ddrnet23 .* accepts no backbone 'dilation_1_6'"),
        ({"name": "ddrnet23", "decoder": {"name": "regseg"}}, "ddrnet23 .* accepts no decoder 'regseg'"),
    ],
)
def test_invalid_arguments_are_refused_in_one_sentence(arguments, words):
    with pytest.raises(InputError, match=words) as error:
        regseg.create_model(**arguments)
    assert "\n" not in str(error.value)
