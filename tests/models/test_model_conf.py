"""The Hydra group `model` as arguments of create_model."""

from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra.errors import ConfigCompositionException, MissingConfigException
from omegaconf import OmegaConf

import regseg
from regseg.errors import InputError

CONF = Path(__file__).parents[2] / "conf"


@pytest.fixture
def composed(tmp_path):
    """Compose a config of the group `model` with overrides to the arguments of create_model."""
    (tmp_path / "primary.yaml").write_text(
        f"hydra:\n  searchpath: ['file://{CONF}']\ndefaults:\n  - model: regseg\n  - experiment: null\n  - _self_\n"
    )
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment" / "table5.yaml").write_text(
        "# @package _global_\n"
        "defaults:\n  - override /model/backbone: dilation_1_12\n  - override /model/decoder: sfnet\n"
    )

    def compose_model(*overrides):
        with initialize_config_dir(str(tmp_path), version_base="1.3"):
            return OmegaConf.to_container(compose("primary", list(overrides)).model, resolve=True)

    return compose_model


def config(arguments):
    return regseg.create_model(**arguments, num_classes=11).config


def test_every_name_has_a_file():
    assert sorted(path.stem for path in (CONF / "model").glob("*.yaml")) == sorted(regseg.list_models())
    assert sorted(path.stem for path in (CONF / "model/backbone").glob("*.yaml")) == sorted(regseg.list_backbones())
    assert sorted(path.stem for path in (CONF / "model/decoder").glob("*.yaml")) == sorted(regseg.list_decoders())


def test_every_file_starts_with_a_comment():
    for path in (CONF / "model").rglob("*.yaml"):
        first, second = path.read_text().splitlines()[:2]
        assert first.startswith("# ") and not second.startswith("#"), path


@pytest.mark.parametrize("name", regseg.list_models())
def test_models(composed, name):
    assert config(composed(f"model={name}")) == regseg.create_model(name, num_classes=11).config


@pytest.mark.parametrize("name", regseg.list_backbones())
def test_backbones(composed, name):
    arguments = composed(f"model/backbone={name}")
    assert arguments == {
        "name": "regseg",
        "backbone": {"name": name, "dilations": None},
        "decoder": {"name": "regseg"},
    }
    assert config(arguments)["backbone"] == name


@pytest.mark.parametrize("name", regseg.list_decoders())
def test_decoders(composed, name):
    assert config(composed(f"model/decoder={name}"))["decoder"] == name


def test_both(composed):
    made = config(composed("model/backbone=dilation_1_6", "model/decoder=lraspp"))
    assert made == {"name": "regseg", "backbone": "dilation_1_6", "decoder": "lraspp", "num_classes": 11}
    made = config(composed("experiment=table5"))
    assert made == {"name": "regseg", "backbone": "dilation_1_12", "decoder": "sfnet", "num_classes": 11}


@pytest.mark.parametrize("name", ["regseg", "regseg_large"])
def test_custom_dilations(composed, name):
    made = config(composed(f"model={name}", "model.backbone.dilations=[[1],[1,2],[1,4]]"))
    assert made == {"name": name, "backbone": [[1], [1, 2], [1, 4]], "decoder": name, "num_classes": 11}


@pytest.mark.parametrize(
    "override",
    ["model/backbone=dilation_1_6", "model/decoder=lraspp", "model.backbone=dilation_1_6", "experiment=table5"],
)
def test_parts_for_ddrnet_are_refused(composed, override):
    with pytest.raises(InputError, match="ddrnet23 has a fixed backbone and decoder and accepts no") as error:
        config(composed("model=ddrnet23", override))
    assert "\n" not in str(error.value)


def test_dilations_for_regnet_are_refused(composed):
    with pytest.raises(InputError, match="regnety_600mf accepts no dilations"):
        config(composed("model/backbone=regnety_600mf", "model.backbone.dilations=[[1]]"))


def test_unknown_names_are_refused(composed):
    with pytest.raises(MissingConfigException, match="dilation_1_14"):
        composed("model/backbone=dilation_1_15")
    with pytest.raises(ConfigCompositionException):
        composed("model.depth=3")
