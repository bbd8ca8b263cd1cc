"""What a continued run must share with the run so far: each difference is refused, or named in a message."""

import copy
from types import SimpleNamespace

import numpy as np
import pytest
from layouts import noise, write, write_folder
from omegaconf import OmegaConf

from regseg.data.datamodule import SegmentationDataModule
from regseg.errors import InputError
from regseg.run_settings import settings_of
from regseg.training.resume_check import check_continues, check_processes_agree, files_of, fingerprint

CONFIG = {"seed": 0, "model": {"name": "regseg"}, "loss": {"name": "ohem"}, "optimizer": {"lr": 0.05}, "data": {}}


def trainer(**changes):
    values = {
        "world_size": 1, "accumulate_grad_batches": 1, "precision": "32-true", "max_epochs": 4, "max_steps": -1,
        "limit_train_batches": 1.0, "callbacks": [],
    }  # fmt: skip
    return SimpleNamespace(**(values | changes))


def print_of(root, batch_size=2, config=CONFIG, **changes):
    datamodule = SegmentationDataModule("folder", root, batch_size=batch_size, num_workers=0)
    datamodule.setup("fit")
    return fingerprint(config, datamodule, trainer(**changes))


@pytest.fixture
def root(tmp_path):
    return write_folder(tmp_path / "mine", counts=(("train", 8), ("val", 2)))


@pytest.fixture
def before(root):
    return print_of(root)


def continues(before, now, epochs=2, iterations=8):
    return check_continues("runs/mine", before, now, epochs, iterations)


def test_the_same_run_continues(root, before, tmp_path):
    assert continues(before, print_of(root)) is None
    moved = root.rename(tmp_path / "moved")
    assert continues(before, print_of(moved)) is None
    assert before["iterations"] == 16


@pytest.mark.parametrize(
    "classes",
    [
        "classes: [{name: wall, id: 0}, {name: ground, id: 1}]",
        "classes: [{name: wall, id: 1}, {name: ground, id: 0}]",
        "classes: [{name: ground, id: 1}, {name: wall, id: 0}]",
        "classes: [{name: ground, id: 0}, {name: wall, id: 1}]\nexcluded: [wall]",
    ],
)
def test_other_classes_are_refused(root, before, classes):
    (root / "classes.yaml").write_text(classes)
    with pytest.raises(
        InputError, match=r"class names, or the same names in a different order|label values of the classes"
    ):
        continues(before, print_of(root))


@pytest.mark.parametrize("second", ["[0, 0, 1]", "[0, 0, 2]"])
def test_other_colours_of_labels_are_refused(tmp_path, second):
    """They decide what a label file means; colours of classes with ids are for pictures only."""
    classes = "classes: [{name: ground, color: [9, 9, 9]}, {name: wall, color: %s}]"
    root = write_folder(tmp_path, (("train", 2), ("val", 1)), classes % "[0, 0, 1]")
    for number, split in ((0, "train"), (1, "train"), (0, "val")):
        write(root / f"labels/{split}/{number}.png", np.full((24, 32, 3), 9, np.uint8))
    before = print_of(root)
    (root / "classes.yaml").write_text(classes % second)
    if second == "[0, 0, 1]":
        assert continues(before, print_of(root)) is None
        return
    with pytest.raises(InputError, match="label values of the classes"):
        continues(before, print_of(root))


def test_other_files_are_refused(root, before):
    for folder in ("images", "labels"):
        (root / folder / "train" / "0.png").rename(root / folder / "train" / "zero.png")
    with pytest.raises(InputError, match=r"training split .8 files with other names.*weights=\S+ starts it from these"):
        continues(before, print_of(root))
    for folder in ("images", "labels"):
        (root / folder / "train" / "zero.png").rename(root / folder / "train" / "0.png")
        (root / folder / "val" / "1.png").unlink()
    with pytest.raises(InputError, match=r"evaluation split .2 files, now 1"):
        continues(before, print_of(root))


