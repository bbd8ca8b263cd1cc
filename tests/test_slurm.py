"""Sweeps on Slurm, with the programs of Slurm replaced by scripts."""

import os
import subprocess
from types import SimpleNamespace

import pytest
from submitit.core import core, logger
from submitit.core.utils import UncompletedJobError
from submitit.slurm.slurm import SlurmInfoWatcher, SlurmJob

from regseg import slurm
from regseg.multirun import failures, note_run, sweep_folder
from regseg.run_dir import write_json
from regseg.sweep_results import print_runs


@pytest.fixture
def program(tmp_path, monkeypatch):
    """Replace a program by a shell script."""
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")

    def replace(name, script):
        path = tmp_path / "bin" / name
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)

    return replace


@pytest.fixture
def watcher(monkeypatch, capfd):
    """A watcher of two jobs of an array, as a sweep prepares it."""
    monkeypatch.setattr(core, "subprocess", subprocess)  # restored afterwards, as are the others
    monkeypatch.setattr(logger.get_logger(), "filters", [])
    monkeypatch.setattr(SlurmJob, "results", SlurmJob.results)
    slurm.prepare_sweep()
    assert "one Slurm job per run" in capfd.readouterr().out
    watcher = SlurmInfoWatcher()
    for job in ("7_0", "7_1"):
        watcher.register_job(job)
    return watcher


def test_without_accounting_squeue_tells_which_jobs_ended(program, watcher, capfd):
    program("sacct", "echo Slurm accounting storage is disabled >&2; exit 1")
    program("squeue", "echo '7_0|RUNNING|node'; echo '7_1|PENDING|'; echo '8|RUNNING|node'")
    watcher.update()
    states = [watcher.get_state(job, mode="cache") for job in ("7_0", "7_1")]
    program("squeue", "echo '7_0|RUNNING|node'")
    watcher.update()
    states += [watcher.get_state(job, mode="cache") for job in ("7_0", "7_1")]
    assert states == ["RUNNING", "PENDING", "RUNNING", "ENDED"]
    assert watcher.is_done("7_1", mode="cache") and not watcher.is_done("7_0", mode="cache")
    program("squeue", "exit 1")  # for a moment, Slurm does not answer
    watcher.update()
    assert not watcher.is_done("7_0", mode="cache") and capfd.readouterr() == ("", "")


def test_with_accounting_sacct_is_used(program, watcher):
    program("sacct", "echo 'JobID|State|NodeList'; echo '7_0|COMPLETED|node'; echo '7_1|RUNNING|node'")
    program("squeue", "exit 1")
    watcher.update()
    assert [watcher.get_state(job, mode="cache") for job in ("7_0", "7_1")] == ["COMPLETED", "RUNNING"]


def test_a_cancelled_job_fails_its_row_and_the_others_are_waited_for(tmp_path, monkeypatch, capsys):
    class Cancelled:
        def submission(self):
            return SimpleNamespace(args=(["seed=1", "data=streets"], "hydra.sweep.dir", 1, "id", None))

        def results(self):
            raise UncompletedJobError("Job 7_1 has not produced any output")

    monkeypatch.chdir(tmp_path)
    results = slurm._results_or_note(Cancelled.results)
    with sweep_folder("python -m regseg.train -m"):
        for number, folder in enumerate((tmp_path / "runs" / "a" / "one", tmp_path / "runs" / "a" / "two")):
            folder.mkdir(parents=True)
            write_json(folder / "summary.json", {"status": "running" if number else "finished"})
            note_run(number, "", folder, folder.name)
        assert [result.return_value for result in results(Cancelled())] == [None]
        print_runs()
        ((overrides, sentence),) = failures()
    assert overrides == "seed=1 data=streets" and "ended without a result" in sentence
    assert "│ two │ interrupted │" in capsys.readouterr().out  # killed, not refused
