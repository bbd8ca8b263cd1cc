"""`trainer=smoke` shrinks every experiment."""

import pytest

from regseg.config import config_dir
from regseg.smoke import shrink

EXPERIMENTS = sorted(
    str(path.relative_to(config_dir() / "experiment").with_suffix(""))
    for path in (config_dir() / "experiment").rglob("*.yaml")
    if "sweeper:" not in path.read_text(encoding="utf-8")  # tables are in test_table_sweeps.py
)


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
    """Halved or decoded copies of thousands of images take minutes; of synthetic streets, there are few."""
    cfg = compose("trainer=smoke", *chosen)
    shrink(cfg, {name.partition("=")[0] for name in chosen})
    assert cfg.data.storage == storage


def test_smoke_keeps_what_the_command_line_sets(compose):
    cfg = compose("trainer=smoke", "data.batch_size=6", "trainer.max_epochs=5")
    shrink(cfg, {"trainer", "data.batch_size", "trainer.max_epochs"})
    assert (cfg.data.batch_size, cfg.trainer.max_epochs, cfg.data.num_workers) == (6, 5, 0)


def test_wandb_can_tell_smoke_tests_from_other_runs(compose):
    for explicit, kind in (((), "smoke"), (("logger.wandb.job_type",), "train")):
        cfg = compose("trainer=smoke", "logger=wandb")
        shrink(cfg, explicit)
        assert cfg.logger.wandb.job_type == kind


def test_a_smoke_test_creates_few_street_scenes(compose, tmp_path):
    """The few scenes have a separate folder, so that the full dataset can still be created in its own."""
    root = tmp_path / "streets"
    cfg = compose("experiment=demo", f"data.root={root}")
    shrink(cfg)
    assert cfg.data.root == f"{root}_smoke" and sum(cfg.data.options.counts.values()) < 20
    root.mkdir()
    for explicit in ((), ("data.root",)):
        cfg = compose("experiment=demo", f"data.root={root}")
        shrink(cfg, explicit)
        assert cfg.data.root == str(root)


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_every_experiment_takes_its_steps(run_module, streets_root, streets_options, experiment, tmp_path):
    """A complete run, from the command line to the summary, on synthetic streets."""
    arguments = [f"experiment={experiment}", "trainer=smoke", *streets_options, f"data.root={streets_root}"]
    result = run_module("regseg.train", *arguments)
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "runs" / experiment / "run_seed0" / "summary.json").exists()