def test_the_batch_over_all_devices_counts(root, before):
    assert continues(before, print_of(root, batch_size=1, world_size=2)) is None
    assert continues(before, print_of(root, batch_size=1, accumulate_grad_batches=2)) is None
    with pytest.raises(InputError, match=r"2 images per step .*, not 4"):
        continues(before, print_of(root, world_size=2))


def test_the_schedule_is_that_of_the_checkpoint(root, before):
    assert "from 16 to 24 iterations" in continues(before, print_of(root, max_epochs=6))
    with pytest.raises(InputError, match="planned for 16 iterations, not 4"):
        continues(before, print_of(root, limit_train_batches=1))
    with pytest.raises(InputError, match=r"trained for 2 epochs, more than trainer\.max_epochs=1"):
        continues(before, print_of(root, max_epochs=1))
    with pytest.raises(InputError, match=r"trained for 8 iterations, more than trainer\.max_steps=7"):
        continues(before, print_of(root, max_steps=7))
    assert "from 16 to 8 iterations" in continues(before, print_of(root, max_steps=8))


@pytest.mark.parametrize(
    ("target", "extends"), [("regseg.training.schedules.cosine", True), ("torch.optim.lr_scheduler.LinearLR", False)]
)
def test_only_schedules_of_this_project_follow_a_new_length(root, target, extends):
    config = CONFIG | {"scheduler": {"_target_": target, "_partial_": True}, "loss": {"_target_": "mine.Loss"}}
    before, longer = print_of(root, config=config), print_of(root, config=config, max_epochs=6)
    assert continues(before, print_of(root, config=config)) is None
    if extends:
        assert "from 16 to 24 iterations" in continues(before, longer)
    else:
        with pytest.raises(InputError, match=r"scheduler=LinearLR cannot change its length; set trainer\.max_epochs"):
            continues(before, longer)


def test_precision_and_settings(root, before):
    with pytest.raises(InputError, match="precision 32-true, not bf16-mixed"):
        continues(before, print_of(root, precision="bf16-mixed"))
    with pytest.raises(InputError, match=r"optimizer\.lr=0\.05, but the command has 0\.1"):
        continues(before, print_of(root, config={**CONFIG, "optimizer": {"lr": 0.1}}))
    with pytest.raises(InputError, match=r"loss\.threshold=null, but the command has 0\.5"):
        continues(before, print_of(root, config={**CONFIG, "loss": {"name": "ohem", "threshold": 0.5}}))


def test_what_an_earlier_version_did_not_store_is_not_compared(root, before):
    for name in before:
        less = copy.deepcopy(before)
        del less[name]
        assert continues(less, print_of(root)) is None
    assert continues({}, print_of(root)) is None


def test_a_custom_class_is_not_named_in_it(tmp_path):
    datamodule = SegmentationDataModule("regseg.data.datasets.folder.Folder", write_folder(tmp_path), batch_size=2)
    datamodule.setup("fit")
    found = fingerprint({**CONFIG, "data": {"dataset": "regseg.data.datasets.folder.Folder"}}, datamodule, trainer())
    assert "regseg.data" not in str(found) and files_of(datamodule) == found["files"]


def test_the_labels_are_among_the_files(root, before):
    (root / "labels" / "train" / "0.png").rename(root / "labels" / "train" / "0.PNG")
    write(root / "images" / "train" / "0.png", noise(0))
    with pytest.raises(InputError, match="training split"):
        continues(before, print_of(root))


OLD = {
    "seed": 0,
    "model": {"name": "regseg"},
    "data": {"_target_": "regseg.data.datamodule.SegmentationDataModule", "dataset": "folder"},
    "loss": {"name": "ohem", "threshold": 0.3, "min_share": 0.0625},
    "optimizer": {"lr": 0.05, "momentum": 0.9, "weight_decay": 1e-4, "warmup_iters": 300, "power": 0.9},
}


