"""The names that the folders of runs get."""

import re
from types import SimpleNamespace

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode

from regseg import run_names
from regseg.arguments import for_hydra
from regseg.config import config_dir
from regseg.run_names import name_of


@pytest.mark.parametrize(
    ("overrides", "name"),
    [
        (["optimizer.lr=0.02"], "optimizer.lr_0.02"),
        (["loss=cross_entropy", "data.train_split=train"], "loss_cross_entropy-data.train_split_train"),
        (["+optimizer.lr=1e-3", "model/decoder=lraspp"], "optimizer.lr_1e-3-model_decoder_lraspp"),
        (["data.crop_size=[32,32]"], r"data\.crop_size_32_32-\w{8}"),
        (["weights=a (1)/bé.ckpt"], r"weights_a_1_b_.ckpt-\w{8}"),
        ([f"weights={'x' * 300}"], r"weights_x{152}-\w{8}"),
    ],
)
def test_folder_names_are_typed_without_quotes(overrides, name):
    found = name_of(overrides)
    assert re.fullmatch(name, found) and re.fullmatch(r"[\w.+-]+", found, re.ASCII) and len(found) <= 200


def test_distinct_overrides_have_distinct_names():
    lists = ["[1,2]", "[[1],2]", "[12]", "1_2", "1-2", "(1,2)", "1.2", "1 2", "~1", "-1", "1"]
    keys = ["a.b", "~a.b", "a/b", "a.c"]
    names = [name_of([f"{key}={value}"]) for key in keys for value in lists]
    names += [name_of(["a=1-b_2"]), name_of(["a=1", "b=2"])]
    assert len(set(names)) == len(names)


@pytest.fixture
def aside(monkeypatch):
    """What a job of a sweep adds to its run's name."""

    def run(command, *task, params=None):
        cfg = SimpleNamespace(
            mode=RunMode.MULTIRUN, overrides=SimpleNamespace(task=list(task)), sweeper={"params": params}
        )
        monkeypatch.setattr(HydraConfig, "get", lambda: cfg)
        monkeypatch.setenv("REGSEG_COMMAND", f"python -m regseg.train -m {command}")
        return run_names._run_aside()

    return run


@pytest.mark.parametrize(
    ("command", "jobs"),
    [("", 6), ("seed=2,3", 6), ("seed=2", 3), ("model/decoder=lraspp optimizer.lr=0.1,0.2 seed=0", 2)],
)
def test_the_command_line_replaces_what_the_experiment_sweeps(command, jobs, aside):
    """A row that says "run 1 of 6" in a sweep of two would seem to have four missing."""
    params = {"model/decoder": "regseg,sum_conv3x3,lraspp", "seed": "0,1"}
    assert aside(f"experiment=table5 {command}", params=params) == ""
    HydraConfig.get().sweeper["_target_"] = "hydra._internal.core_plugins.basic_sweeper.BasicSweeper"
    assert run_names.jobs_of_sweep() == jobs


def test_swept_datasets_get_separate_folders(aside):
    assert aside("data.root=a/fold0,a/fold1", "data.root=a/fold1") == "-root_fold1"
    assert aside("data.root=a/fold0", "data.root=a/fold0") == ""
    alike = [aside("data.root=a/d,b/d", f"data.root={root}/d") for root in "ab"]
    assert alike[0] != alike[1] and all(re.fullmatch(r"-root_d-\w{8}", name) for name in alike)
    assert aside("seed=1", "data.root=d", params={"data.root": "d,e"}) == "-root_d"


@pytest.fixture
def group_of(monkeypatch):
    """The group of a run by its command line."""

    def run(*arguments):
        run_names.register_resolvers()
        with initialize_config_dir(str(config_dir()), version_base="1.3"):
            cfg = compose("train", overrides=for_hydra(arguments), return_hydra_config=True)
        monkeypatch.setattr(HydraConfig, "get", lambda: cfg.hydra)
        return cfg.run.group

    return run


@pytest.mark.parametrize(
    ("root", "group"),
    [
        ("/data/mine", "folder_mine_dilation_1_14_regseg"),
        ("~/other/", "folder_other_dilation_1_14_regseg"),
        ("a/../mine", "folder_mine_dilation_1_14_regseg"),
        ("datasets/folder", "folder_dilation_1_14_regseg"),  # the default
        ("/data/my photos (1)", r"folder_my_photos_1_\w{8}_dilation_1_14_regseg"),
        ("/data/道路", r"folder_\w{8}_dilation_1_14_regseg"),
        ("/data/" + "x" * 250, r"folder_x{60}_\w{8}_dilation_1_14_regseg"),
        ("/", "folder_dilation_1_14_regseg"),
    ],
)
def test_custom_datasets_have_separate_groups(group_of, root, group):
    found = group_of("data=folder", f"data.root={root}")
    assert re.fullmatch(group, found, re.ASCII)
    tuned = group_of("experiment=finetune", f"data.root={root}")
    assert tuned == "finetune" + found.removeprefix("folder").removesuffix("_dilation_1_14_regseg")


def test_groups_of_other_datasets_do_not_name_the_root(group_of):
    assert group_of("data=camvid", "data.root=/x/y") == "camvid_dilation_1_14_regseg"
    assert group_of("experiment=table4", "data.root=/x/y") == "table4"


def test_no_swept_option_is_left_out_of_the_folder(aside):
    assert aside("data.num_workers=0,1", "data.num_workers=1") == "-data.num_workers_1"
    assert aside("trainer=smoke,default", "trainer=smoke", "seed=1") == "-trainer_smoke"
    assert aside("logger.wandb.project=a,b", "logger.wandb.project=a") == "-logger.wandb.project_a"
    assert aside("run.name=a,b", "run.name=a") == "" and aside("seed=1,2", "seed=1") == ""


@pytest.mark.parametrize(
    ("chosen", "tags"),
    [
        (["model/backbone=dilation_1_6"], ["streets", "dilation_1_6", "regseg"]),
        (["model.backbone.dilations=[[1]]"], ["streets", "custom_dilations", "regseg"]),
        (["model=ddrnet23"], ["streets", "ddrnet23"]),
    ],
)
def test_tags_name_the_network_that_is_trained(chosen, tags, monkeypatch):
    """Not a backbone whose dilations the command line replaces."""
    run_names.register_resolvers()
    with initialize_config_dir(str(config_dir()), version_base="1.3"):
        cfg = compose("train", overrides=["logger=wandb", *chosen], return_hydra_config=True)
    monkeypatch.setattr(HydraConfig.instance(), "cfg", None)  # restored afterwards
    HydraConfig.instance().set_config(cfg)
    assert list(cfg.logger.wandb.tags) == tags
