"""The command that an interrupted or failed one prints."""

import pytest

from regseg import continuation
from regseg.continuation import after_failures, after_signal

BEGAN = "2026-01-31T12:00:00.000Z"
ARGUMENTS = ["data.root=a b", "overwrite=true", "+resume=null", "lr=1"]
SWEEP = f", which replaces only the runs that began before {BEGAN}"


@pytest.fixture(autouse=True)
def fresh():
    yield
    continuation.forget()


def remedy(*arguments, command="train", entered=False):
    (continuation.entered if entered else continuation.forget)()
    kind = {"resumable": command == "train", "repeatable": command == "predict"}
    return after_signal(command, arguments, BEGAN, **kind)


def test_a_run_that_did_not_begin_is_started_again():
    """Its folder may hold an earlier run, which ``resume=last`` would continue."""
    for arguments in (ARGUMENTS, ["experiment=demo"], ["resume=last"]):
        sentence, command = remedy(*arguments).split("\n")
        assert sentence == " before the run began; start it again with this command:"
        assert command.split() == continuation.command_line("train", arguments).split()


def test_a_run_that_began_is_resumed():
    assert remedy(*ARGUMENTS, entered=True) == (
        "; continue with this command:\n  python -m regseg.train 'data.root=a b' lr=1 resume=last"
    )


def test_a_sweep_replaces_what_it_has_not_replaced_yet():
    """Its finished runs began after it, so that they are kept; the time stays when it is interrupted again."""
    for typed in ("overwrite=true", "++overwrite=True", f"overwrite={BEGAN}"):
        expected = f"{SWEEP}:\n  python -m regseg.train -m 'x=a b' overwrite={BEGAN}"
        assert remedy("-m", "x=a b", typed, "resume=last") == f"; continue with this command{expected}"
        assert after_failures("train", ["-m", "x=a b", typed], BEGAN, resumable=True) == (
            f"continue with this command{expected}"
        )
    for typed in ([], ["overwrite=false"]):
        assert "continue with this command:\n" in remedy("-m", "x=1,2", *typed)
        assert "same command, which skips" in after_failures("train", ["-m", *typed], BEGAN, resumable=True)
    assert after_failures("evaluate", ["-m", "x=1,2"], BEGAN, resumable=False) == "rerun the same command."


@pytest.mark.parametrize("command", ["train", "predict"])
def test_the_jobs_of_a_sweep_on_slurm_continue(command):
    """A second job for the same run would be refused while the first one trains."""
    sentence = remedy("-m", "hydra/launcher=slurm", "x=1,2", command=command)
    assert sentence.startswith("; its Slurm jobs continue. Once `squeue` no longer lists them, continue")
    assert sentence.endswith(f":\n  python -m regseg.{command} -m hydra/launcher=slurm x=1,2")


def test_a_prediction_replaces_once():
    arguments = ["source=a", "overwrite=true"]
    for given, entered, kept in (([], False, True), ([], True, False), (["-m"], True, True)):
        sentence = remedy(*given, *arguments, command="predict", entered=entered)
        assert sentence.startswith("; continue with this command:\n") and ("overwrite=true" in sentence) is kept


def test_what_cannot_be_continued():
    assert remedy("what=check", command="prepare") == remedy("--help") == "."
