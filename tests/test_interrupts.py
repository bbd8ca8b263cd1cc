"""How a command ends: signals, processes of a distributed run, output that nobody reads; reported in one sentence."""

import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from child_processes import WAIT, job, started

import regseg
from regseg.cli import entry_point
from regseg.error_messages import explain
from regseg.errors import InputError, RunFailure
from regseg.run_dir import mark_ended, read_summary, write_json
from regseg.system import processes, signals
from regseg.training.record import RunRecord, end_noted
from regseg.training.trainer import make_trainer


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT", "SIGHUP"])
def test_a_signal_ends_a_command_with_its_status_and_how_to_continue(name):
    with started(job(WAIT)) as process:
        process.send_signal(getattr(signal, name))
        _, errors = process.communicate(timeout=30)
    assert process.returncode == 128 + getattr(signal, name)
    assert errors == (
        "regseg: interrupted before the run began; start it again with this command:\n"
        "  python -m regseg.report table=4\n"
    )


def test_an_interrupted_command_does_not_wait_for_its_threads():
    """One may compile a kernel, which takes seconds."""
    threads = "import atexit, threading\natexit.register(print, 'tidied up')\nthreading.Thread(target=wait).start()\n"
    code = "from regseg.system import signals\nsignals.exit_on_signals()\n" + job(f"{threads}{WAIT}", resumable=False)
    with started(f"import time\ndef wait():\n    time.sleep(40)\n{code}") as process:
        process.send_signal(signal.SIGTERM)
        output, errors = process.communicate(timeout=20)
    assert (process.returncode, output, errors) == (143, "tidied up\n", "regseg: interrupted.\n")


@pytest.mark.parametrize("name", ["RANK", "NODE_RANK", "SLURM_PROCID"])
def test_of_the_processes_that_get_a_signal_the_first_one_prints(name):
    """torchrun and srun start all processes of a run, and send signals to all of them."""
    with started(job(WAIT), env={name: "1"}) as process:
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=30)
    assert (process.returncode, errors) == (143, "")


SOURCES = Path(regseg.__file__).parents[1]
WITH_SOURCES = {**os.environ, "PYTHONPATH": str(SOURCES)}
WAITS = "for _ in range(50): time.sleep(0.1)"


@pytest.mark.parametrize(
    "code",
    [
        f"try:\n    {WAITS}\nexcept BaseException: pass\n{WAITS}",
        f"class Gone:\n    def __del__(self):\n        {WAITS}\nGone()\n{WAITS}",
    ],
    ids=["caught", "destructor"],
)
def test_a_signal_that_a_library_discards_is_sent_again(code):
    """As some do with any error while they are imported; a destructor cannot raise at all."""
    with started(job(f"import sys, time\nprint('ready', flush=True)\n{code}")) as process:
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=30)
    assert process.returncode == 143 and errors.startswith("regseg: interrupted before") and errors.count("\n") == 2


@pytest.mark.parametrize("program", [["-m", "regseg.train"], ["-m", "regseg", "train"], ["regseg", "describe"]])
@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
def test_a_signal_while_a_command_starts_is_one_sentence(program, name, tmp_path):
    """Python imports Hydra then, before the command's own code runs."""
    slow = tmp_path / "omegaconf.py"  # stands for the import of any library
    slow.write_text("import time\nprint('ready', flush=True)\ntime.sleep(20)\n")
    if program[0] == "regseg":
        program[0] = str(tmp_path / "regseg")
        (tmp_path / "regseg").write_text("from regseg.__main__ import main\nmain()\n")
    with started(*program, env={"PYTHONPATH": f"{tmp_path}{os.pathsep}{SOURCES}"}) as process:
        process.send_signal(getattr(signal, name))
        _, errors = process.communicate(timeout=30)
    assert (process.returncode, errors) == (128 + getattr(signal, name), "regseg: interrupted.\n")


