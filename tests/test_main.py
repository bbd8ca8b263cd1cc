"""`python -m regseg COMMAND …` and the console script `regseg`."""

import importlib.util
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from regseg.__main__ import COMMANDS

ROOT = Path(__file__).parents[1]


def test_every_entry_point_is_a_command():
    sources = {path.stem for path in (ROOT / "src/regseg").glob("*.py") if "\n@entry_point(" in path.read_text("utf-8")}
    assert sources == {name for name in COMMANDS if importlib.util.find_spec(f"regseg.{name}")}


def test_a_command_gets_its_arguments(run_module):
    direct = run_module("regseg.report", "table=9", "out=direct")
    assert direct.returncode == 0, direct.stderr
    result = run_module("regseg", "report", "table=9", "out=direct")
    assert (result.returncode, result.stdout) == (0, direct.stdout)


def test_help_lists_the_commands(run_module):
    result = run_module("regseg", "--help")
    assert result.returncode == 0
    assert all(name in result.stdout for name in ("train", "evaluate", "describe", "report"))
    assert run_module("regseg").stdout == result.stdout


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
@pytest.mark.parametrize(
    "command", [["regseg", "--version"], ["regseg.report", "table=9"], ["regseg.report", "--help"]]
)
def test_output_onto_a_full_disk_is_one_sentence(command, tmp_path):
    with open("/dev/full", "w") as full:
        command = [sys.executable, "-m", *command]
        result = subprocess.run(command, cwd=tmp_path, stdout=full, stderr=subprocess.PIPE, text=True, timeout=120)
    assert result.returncode == 1 and len(result.stderr.splitlines()) == 1, result.stderr
    assert result.stderr.startswith("regseg: The output cannot be") and "No space left" in result.stderr


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("trian", "did you mean train?"),
        ("evalute", "did you mean evaluate?"),
        ("xyz", "train, ev"),
        ("predict.py", "did you mean predict?"),
        ("photo.jpg", "type regseg predict source=photo.jpg."),
        ("source=photo.jpg", "after a command, as in regseg predict source=photo.jpg."),
    ],
)
def test_an_unknown_command_suggests_the_nearest(run_module, command, words):
    result = run_module("regseg", command, "data=streets")
    assert result.returncode == 2 and words in result.stderr and len(result.stderr.splitlines()) == 1


def test_a_mistake_ends_with_its_status(run_module):
    result = run_module("regseg", "train", "data=nowhere")
    assert result.returncode == 2 and "nowhere does not exist" in result.stderr


def test_the_console_script_is_declared():
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["scripts"]
    assert scripts == {"regseg": "regseg.__main__:main"}
