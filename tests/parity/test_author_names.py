"""The author's twenty state dicts map one to one to those of this project, and load."""

import pytest
import torch
from author_release import AUTHOR_MODELS, author_names, author_weights, our_model

import regseg
from regseg.models.author_keys import remap_key


def test_there_are_twenty():
    assert len(AUTHOR_MODELS) == 20


@pytest.mark.parametrize("key", AUTHOR_MODELS)
def test_names_are_a_bijection_with_equal_shapes(key):
    theirs = [(remap_key(name), tuple(shape)) for name, shape in author_names()[key]]
    ours = [(name, tuple(tensor.shape)) for name, tensor in our_model(key).state_dict().items()]
    assert len({name for name, _ in theirs}) == len(theirs)
    # In the same order, so that a seed gives the layers the same initial weights.
    assert theirs == ours


@pytest.mark.parametrize("layout", ["plain", "training state"])
@pytest.mark.parametrize("key", ["dilation_1_14+regseg", "regseg_large", "ddrnet23"])
def test_published_files_load(key, layout, tmp_path, capsys):
    weights = author_weights(key)
    optimizer = {"state": {0: {"momentum_buffer": torch.zeros(2)}}, "param_groups": [{"lr": 0.05, "params": [0]}]}
    content = weights if layout == "plain" else {"model": weights, "optimizer": optimizer, "epoch": 999}
    torch.save(content, tmp_path / "published.pth")
    model = our_model(key)
    report = regseg.load_weights(model, tmp_path / "published.pth")
    assert report.by_author
    assert not report.skipped
    assert "author's release" in capsys.readouterr().out
    state = model.state_dict()
    assert all(torch.equal(state[remap_key(name)], tensor) for name, tensor in weights.items())


def test_camvid_fine_tuning_keeps_all_but_the_classifier(tmp_path, capsys):
    torch.save({"model": author_weights("dilation_1_14+regseg")}, tmp_path / "cityscapes.pth")
    report = regseg.load_weights(our_model("dilation_1_14+regseg", num_classes=11), tmp_path / "cityscapes.pth")
    assert list(report.skipped) == ["decoder.classifier.weight", "decoder.classifier.bias"]
    assert len(report.loaded) == 470 - 2
    assert "the file has 19 classes, the model 11" in capsys.readouterr().out


@pytest.mark.parametrize("key", ["dilation_1_12+sum_conv3x3", "dilation_1_14+sum_conv3x3", "regseg_large", "ddrnet23"])
def test_another_model_of_the_author_is_refused(key):
    model = our_model("dilation_1_14+regseg")
    with pytest.raises(regseg.errors.InputError, match="a different model"):
        regseg.load_weights(model, author_weights(key))