def test_nothing_slow_is_imported_before_the_handlers():
    """Until they are set, Ctrl-C shows Python's own traceback."""
    code = (
        "import signal, sys\n"
        "before, whole = set(sys.modules), signal.signal\n"
        "def noted(number, handler):\n"
        "    print(*sorted(set(sys.modules) - before))\n"
        "    return whole(number, handler)\n"
        "signal.signal, sys.argv = noted, ['regseg']\n"
        "import regseg\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=WITH_SOURCES)
    first = set(done.stdout.splitlines()[0].split())
    assert first <= {"__future__", "regseg", "regseg.system", "regseg.system.signals"}, done.stderr


def test_importing_the_package_sets_no_signal_handlers():
    code = "import signal, regseg; print(signal.getsignal(signal.SIGTERM), 'ready')"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "0 ready\n"


def test_a_run_that_is_ended_is_not_called_running(tmp_path):
    write_json(tmp_path / "summary.json", {"status": "running", "best": None, "last": None})
    with pytest.raises(signals.Terminated), end_noted(tmp_path):
        raise signals.Terminated(143)
    assert read_summary(tmp_path)["status"] == "interrupted"
    mark_ended(tmp_path, "failed")
    assert read_summary(tmp_path)["status"] == "interrupted"
    mark_ended(tmp_path / "nowhere", "failed")


def test_a_removed_run_folder_is_named(tmp_path):
    with pytest.raises(RunFailure, match="was removed during training"), end_noted(tmp_path / "gone"):
        raise FileNotFoundError(errno.ENOENT, "No such file", "summary.tmp")


def test_lightning_sets_no_signal_handlers(tmp_path):
    before = signal.getsignal(signal.SIGTERM)
    trainer = make_trainer({"accelerator": "cpu"}, tmp_path)
    trainer._signal_connector.register_signal_handlers()
    assert signal.getsignal(signal.SIGTERM) is before


def test_an_error_of_a_rank_is_reported_as_that_error(tmp_path, monkeypatch):
    """One process notes it before the others lose the connection; what they say then is not noted."""
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    write_json(tmp_path / "summary.json", {"status": "running", "best": None, "last": None})
    strategy = SimpleNamespace(launcher=None)
    record = RunRecord(tmp_path, {})
    record.on_exception(SimpleNamespace(is_global_zero=False, strategy=strategy), None, InputError("a bad label"))
    record.on_exception(SimpleNamespace(is_global_zero=True, strategy=strategy), None, RuntimeError("closed by peer"))
    assert (read_summary(tmp_path)["status"], read_summary(tmp_path)["error"]) == ("failed", "a bad label.")


@pytest.mark.parametrize(("code", "status"), [("sys.exit(2)", 2), ("os.kill(os.getpid(), 9)", 1)])
def test_a_failed_rank_ends_a_command_that_waits_for_it(code, status):
    rank = f"import os, sys, time; time.sleep(0.5); {code}"
    watching = (
        "import subprocess, sys, time\nfrom regseg.system import processes\nprocesses._TIMEOUT = 0.5\nprint('ready')\n"
        f"processes.watch_ranks([subprocess.Popen([sys.executable, '-c', {rank!r}])])\ntime.sleep(20)"
    )
    with started(watching) as process:
        assert process.wait(timeout=10) == status
        assert ("SIGKILL" in process.stderr.read()) == (status == 1)


class ProcessRaisedException(Exception):
    """As torch.multiprocessing names it."""


class MisconfigurationException(Exception):
    """As Lightning names it."""


@pytest.mark.parametrize(
    ("error", "status", "words"),
    [
        (RuntimeError("DataLoader worker (pid 6) is killed by signal: Killed. "), 1, "worker was killed (Killed)"),
        (RuntimeError("DataLoader worker (pid(s) 1, 2) exited unexpectedly"), 1, "data.num_workers"),
        (RuntimeError("DataLoader worker (pid 1) is killed by signal: Bus error. It is possible"), 1, "/dev/shm"),
        (RuntimeError("[enforce fail] . PytorchStreamWriter failed writing file data/0"), 1, "free some space"),
        (MisconfigurationException("Cannot use `A` callback with `Trainer`\nthat has no logger."), 2, "has no logger."),
        (RuntimeError("Early stopping conditioned on metric `val/x` which is not available."), 2, "`val/x`"),
        (ProcessRaisedException("Traceback …\nx.MisconfigurationException: no logger\n"), 2, "no logger."),
        (ProcessRaisedException("Traceback …\nregseg.errors.InputError: lower it.\n"), 2, "lower it."),
        (OSError(errno.ENOSPC, "No space left on device", "runs"), 1, "runs cannot be read or written"),
        (PermissionError(errno.EACCES, "Permission denied", "runs"), 2, "choose another path"),
        (NotADirectoryError(errno.ENOTDIR, "Not a directory", "a/b"), 2, "a/b cannot be read or written"),
        (OSError(errno.EFBIG, "File too large", "a"), 1, "free some space"),
        (RunFailure("It was removed."), 1, "It was removed."),
    ],
)  # fmt: skip
def test_what_ends_a_run_is_one_sentence(error, status, words):
    found, sentence = explain(error)
    assert found == status and words in sentence and sentence.endswith(".") and "\n" not in sentence


def test_defects_keep_their_trace():
    for error in (RuntimeError("shape"), TypeError("of a user's class"), FileNotFoundError(errno.ENOENT, "No", "x")):
        assert explain(error) is None
    assert explain(ProcessRaisedException("Traceback …\nRuntimeError: shape\n")) is None


def test_a_current_folder_that_was_removed(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(processes, "set_up_main", lambda: None)
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    monkeypatch.setattr(sys, "argv", ["regseg.report", "-m", "table=4"])
    with pytest.raises(SystemExit) as end:
        entry_point("report")(print)()
    assert end.value.code == 1 and capsys.readouterr().err.startswith("regseg: The current folder was removed;")
