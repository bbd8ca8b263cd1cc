"""Output that nobody reads, or that an encoding lacks."""

import io
import os
import subprocess
import sys

import pytest
from child_processes import job

from regseg.system.output import guard_output, occupy


@pytest.mark.parametrize("printer", ["print('é', 'a' * 9999, flush=True)", "rich.console.Console().print('é' * 99)"])
def test_output_to_a_closed_pipe_is_discarded(printer, tmp_path):
    code = job(
        "import rich.console, time\nprint('ready', flush=True); time.sleep(1)\n"
        f"for _ in range(9): {printer}\nopen('end', 'w').close()"
    )
    shell = ["bash", "-c", 'set -o pipefail; "$0" -c "$1" | head -n 1', sys.executable, code]
    result = subprocess.run(shell, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert (result.returncode, result.stdout, result.stderr) == (0, "ready\n", "") and (tmp_path / "end").exists()


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_any_name_is_printed_in_any_encoding(encoding):
    code = job(
        "import rich.console, rich.table\ntable = rich.table.Table()\ntable.add_column('\\u5e97\\udce9')\n"
        "rich.console.Console().print(table)\nprint('caf\\xe9 \\u5e97 \\udce9')\nraise SystemExit(5)"
    )
    environment = {**os.environ, "PYTHONIOENCODING": encoding, "PYTHONUTF8": "0"}
    result = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, timeout=60)
    assert result.returncode == 5 and result.stdout.decode(encoding).splitlines()[-1].endswith("\\u5e97 \\udce9")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a device that is always full")
def test_error_messages_onto_a_full_disk_are_discarded():
    code = job("print('lost', file=sys.stderr); print('kept'); raise SystemExit(5)")
    with open("/dev/full", "w") as full:
        result = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=full, timeout=60)
    assert (result.returncode, result.stdout) == (5, b"kept\n")


@pytest.mark.parametrize("name", ["stdout", "stderr"])
def test_a_stream_that_was_closed_before_the_start_takes_output(monkeypatch, name):
    """As with >&-."""
    for other in ("stdout", "stderr"):  # streams of pytest are not changed
        monkeypatch.setattr(sys, other, None if other == name else io.StringIO())
    guard_output()
    guard_output()  # as `regseg COMMAND` does
    with getattr(sys, name) as stream:
        print("é 店 \udce9", file=stream, flush=True)


def test_a_closed_descriptor_is_not_given_to_a_file():
    """Otherwise what a library prints would be written into that file."""
    descriptor = os.dup(0)
    os.close(descriptor)
    occupy(descriptor)
    try:
        assert os.path.samestat(os.fstat(descriptor), os.stat(os.devnull))
        before = os.fstat(descriptor)
        occupy(descriptor)
        assert os.path.samestat(os.fstat(descriptor), before)
    finally:
        os.close(descriptor)
