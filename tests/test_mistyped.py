"""Arguments that are not OPTION=VALUE, and values at the wrong level: each is answered with what to type."""

import re

import pytest

from regseg.errors import InputError
from regseg.mistyped import check_arguments
from regseg.run_names import register_resolvers


@pytest.fixture
def answer(tmp_path, monkeypatch):
    """The sentence for a command line; empty if it is well-formed."""
    register_resolvers()
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    (tmp_path / "runs" / "mine" / "checkpoints").mkdir(parents=True)

    def run(command, *arguments):
        try:
            check_arguments(command, arguments)
        except InputError as error:
            assert "\n" not in str(error)
            return str(error)
        return ""

    return run


@pytest.mark.parametrize(
    ("line", "typed"),
    [
        ("predict photo.jpg", "type source=photo.jpg."),
        ("predict photos", "type source=photos."),
        ("predict photos labels", "type source=photos out=labels."),
        ("predict source=photos labels", "type out=labels."),
        ("predict best.ckpt", "type weights=best.ckpt."),
        ("predict camvid_360", "type weights=camvid_360."),
        ("predict overlay", "type 'save=[overlay]'."),
        ("predict overwrite source=a.jpg", "type overwrite=true."),
        ("predict source photo.jpg", "type source=photo.jpg."),
        ("predict source:photo.jpg", "type source=photo.jpg."),
        ("predict source = photo.jpg", "type source=photo.jpg."),
        ("predict source= photo.jpg", "type source=photo.jpg."),
        ("predict source =photo.jpg", "type source=photo.jpg."),
        ("predict photos/a.jpg photos/b.jpg", "type 'source=photos/*.jpg' in quotes"),
        ("predict source=photos/a.jpg photos/b.jpg", "source=photos for their folder"),
        ("predict best.ckpt photo.jpg", "type weights=best.ckpt source=photo.jpg."),
        ("predict source=photo.jpg best.ckpt", "type weights=best.ckpt."),
        ("predict best.ckpt a.jpg b.jpg", "type 'source=*.jpg' in quotes"),
        ("predict help", "python -m regseg.predict --help"),
        ("predict --source photo.jpg", "did you mean source=photo.jpg?"),
        ("predict -o labels source=photo.jpg", "did you mean out=labels?"),
        ("predict -i photo.jpg", "photo.jpg is not OPTION=VALUE; type source=photo.jpg."),
        ("describe size=[720, 960]", "type 'size=[720,960]'."),
        ("predict --overwrite source=photo.jpg", "did you mean overwrite=true?"),
        ("train --epochs 5", "did you mean trainer.max_epochs=5?"),
        ("train --learning-rate=0.1", "did you mean optimizer.lr=0.1?"),
        ("train demo", "type experiment=demo."),
        ("train camvid_360", "experiment=camvid_360"),
        ("train smoke", "type trainer=smoke."),
        ("train ohem", "type loss=ohem."),
        ("train lraspp", "type model/decoder=lraspp."),
        ("train resume", "type resume=VALUE."),
        ("train photos", "type data.root=photos."),
        ("train evaluate", "type python -m regseg.evaluate."),
        ("evaluate runs/mine", "type weights=runs/mine."),
        ("evaluate best.ckpt photos", "type weights=best.ckpt data.root=photos."),
        ("evaluate weights=best.ckpt test", "type split=test."),
        ("export best.ckpt onnx", "type weights=best.ckpt format=onnx."),
        ("export weights=best.ckpt model.onnx", "type out=model.onnx."),
        ("prepare check", "type what=check."),
        ("prepare check photos", "type what=check data.root=photos."),
        ("report 4", "type table=4."),
        ("report table4", "type table=4."),
        ("report runs", "type runs=VALUE."),
        ("benchmark inference", "type what=inference."),
        ("describe dilation_1_6", "type model/backbone=dilation_1_6."),
        ("describe ddrnet23", "type model=ddrnet23."),
        ("dashboard runs/mine", "type runs=runs/mine."),
    ],
)
def test_bare_arguments(answer, line, typed):
    assert typed in answer(*line.split())


