"""The settings that a continued run must share."""

import json

import pytest

from regseg.errors import InputError
from regseg.run_settings import check_settings, images_per_step, settings_of


def test_settings_that_a_continuation_must_share():
    config = {
        "seed": 0, "model": {"name": "regseg", "backbone": {"dilations": [[1]]}}, "trainer": {"max_epochs": 3},
        "data": {"_target_": "x.Y", "root": "a", "num_workers": 3, "batch_size": 2, "crop_size": [4, 4]},
    }  # fmt: skip
    before = settings_of(config)
    assert set(before) >= {"seed", "model.name", "model.backbone.dilations", "data.crop_size"}
    assert not {"data.root", "data._target_", "data.num_workers", "trainer.max_epochs"} & set(before)
    check_settings("run", before, settings_of(json.loads(json.dumps(config))))
    with pytest.raises(InputError, match=r"data\.crop_size=\[4, 4\], not \[4, 8\]"):
        check_settings("run", before, settings_of({**config, "data": {**config["data"], "crop_size": [4, 8]}}))


def test_custom_parts_are_distinguished_without_their_names():
    one, other = (settings_of({"loss": {"_target_": f"{module}.Loss"}}) for module in ("mine.a", "mine.b"))
    assert one != other and "mine" not in str(one) and one["loss"].startswith("Loss-")
    nested = settings_of({"loss": {"_target_": "mine.Sum", "parts": [{"_target_": "torch.nn.L1Loss"}, 3]}})
    assert nested["loss.parts.0"] == "L1Loss" and nested["loss.parts.1"] == 3


def test_the_batch_is_counted_over_devices_and_accumulated_steps():
    config = {"data": {"batch_size": 4}, "trainer": {"devices": [0, 2], "accumulate_grad_batches": 3}}
    assert images_per_step(config) == 24
    assert images_per_step({"data": {"batch_size": 4}, "trainer": {}}) == 4
    assert images_per_step({"data": {"batch_size": 4}, "trainer": {"devices": "auto"}}) == [4, "auto", 1]
