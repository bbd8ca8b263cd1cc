"""Output that nobody reads, or that an encoding lacks."""

import os
import subprocess
import sys

import pytest
from child_processes import job

from regseg.system.output import guard_output


@pytest.mark.parametrize("printer", ["print('é', 'a' * 9999, flush=True)", "rich.console.Console().print('é' * 99)"])
def test_output_to_a_closed_pipe_is_discarded(printer, tmp_path):
    code = job(
        "import rich.console, time\nprint('ready', flush=True); time.sleep(1)\n"
        f"for _ in range(9): {printer}\nopen('end', 'w').close()"
    )
    shell = ["bash", "-c", 'set -o pipefail; "$0" -c "$1" | head -n 1', sys.executable, code]
    result = subprocess.run(shell, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert (result.returncode, result.stdout, result.stderr) == (0, "ready\n", "") and (tmp_path / "end").exists()


def test_a_log_file_gets_each_line_at_once(tmp_path, monkeypatch):
    files = {name: (tmp_path / name).open("w") for name in ("stdout", "stderr")}
    for name, file in files.items():
        monkeypatch.setattr(sys, name, file)
    guard_output()
    print("images: 3")
    print("regseg: careful", file=sys.stderr)
    assert ((tmp_path / "stdout").read_text(), (tmp_path / "stderr").read_text()) == (
        "images: 3\n",
        "regseg: careful\n",
    )


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


def test_streams_that_are_closed_when_python_starts(tmp_path):
    """A file that is opened later does not get a descriptor to which libraries print."""
    code = job(
        "print('lost', file=sys.stderr); print('lost', flush=True); sys.stdin.read()\n"
        "import subprocess; subprocess.run(['sh', '-c', 'cat && echo lost && echo lost >&2'], check=True)\n"
        "with open('end', 'w') as file: print(file.fileno(), file=file)\nraise SystemExit(5)"
    )
    shell = ["bash", "-c", '"$0" -c "$1" <&- >&- 2>&-', sys.executable, code]
    assert subprocess.run(shell, cwd=tmp_path, timeout=60).returncode == 5
    assert int((tmp_path / "end").read_text()) > 2
