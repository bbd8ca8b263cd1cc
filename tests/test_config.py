"""Every configuration composes, and smoke shrinks each experiment."""

import hydra
import pytest
from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from hydra.core.hydra_config import HydraConfig

from regseg.config import config_dir, register_resolvers, shrink

EXPERIMENTS = sorted(
    str(path.relative_to(config_dir() / "experiment").with_suffix(""))
    for path in (config_dir() / "experiment").rglob("*.yaml")
    if "sweeper:" not in path.read_text(encoding="utf-8")  # tables are in test_tables.py
)


def test_every_file_says_what_it_is():
    for path in config_dir().rglob("*.yaml"):
        comments = [line for line in path.read_text().splitlines()[:2] if line.startswith("# ")]
        assert [line for line in comments if "@package" not in line], path


@pytest.mark.parametrize("name", ["cityscapes", "camvid", "camvid_360", "streets", "folder"])
def test_data_instantiates_whole(compose, name, tmp_path):
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


@pytest.mark.parametrize("experiment", [None, *(name for name in EXPERIMENTS if name != "finetune")])
def test_smoke_shrinks_every_experiment(compose, experiment):
    cfg = compose("trainer=smoke", *([f"experiment={experiment}"] if experiment else []))
    assert cfg.trainer.smoke
    shrink(cfg)
    assert cfg.trainer.max_epochs <= 2 and cfg.trainer.limit_train_batches <= 2 and cfg.trainer.accelerator == "cpu"
    assert cfg.data.batch_size <= 2 and max(cfg.data.crop_size) <= 64 and max(cfg.data.short_side) <= 96


@pytest.mark.parametrize(
    ("chosen", "storage"),
    [
        (["experiment=camvid_360"], "full"),
        (["experiment=table4"], "full"),
        (["experiment=table4", "data=streets"], "half"),
        (["experiment=camvid_360", "data.storage=cache"], "cache"),
    ],
)
def test_smoke_derives_nothing_from_a_whole_dataset(compose, chosen, storage):
    """Halved or decoded copies of thousands of images take minutes; of drawn streets, there are few."""
    cfg = compose("trainer=smoke", *chosen)
    shrink(cfg, {name.partition("=")[0] for name in chosen})
    assert cfg.data.storage == storage


def test_smoke_keeps_what_the_command_line_sets(compose):
    cfg = compose("trainer=smoke", "data.batch_size=6", "trainer.max_epochs=5")
    shrink(cfg, {"trainer", "data.batch_size", "trainer.max_epochs"})
    assert (cfg.data.batch_size, cfg.trainer.max_epochs, cfg.data.num_workers) == (6, 5, 0)


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_every_experiment_takes_its_steps(run_module, streets_root, streets_options, experiment, tmp_path):
    """Whole, from the command line to the summary, on drawn streets."""
    arguments = [f"experiment={experiment}", "trainer=smoke", *streets_options, f"data.root={streets_root}"]
    result = run_module("regseg.train", *arguments)
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "runs" / experiment / "run_seed0" / "summary.json").exists()


def test_names_that_other_work_relies_on(compose):
    cfg = compose()
    data = ("root", "batch_size", "num_workers", "crop_size", "short_side", "train_split", "val_split")
    assert set(data) <= set(cfg.data) and {"seed", "weights", "resume", "overwrite"} <= set(cfg)
    assert (
        "lr" in cfg.optimizer and "warmup_iters" in cfg.scheduler and {"every", "last"} <= set(cfg.callbacks.evaluation)
    )


def test_a_smoke_test_creates_few_street_scenes(compose, tmp_path):
    """In a folder of their own, so that the folder of all scenes stays free for them."""
    root = tmp_path / "streets"
    cfg = compose("experiment=demo", f"data.root={root}")
    shrink(cfg)
    assert cfg.data.root == f"{root}_smoke" and sum(cfg.data.options.counts.values()) < 20
    root.mkdir()
    for explicit in ((), ("data.root",)):
        cfg = compose("experiment=demo", f"data.root={root}")
        shrink(cfg, explicit)
        assert cfg.data.root == str(root)


@pytest.mark.parametrize(
    ("chosen", "tags"),
    [
        (["model/backbone=dilation_1_6"], ["streets", "dilation_1_6", "regseg"]),
        (["model.backbone.dilations=[[1]]"], ["streets", "own_schedule", "regseg"]),
        (["model=ddrnet23"], ["streets", "ddrnet23"]),
    ],
)
def test_tags_name_the_network_that_is_trained(chosen, tags, monkeypatch):
    """Not a backbone whose dilations the command line replaces."""
    register_resolvers()
    with initialize_config_dir(str(config_dir()), version_base="1.3"):
        cfg = hydra_compose("train", overrides=["logger=wandb", *chosen], return_hydra_config=True)
    monkeypatch.setattr(HydraConfig.instance(), "cfg", None)  # restored afterwards
    HydraConfig.instance().set_config(cfg)
    assert list(cfg.logger.wandb.tags) == tags
