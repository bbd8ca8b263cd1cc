"""Paths as people type them on the command line."""

import sys

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException

from regseg.arguments import dashed_options, flags_first, for_hydra, one_run, overrides_of, swept_values
from regseg.cli import entry_point
from regseg.config import config_dir
from regseg.error_messages import explain
from regseg.errors import InputError
from regseg.run_names import register_resolvers

NAMES = [
    "CamVid (1)", "données", "中文", "a=b", "a&b", "a,b", "[x]", "a[1]b", "{x}", "a{b", "a${b", "$HOME", "a\\b", "a\\",
    "O'Brien", "it's Bob's", '"q" x', "-x", "2024", "007", "1e5", "true", "nan", "a:b", "100%", "a;b#c!", "`x`",
    "a\udce9b", "a\nb", "\\${x", "CamVid(1)", "x (1),y (2)", "*.png", "a  b",
    r"C:\data\new", r"C:\my data" + "\\", r"\\server\share\new data", r"\\server\share", r"C:\[new] (1)", r"c:\a\,b",
    " a", "a ", "a\t", "a b ",
]  # fmt: skip


@pytest.fixture
def compose_typed():
    """The configuration of a command as a user types it."""
    register_resolvers()

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


@pytest.mark.parametrize(
    ("typed", "sentence"),
    [
        ("~what=(a)", "~what=(a) has a value that Hydra cannot read; type ~what, which removes the option."),
        ("wh%t=(a)", "wh%t cannot be the name of an option; --help lists the options."),
        ("+é.a=1", "é.a cannot be the name of an option; --help lists the options."),
    ],
)
def test_what_cannot_be_read_is_named(compose_typed, typed, sentence):
    with pytest.raises(HydraException) as caught:
        compose_typed(typed)
    assert explain(caught.value) == (2, sentence)


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


@pytest.mark.parametrize("typed", [["--weights", "x"], ["--weights=x"], ["source=a", "--weights", "x"]])
def test_options_with_dashes_are_found(typed):
    assert [(name, value) for _, name, value in dashed_options(typed)] == [("weights", "x")]
    assert list(dashed_options(["--weights", "-m", "a=b"])) == [("--weights", "weights", None)]
    assert list(dashed_options(["-m", "--config-dir", "mine", "weights=x", "--help"])) == []
    assert for_hydra(["-m", "--config-dir", "mine", "weights=x"]) == ["-m", "--config-dir", "mine", "weights=x"]


def test_m_may_stand_anywhere():
    """Hydra's parser refuses options before and after it."""
    for arguments in (["a=1", "-m", "b=1,2"], ["a=1", "b=1,2", "--multirun"], ["a=1", "--multi", "b=1,2"]):
        found = flags_first(arguments)
        assert found[0].startswith("-") and found[1:] == ["a=1", "b=1,2"]
        assert swept_values(found) == {"b": ["1", "2"]}
    flags = ["--cfg", "job", "--resolve", "-cd", "a=b", "--config-path=c"]
    assert flags_first(["b=1", *flags[:3], "a=2", "b", *flags[3:], "-1"]) == [*flags, "b=1", "a=2", "b", "-1"]
    assert flags_first(["a=1", "--info", "b=2"]) == ["--info", "all", "a=1", "b=2"]
    assert flags_first(["-i", "photo.jpg", "--info", "config"]) == ["-i", "all", "--info", "config", "photo.jpg"]


@pytest.mark.parametrize("flag", [["--cfg", "job"], ["-c=job"], ["--info"]])
def test_what_only_prints_is_not_a_sweep(flag):
    typed = flags_first(["-m", "experiment=table8", "hydra.mode=MULTIRUN", *flag])
    assert one_run(typed) == [*(["--info", "all"] if flag == ["--info"] else flag), "experiment=table8"]
    with pytest.raises(InputError, match=r"is for a single run; choose one value of seed=0,1\.$"):
        one_run(flags_first(["-m", "seed=0,1", *flag]))
    assert one_run(["-m", "seed=0,1"]) == ["-m", "seed=0,1"]


@pytest.mark.parametrize(
    ("typed", "sentence"),
    [
        ("--cfg", "--cfg needs a value; choose one of job, hydra, all."),
        ("-cd", "-cd needs a value; add it."),
        ("-c best.ckpt", "-c takes one of job, hydra, all, not best.ckpt; options of this command have no dashes."),
        ("--cfg=x", "--cfg takes one of job, hydra, all, not x; options of this command have no dashes."),
        ("a=1 --resolve", "--resolve is for --cfg; type --cfg job --resolve."),
        ("--run -m", "--run and -m exclude each other; leave one of them out."),
        ("--run --cfg job", "--cfg and --run exclude each other; leave one of them out."),
        ("-i --cfg job -m", "--cfg and -i exclude each other; leave one of them out."),
    ],
)
def test_flags_that_hydra_would_refuse(typed, sentence):
    with pytest.raises(InputError) as caught:
        one_run(flags_first(typed.split()))
    assert str(caught.value) == sentence


def test_the_help_is_that_of_the_first_run():
    arguments = ["-m", "model/backbone=dilation_1_14,dilation_1_6", "optimizer.lr=range(1,3)", "data.root=a b,c"]
    arguments += ["augment=glob(*)", "x=interval(0,1)", "seed=3", "--help"]
    expected = ["model/backbone=dilation_1_14", "optimizer.lr=1", "data.root=a\\ b", "seed=3"]
    assert overrides_of(arguments, []) == expected
