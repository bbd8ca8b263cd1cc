"""The help of the commands: every option is explained."""

import pytest
from hydra import compose, initialize_config_dir

from regseg.config import config_dir, values_of
from regseg.help_text import _chosen, _options, option_comments
from regseg.run_names import register_resolvers

COMMANDS = [path.stem for path in sorted(config_dir().glob("*.yaml"))]
GROUPS = ("augment", "data", "loss", "model", "logger", "optimizer", "scheduler")
CHOICES = [f"{group}={path.stem}" for group in GROUPS for path in sorted((config_dir() / group).glob("[!_]*.yaml"))]


@pytest.mark.parametrize(
    ("command", "choice"), [*((command, None) for command in COMMANDS), *(("train", choice) for choice in CHOICES)]
)
def test_every_option_has_a_comment(command, choice):
    register_resolvers()
    with initialize_config_dir(str(config_dir()), version_base="1.3"):
        cfg = compose(command, overrides=[choice] if choice else [], return_hydra_config=True)
    comments = option_comments(command, _chosen(cfg))
    options = [name for name, _ in _options({key: node for key, node in values_of(cfg).items() if key != "hydra"})]
    assert not [name for name in options if not comments.get(name)]


def test_help_with_an_empty_argument(run_module):
    assert run_module("regseg.report", "", "--help").returncode == 0


def test_help_of_several_loggers(run_module):
    result = run_module("regseg.train", "logger=[tensorboard,wandb]", "--help")
    assert result.returncode == 0, result.stderr
    assert "camvid_table4/dilation_1, " in result.stdout  # the rows of a table, in a folder of its own
    assert result.stdout.count("csv, mlflow, [tensorboard], [wandb]") == 1
    assert "Powered by Hydra" not in result.stdout  # the help of Hydra, which is printed by running it
    assert "logger.wandb.project=regseg         the W&B project" in result.stdout
