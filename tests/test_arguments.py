"""Paths as people type them on the command line, and the names that a sweep's folders get."""

import re
import sys
from types import SimpleNamespace

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException

from regseg import config
from regseg.arguments import flags_first, for_hydra, swept_values
from regseg.cli import entry_point
from regseg.config import config_dir, name_of
from regseg.error_messages import explain
from regseg.errors import InputError
from regseg.multirun import note_run, run_folders, sweep_folder

NAMES = [
    "CamVid (1)", "données", "中文", "a=b", "a&b", "a,b", "[x]", "a[1]b", "{x}", "a{b", "a${b", "$HOME", "a\\b", "a\\",
    "O'Brien", "it's Bob's", '"q" x', "-x", "2024", "007", "1e5", "true", "nan", "a:b", "100%", "a;b#c!", "`x`",
    "a\udce9b", "a\nb", "\\${x", "CamVid(1)", "x (1),y (2)", "*.png", "a  b",
]  # fmt: skip


@pytest.fixture
def compose_typed():
    """The configuration of a command as a user types it."""
    config.register_resolvers()

    def run(*arguments, name="prepare"):
        with initialize_config_dir(str(config_dir()), version_base="1.3"):
            return compose(name, overrides=for_hydra(arguments))

    return run


def test_paths_are_taken_as_typed(compose_typed):
    from omegaconf import OmegaConf

    for name in NAMES:
        (text,) = for_hydra([f"data.root={name}"])
        found = OverridesParser.create().parse_override(text).value()
        assert OmegaConf.create({"root": getattr(found, "text", found)}).root == name
    assert compose_typed("what=check", f"data.root={NAMES[0]}", f"out={NAMES[2]}").data.root == NAMES[0]


def test_home_is_expanded(compose_typed, monkeypatch):
    monkeypatch.setenv("HOME", "/users/somebody")
    cfg = compose_typed("what=check", "data.root=~/d", "out=~", "+data.options.folder=~/e f")
    assert (cfg.data.root, cfg.out, cfg.data.options.folder) == (
        "/users/somebody/d",
        "/users/somebody",
        "/users/somebody/e f",
    )
    assert swept_values(["-m", "data.root=~/d,~/e"]) == {"data.root": ["/users/somebody/d", "/users/somebody/e"]}


def test_what_hydra_takes_keeps_its_meaning(compose_typed, monkeypatch):
    monkeypatch.setenv("PLACE", "somewhere")
    cfg = compose_typed(
        "data.root=${oc.env:PLACE}/a (1)", "data.crop_size=[32,64]", "+data.options={a:1}", name="train"
    )
    assert cfg.data.root == "somewhere/a (1)" and cfg.data.crop_size == [32, 64] and cfg.data.options == {"a": 1}
    assert (
        compose_typed("out='a,b'", "what=null").out == "a,b"
        and compose_typed("table=4", "out=null", name="report").out is None
    )
    untouched = [
        "-m", "seed=1,2", "optimizer.lr=range(1,3)", "loss=a,b", "~row", "+x.y=null", "model/backbone=a", "db@x=y",
        "data.root=choice(a,b)", "data.root=${x}", "data.root=null", "--config-dir", "a (1)", "-cn", "x=y (1)",
        "+x={_target_: a.B, c: [1]}", "x={a: (}",
    ]  # fmt: skip
    assert for_hydra(untouched) == untouched


def test_a_sweep_over_paths():
    assert swept_values(["-m", "data.root=a b,c d"]) == {"data.root": ["a b", "c d"]}
    assert swept_values(["-m", "data.root=CamVid (1),données", "seed=1,2"]) == {
        "data.root": ["CamVid (1)", "données"],
        "seed": ["1", "2"],
    }
    assert swept_values(["-m", "data.root='a,b',2024,c (1,2)"]) == {"data.root": ["a,b", "2024", "c (1,2)"]}
    assert for_hydra(["--cfg", "job", "+a.b=x (1)"]) == ["--cfg", "job", "+a.b='x (1)'"]


def test_values_that_need_a_choice_say_how_to_quote_them(compose_typed):
    with pytest.raises(HydraException) as caught:
        compose_typed("what=a,b")
    status, sentence = explain(caught.value)
    assert status == 2 and "what=[a,b]" in sentence and "\"what='a,b'\"" in sentence


@pytest.mark.parametrize("mode", [[], ["-m"]])
def test_a_job_sees_the_command_as_typed(monkeypatch, tmp_path, mode):
    """As a record keeps it, and as Lightning starts the other processes of a distributed run by it."""
    monkeypatch.setattr("regseg.system.processes.set_up_main", lambda: None)
    monkeypatch.chdir(tmp_path)
    typed = ["regseg.report", *mode, "table=4", "runs=Läufe (1)=\udce9"]
    monkeypatch.setattr(sys, "argv", typed)
    seen = []
    entry_point("report")(lambda cfg: seen.append((cfg.runs, list(sys.argv))))()
    assert seen == [("Läufe (1)=\udce9", typed)] and sys.argv == typed


# ----------------------------------------------------------------------------------------------------------- names


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
        from hydra.core.hydra_config import HydraConfig
        from hydra.types import RunMode

        cfg = SimpleNamespace(
            mode=RunMode.MULTIRUN, overrides=SimpleNamespace(task=list(task)), sweeper={"params": params}
        )
        monkeypatch.setattr(HydraConfig, "get", lambda: cfg)
        monkeypatch.setenv("REGSEG_COMMAND", f"python -m regseg.train -m {command}")
        return config._run_aside()

    return run


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
        from hydra.core.hydra_config import HydraConfig

        config.register_resolvers()
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


def test_two_runs_of_a_sweep_do_not_share_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with sweep_folder("python -m regseg.train -m"):
        assert note_run(0, "seed=0 trainer.max_epochs=1", tmp_path / "r", "a")
        assert note_run(0, "seed=0 trainer.max_epochs=1", tmp_path / "r", "a")  # queued again
        assert note_run(1, "seed=1", tmp_path / "s", "b")
        assert not note_run(3, "seed=0", tmp_path / "r", "a")  # identical
        with pytest.raises(InputError, match="already used by the sweep's run seed=0 trainer"):
            note_run(2, "seed=0 trainer.max_epochs=2", tmp_path / "r", "c")
        assert sorted(run_folders()) == [tmp_path / "r", tmp_path / "s"]


@pytest.mark.parametrize("typed", [["--weights", "x"], ["--weights=x"], ["source=a", "--weights", "x"]])
def test_options_with_dashes_get_the_right_form(typed):
    with pytest.raises(InputError, match=r"--weights.* is not an option.*did you mean weights=x\?"):
        for_hydra(typed)
    assert for_hydra(["-m", "--config-dir", "mine", "weights=x"]) == ["-m", "--config-dir", "mine", "weights=x"]


def test_m_may_stand_anywhere():
    """Hydra's parser refuses options before and after it."""
    for arguments in (["a=1", "-m", "b=1,2"], ["a=1", "b=1,2", "--multirun"], ["a=1", "--multi", "b=1,2"]):
        found = flags_first(arguments)
        assert found[0].startswith("-") and found[1:] == ["a=1", "b=1,2"]
        assert swept_values(found) == {"b": ["1", "2"]}
    assert flags_first(["b=1", "a=2", "--cfg", "job"]) == ["b=1", "a=2", "--cfg", "job"]