def as_earlier_versions_stored(config):
    """The settings of a fingerprint that an earlier version wrote."""
    return {
        f"{part}.{name}" if isinstance(values, dict) else part: value
        for part, values in config.items()
        for name, value in (values.items() if isinstance(values, dict) else [("", values)])
        if name != "_target_"
    }


def test_changed_custom_callbacks_are_named(root):
    """Only the user knows whether they change the training, so it continues."""
    given = {"mine": {"_target_": "my.Freeze", "epochs": 5}, "last": {"_target_": "regseg.Last"}}
    before = print_of(root, config=CONFIG | {"callbacks": given})
    assert "my." not in str(before)  # a checkpoint names nothing that could be imported
    assert continues(before, print_of(root, config=CONFIG | {"callbacks": given | {"last": None}})) is None
    other = given | {"mine": {"_target_": "my.Freeze", "epochs": 6}}
    assert continues(before, print_of(root, config=CONFIG | {"callbacks": other})) == (
        "Custom callbacks differ from those of the finished epochs: callbacks.mine.epochs."
    )
    assert "callbacks.mine, callbacks.mine.epochs" in continues(before, print_of(root))
    del before["custom_callbacks"]  # of an earlier version
    assert continues(before, print_of(root)) is None


@pytest.mark.parametrize(
    ("choices", "difference"),
    [
        (["loss=ohem"], None),
        (["loss=cross_entropy"], "loss=OHEM, but the command has CrossEntropy"),
        (["loss=ohem", "optimizer._target_=torch.optim.RMSprop"], "optimizer=SGD, but the command has RMSprop"),
        (
            ["loss=ohem", "scheduler._target_=regseg.training.schedules.cosine"],
            "scheduler=poly, but the command has cosine",
        ),
        (["loss=ohem", "scheduler.power=1"], r"scheduler\.power=0\.9, but the command has 1"),
        (["loss=ohem", "scheduler.warmup_iters=10"], r"scheduler\.warmup_iters=300, but the command has 10"),
        (["loss=ohem", "+callbacks@callbacks.ema=ema"], r"callbacks\.ema=null, but the command has EMAWeightAveraging"),
    ],
)
def test_a_run_of_an_earlier_version_is_compared_by_todays_names(compose, root, choices, difference):
    cfg = compose("data=folder", "scheduler.warmup_iters=300", *choices)
    now = settings_of({**OmegaConf.to_container(cfg), "model": OLD["model"], "data": OLD["data"]})
    for before in (settings_of(OLD), as_earlier_versions_stored(OLD)):
        if difference is None:
            assert continues({"settings": before}, {"settings": now}) is None
        else:
            with pytest.raises(InputError, match=difference):
                continues({"settings": before}, {"settings": now})


class Connected:
    """A strategy whose first process has sent ``first``; ``agree`` is whether the other processes have the same."""

    def __init__(self, first, agree):
        self.broadcast, self.agree = lambda _: first, agree

    def reduce_boolean_decision(self, decision, all):
        return decision and self.agree


def test_the_processes_of_several_nodes_must_agree():
    own = {"settings": {"optimizer.lr": 0.05, "seed": 0}, "classes": ["a", "b"], "trained epochs": 3}
    first = own | {"settings": {"optimizer.lr": 0.1, "seed": 0}}
    check_processes_agree(Connected(own, True), own | {"classes": ("a", "b")})
    with pytest.raises(InputError, match=r"optimizer\.lr is 0\.05, not 0\.1; start all of them"):
        check_processes_agree(Connected(first, True), own)
    with pytest.raises(InputError, match=r"trained epochs is 3, not 9; .*the same folder of runs"):
        check_processes_agree(Connected(own | {"trained epochs": 9}, True), own)
    with pytest.raises(InputError, match="Another process of the distributed run has other settings, data or"):
        check_processes_agree(Connected(own, False), own)