def test_paths_are_quoted_for_the_shell(answer):
    assert answer("predict", "my photo (1).jpg").endswith("type 'source=my photo (1).jpg'.")


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("run=x", "run is a group of options (run.group, run.name); type run.name=x."),
        ("run=@x", "type run.name=@x."),
        ("run=2024-13-01", "run is a group"),
        ("run=null", "run is a group of options (run.group, run.name); set one of them."),
        ("callbacks.evaluation=3", "type callbacks.evaluation.every=3, or callbacks.evaluation=null to remove it."),
        ("callbacks.evaluation=true", "type callbacks.evaluation.loss=true"),
        ("callbacks.pictures=true", "callbacks.pictures=null"),
        ("data.augment=randaug", "data.augment is chosen by the group augment; type augment=randaug."),
        ("data.augment=x", "augment=NAME, where NAME is one of flip, jitter, randaug."),
        ("model.backbone=dilation_1_6", "type model/backbone=dilation_1_6."),
        ("model.decoder=5", "model/decoder=NAME"),
        ("logger.wandb=true", "logger.wandb is chosen by the group logger; type logger=wandb."),
        ("augment=randaug data.augment.randaug=2", "type data.augment.randaug.operations=2."),
        ("optimizer.lr.x=1", "optimizer.lr has no options below it; type optimizer.lr=1."),
        ("+optimizer.lr.x=1", "type optimizer.lr=1."),
        ("trainer.max_epochs.x=1", "type trainer.max_epochs=1."),
        ("seed.x=3", "type seed=3."),
        ("callbacks=[]", "callbacks=[] chooses nothing; choose one of default, early_stopping, ema."),
        ("augment=[]", "augment=[] chooses nothing; choose one of flip, jitter, randaug."),
        ("augment=null", "augment cannot be null; choose one of flip, jitter, randaug."),
        ("model/decoder=Null", "model/decoder cannot be null; choose one of bisenet, "),
        ("row=5", "row/5 does not exist; choose one of camvid_table4/dilation_1, "),
        ("trainer=5", "trainer/5 does not exist; choose one of default, smoke."),
        ("logger=true", "logger/true does not exist; choose one of csv, mlflow, tensorboard, wandb."),
    ],
)
def test_values_at_another_level(answer, line, words):
    assert words in answer("train", *line.split())


def test_a_group_of_other_commands_is_not_null(answer):
    assert answer("export", "data=null") == "This command has no group data; --help lists its groups and options."


@pytest.fixture
def own(tmp_path):
    """A user's own configuration files: a dataset, an experiment with it, and a primary configuration."""
    files = {
        "data/mine.yaml": "defaults: [camvid]\nroot: photos  # where they are\n",
        "experiment/quick.yaml": "# @package _global_\ndefaults: [override /data: mine]\n",
        "small.yaml": "defaults: [train, override data: mine, override trainer: smoke, _self_]\nseed: 3\n",
    }
    for name, text in files.items():
        (tmp_path / "own" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "own" / name).write_text(text)
    return tmp_path / "own"


@pytest.mark.parametrize("folder", ["--config-dir=own", "hydra.searchpath=[own]"])
def test_configurations_of_a_users_own_count(answer, own, folder):
    assert "type run.name=x." in answer("train", folder, "data=mine", "run=x")
    assert "type model/backbone=dilation_1_6." in answer("train", folder, "data=mine", "model.backbone=dilation_1_6")
    assert answer("train", folder, "experiment=quick", "seed=1") == ""


def test_a_primary_configuration_of_a_users_own(answer, own, run_module, tmp_path):
    assert "type data=mine." in answer("train", "-cd", "own", "mine")
    assert "type run.name=x." in answer("train", "-cd", "own", "-cn", "small", "run=x")
    assert answer("train", "-cd", "nowhere", "x") == (
        "--config-dir=nowhere is not a folder; choose the folder of your own configuration files."
    )
    result = run_module("regseg.train", "-cd", "own", "-cn", "small", "overwrite=maybe")
    assert (result.returncode, "overwrite=maybe is neither" in result.stderr) == (2, True), result.stderr
    result = run_module("regseg.train", "-cd", "own", "experiment=quick", "--help")
    assert result.returncode == 0 and "folder, [mine], streets" in result.stdout, result.stderr
    assert re.search(r"data.root=photos +where they are", result.stdout)


@pytest.mark.parametrize(
    "line",
    [
        "",
        "-m experiment=table4 seed=0,1 hydra/launcher=parallel",
        "callbacks.pictures=null callbacks.evaluation=false +callbacks@callbacks.ema=ema logger=[]",
        "callbacks=[default,ema,early_stopping] callbacks.ema.decay=0.99",
        "model.backbone.dilations=[[1],[1,2]] ~scheduler.warmup_iters +data.options={height:64}",
        "data=camvid data.augment={flip:0.5} logger=[tensorboard,wandb] logger.wandb.offline=true",
        "trainer=smoke trainer.limit_train_batches=2 +trainer.plugins.x=1 --config-dir conf",
        "data.root= weights=null --cfg job",
        "weights= ~scheduler.warmup_iters",
    ],
)
def test_what_is_well_formed_passes(answer, line):
    assert answer("train", *line.split()) == ""
    assert answer("predict", "source=a=b.jpg", "out=x y") == ""


def test_empty_arguments_are_answered(answer):
    for arguments in (["", "source=x"], ["--source", ""], ["source", "=", ""]):
        assert answer("predict", *arguments).startswith("An argument is empty")
    assert answer("predict", "=x.jpg", "out=y") == "=x.jpg names no option; type OPTION=x.jpg."


def test_a_command_answers_so(run_module, tmp_path):
    result = run_module("regseg.predict", "photo.jpg")
    assert (result.returncode, result.stderr) == (2, "regseg: photo.jpg is not OPTION=VALUE; type source=photo.jpg.\n")
    assert run_module("regseg.predict", "photo.jpg", "--help").returncode == 0
    assert "run.name=x" in run_module("regseg.train", "-m", "run=x", "seed=0,1").stderr
    assert not list(tmp_path.iterdir())
