"""The configuration files."""

import contextlib

import hydra
import pytest

from regseg.config import check_paths, config_dir, without_null_groups
from regseg.errors import InputError


def test_every_file_says_what_it_is():
    for path in config_dir().rglob("*.yaml"):
        comments = [line for line in path.read_text().splitlines()[:2] if line.startswith("# ")]
        assert [line for line in comments if "@package" not in line], path


def test_null_is_a_choice_of_groups_that_are_null_by_default():
    given = ["row=table10/regseg", "-m", "row=null", "experiment=null", "augment=null", "weights=null", "seed=1"]
    assert without_null_groups("train", given) == ["-m", "augment=null", "weights=null", "seed=1"]
    assert without_null_groups("evaluate", ["data=null", "model=NULL", "data.root=null"]) == ["data.root=null"]
    assert without_null_groups("export", ["data=null"]) == ["data=null"]


@pytest.mark.parametrize("name", ["cityscapes", "camvid", "camvid_360", "streets", "folder"])
def test_data_instantiates_whole(compose, name):
    cfg = compose(f"data={name}", "data.num_workers=0", "seed=5")
    datamodule = hydra.utils.instantiate(cfg.data)
    assert datamodule.seed == 5 and datamodule.num_workers == 0
    steps = [type(step).__name__ for step in datamodule.transform.augment.transforms]
    assert steps == ["HorizontalFlip", *(["RandomOrder"] if name == "cityscapes" else [])]


def test_data_lies_where_the_environment_says(compose, monkeypatch):
    monkeypatch.delenv("REGSEG_DATA", raising=False)
    assert compose("data=camvid").data.root == "datasets/camvid"
    monkeypatch.setenv("REGSEG_DATA", "elsewhere")
    assert compose("data=camvid").data.root == "elsewhere/camvid"


@pytest.mark.parametrize(
    ("command", "given", "name"),
    [
        ("predict", ["source=a.jpg", "out=null"], "out"),
        ("predict", ["source=null"], "source"),
        ("report", ["table=4", "runs=null"], "runs"),
        ("evaluate", ["weights=null"], "weights"),
        ("evaluate", ["weights=x", "data=camvid", "data.root=null"], "data.root"),
        ("train", ["data=camvid", "data.root=null"], "data.root"),
        ("train", ["data=folder", "weights=null"], None),
        ("evaluate", ["weights=x", "pictures=null"], None),
        ("prepare", ["what=check", "source=null"], None),
        ("report", [], None),
    ],
)
def test_a_needed_path_that_is_null_is_refused(compose, command, given, name):
    cfg = compose(*given, config=command)
    with pytest.raises(InputError, match=f"^{name}=null is not a path") if name else contextlib.nullcontext():
        check_paths(command, cfg)


@pytest.mark.parametrize(
    ("command", "given"),
    [
        ("predict", ["source=", "out=x"]),
        ("predict", ["source=a.jpg", "out=''"]),
        ("evaluate", ["weights=x", "data.root="]),
        ("evaluate", ["weights=x", "pictures="]),
        ("export", ["weights="]),
        ("report", ["runs="]),
        ("train", ["data.root="]),
        ("prepare", ["what=check", "data.root="]),
        ("describe", ["weights="]),
    ],
)
def test_an_empty_path_is_not_the_current_folder(compose, command, given):
    """As from an unset shell variable."""
    name = next(text.partition("=")[0] for text in given if text.endswith(("=", "''")))
    with pytest.raises(InputError, match=rf"^{name} is empty; set {name}=PATH, where \. is the current folder\.$"):
        check_paths(command, compose(*given, config=command))


def test_the_recipe_of_the_paper(compose):
    """Sec. 4.2 on Cityscapes, by default."""
    cfg = compose("data=cityscapes")
    optimizer = {"_target_": "torch.optim.SGD", "lr": 0.05, "momentum": 0.9, "weight_decay": 1e-4}
    scheduler = {"_target_": "regseg.training.schedules.poly", "warmup_iters": 3000, "power": 0.9}
    assert cfg.optimizer == {**optimizer, "_partial_": True} and cfg.scheduler == {**scheduler, "_partial_": True}
    assert cfg.data.batch_size == 8 and cfg.data.crop_size == [768, 768] and cfg.data.short_side == [400, 1600]
    assert cfg.data.augment == {"flip": 0.5, "randaug": {"operations": 2, "magnitude": 0.2}}
    assert cfg.data.val_size == 1024 and cfg.trainer.max_epochs == 1000 and cfg.trainer.precision == "16-mixed"
    assert cfg.loss == {"_target_": "regseg.training.losses.CrossEntropy"} and cfg.seed == 0
    ohem = {"_target_": "regseg.training.losses.OHEM", "threshold": 0.3, "min_share": 1 / 16}
    assert compose("loss=ohem").loss == ohem
    camvid = compose("data=camvid").data
    assert camvid.batch_size == 12 and camvid.crop_size == [720, 960] and camvid.short_side == [288, 1152]
    small = compose("data=camvid_360").data
    assert small.crop_size == [360, 480] and small.short_side == [144, 576] and small.val_size == 360


def test_names_that_other_work_relies_on(compose):
    cfg = compose()
    data = ("root", "batch_size", "num_workers", "crop_size", "short_side", "train_split", "val_split")
    assert set(data) <= set(cfg.data) and {"seed", "weights", "resume", "overwrite"} <= set(cfg)
    assert (
        "lr" in cfg.optimizer and "warmup_iters" in cfg.scheduler and {"every", "last"} <= set(cfg.callbacks.evaluation)
    )
