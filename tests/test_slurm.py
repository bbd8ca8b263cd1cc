"""Sweeps on Slurm, with the programs of Slurm replaced by scripts."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from submitit.core import core, logger
from submitit.core.utils import FailedJobError, UncompletedJobError
from submitit.slurm.slurm import SlurmExecutor, SlurmInfoWatcher, SlurmJob

from regseg import slurm
from regseg.error_messages import explain
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
    monkeypatch.setattr(core.Job, "results", core.Job.results)
    monkeypatch.setenv("SBATCH_EXPORT", "NONE")
    monkeypatch.setattr(SlurmJob, "watcher", watcher := SlurmInfoWatcher())
    slurm.prepare_sweep(Path.cwd() / "runs", trains=True)
    assert "output.log in its run folder, and errors to runs/.submitit." in capfd.readouterr().out
    slurm.prepare_sweep(Path.cwd() / "out" / "jobs", trains=False)
    assert "Each prints to out/jobs/.submitit." in capfd.readouterr().out
    assert "SBATCH_EXPORT" not in os.environ  # jobs need the variables of this command
    for job in ("7_0", "7_1"):
        watcher.register_job(job)
    return watcher


def test_a_job_is_waited_for_as_long_as_squeue_lists_it(program, watcher, monkeypatch, capfd):
    """Whether Slurm has accounting, and whatever its state; submitit takes some states for the end."""
    program("sacct", "echo 'JobID|State|NodeList'; echo '7_0|SUSPENDED|node'; echo '7_1|NODE_FAIL|node'")
    program("squeue", "test -z $SQUEUE_STATES && printf '7_0\\n7_1\\n8\\n'")
    monkeypatch.setenv("SQUEUE_STATES", "RUNNING")  # would hide jobs
    watcher.update()
    assert not watcher.is_done("7_0", mode="cache") and not watcher.is_done("7_1", mode="cache")
    program("squeue", "exit 1")  # for a moment, Slurm does not answer
    watcher.update()
    assert not watcher.is_done("7_0", mode="cache") and capfd.readouterr() == ("", "")
    program("squeue", "echo 7_0")
    watcher.update()
    assert watcher.is_done("7_1", mode="cache") and not watcher.is_done("7_0", mode="cache")


def test_a_job_that_is_cancelled_before_squeue_listed_it_has_ended(program, watcher):
    program("squeue", "case $* in *--states=all*) echo '7_[0-1]';; *) echo 8;; esac")
    watcher.update()
    assert watcher.is_done("7_0", mode="cache") and watcher.is_done("7_1", mode="cache")
    program("squeue", "echo 8")  # after some minutes, Slurm forgets ended jobs
    watcher.update()
    assert watcher.is_done("7_0", mode="cache")


def test_jobs_of_another_cluster_are_waited_for(program, watcher):
    """With ``clusters`` in additional_parameters, or SBATCH_CLUSTERS, `squeue` does not know them."""
    program("squeue", "echo 8")
    watcher.update()
    assert not watcher.is_done("7_0", mode="cache") and not watcher.is_done("7_1", mode="cache")


@pytest.mark.parametrize("last", [False, True])
def test_a_job_that_reaches_its_last_time_limit_is_interrupted(monkeypatch, capfd, last):
    """submitit's handler exits after it has queued the job again, and otherwise raises an error."""

    def requeue(number, frame):
        if last:
            raise UncompletedJobError("Job not requeued because: timed-out too many times.")
        sys.exit(-1)

    before = signal.signal(signal.SIGUSR2, requeue)
    try:
        slurm.interrupt_at_last_timeout()
        with pytest.raises(SystemExit) as ended:
            signal.raise_signal(signal.SIGUSR2)
    finally:
        signal.signal(signal.SIGUSR2, before)
    assert ended.value.code == (1 if last else -1) and ("too many times" in capfd.readouterr().err) is last


def test_a_users_own_job_of_submitit_needs_no_submitit_here(monkeypatch):
    monkeypatch.setitem(sys.modules, "submitit.core.job_environment", None)
    before = signal.getsignal(signal.SIGUSR2)
    slurm.interrupt_at_last_timeout()
    assert signal.getsignal(signal.SIGUSR2) is before


def test_what_slurm_refuses_is_one_sentence(program, tmp_path):
    program("srun", "")
    program("sbatch", "printf 'sbatch: error: invalid partition: none\\nsbatch: error: Failed.\\n' >&2; exit 1")
    executor = SlurmExecutor(tmp_path)
    with pytest.raises(FailedJobError) as caught:
        executor.submit(print)
    status, sentence = explain(caught.value)
    assert status == 2 and "refused the jobs: invalid partition: none, Failed; change" in sentence


def test_without_slurm_one_sentence_says_so(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(RuntimeError) as caught:
        SlurmExecutor(tmp_path)
    status, sentence = explain(caught.value)
    assert status == 2 and "needs srun" in sentence


def test_a_cancelled_job_fails_its_row_and_the_others_are_waited_for(tmp_path, monkeypatch, capsys):
    class Cancelled:
        paths = SimpleNamespace(stderr=Path("7_1_0_log.err"))  # does not exist: the job never began

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
    assert overrides == "seed=1 data=streets" and "ended without a result" in sentence and "log" not in sentence
    assert "│ two │ interrupted │" in capsys.readouterr().out  # killed, not refused
