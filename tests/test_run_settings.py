"""The settings that a continued run must share."""

import json
import os

import pytest

from regseg.errors import InputError
from regseg.run_settings import check_same_options, check_settings, images_per_step, options_of, settings_of


def test_settings_that_a_continuation_must_share():
    config = {
        "seed": 0, "model": {"name": "regseg", "backbone": {"dilations": [[1]]}}, "trainer": {"max_epochs": 3},
        "data": {"_target_": "x.Y", "root": "a", "num_workers": 3, "batch_size": 2, "crop_size": [4, 4]},
    }  # fmt: skip
    before = settings_of(config)
    assert set(before) >= {"seed", "model.name", "model.backbone.dilations", "data.crop_size"}
    assert not {"data.root", "data._target_", "data.num_workers", "trainer.max_epochs"} & set(before)
    check_settings("run", before, settings_of(json.loads(json.dumps(config))))
    with pytest.raises(InputError, match=r"data\.crop_size=\[4, 4\], but the command has \[4, 8\]"):
        check_settings("run", before, settings_of({**config, "data": {**config["data"], "crop_size": [4, 8]}}))


def test_custom_parts_are_distinguished_without_their_names():
    one, other = (settings_of({"loss": {"_target_": f"{module}.Loss"}}) for module in ("mine.a", "mine.b"))
    assert one != other and "mine" not in str(one) and one["loss"].startswith("Loss-")
    nested = settings_of({"loss": {"_target_": "mine.Sum", "parts": [{"_target_": "torch.nn.L1Loss"}, 3]}})
    assert nested["loss.parts.0"] == "L1Loss" and nested["loss.parts.1"] == 3


def test_the_batch_is_counted_over_devices_and_accumulated_steps():
    config = {"data": {"batch_size": 4}, "trainer": {"devices": [0, 2], "num_nodes": 2, "accumulate_grad_batches": 3}}
    assert images_per_step(config) == 48
    assert images_per_step({"data": {"batch_size": 4}, "trainer": {}}) == 4
    assert images_per_step({"data": {"batch_size": 4}, "trainer": {"devices": "auto"}}) == [4, "auto", 1, 1]


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"weights": "b.ckpt"}, "weights=a.ckpt, but the command has b.ckpt"),
        ({"weights": None}, "weights=a.ckpt, but the command has null"),
        ({"weights_part": "backbone"}, "weights_part=all, but the command has backbone"),
        ({"trainer": {"gradient_clip_val": 0.5}}, r"trainer\.gradient_clip_val=null, but the command has 0\.5"),
        ({"trainer": {"overfit_batches": 2}}, r"trainer\.overfit_batches=0\.0, but the command has 2"),
        ({"trainer": {"limit_val_batches": 2}}, r"trainer\.limit_val_batches=1\.0, but the command has 2"),
        ({"trainer": {"limit_val_batches": 1}}, r"trainer\.limit_val_batches=1\.0, .* 1;"),
        ({"trainer": {"limit_train_batches": 0.1}}, r"trainer\.limit_train_batches=1\.0, .* 0\.1"),
        ({"callbacks": {"steps": {"_target_": "x.GradientAccumulationScheduler"}}}, r"callbacks\.steps="),
    ],
)
def test_options_that_change_the_training_are_compared(change, name):
    config = {"weights": "a.ckpt", "weights_part": "all", "trainer": {"max_epochs": 3}, "callbacks": {"last": None}}
    before = options_of(config)
    check_same_options("run", before, options_of(config | {"trainer": {"max_epochs": 5, "sync_batchnorm": False}}))
    check_same_options("run", before, options_of(config | {"weights": os.path.abspath("a.ckpt")}))
    with pytest.raises(InputError, match=name):
        check_same_options("run", before, options_of(config | change))


def test_runs_of_earlier_versions_record_fewer_options():
    now = options_of({"weights": "a.ckpt", "weights_part": "all"})
    check_same_options("run", options_of({}), now)
    check_same_options("run", {name: now[name] for name in now if name != "trainer.limit_train_batches"}, now)


def test_crafted_settings_are_one_short_sentence():
    with pytest.raises(InputError) as error:
        check_settings("run", {5: 1, "a": [[1] * 10**6]}, {"a": 2, 7: 10**5000})
    assert len(str(error.value)) < 1000
