"""Python processes that tests start, signal and end."""

import contextlib
import subprocess
import sys

WAIT = "import sys, time\nprint('ready', flush=True)\nfor _ in range(200): time.sleep(0.1)\n"
# As in a terminal; tests that run in the background of a shell would pass on an ignored SIGINT.
DEFAULT = "import signal\nfor n in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP): signal.signal(n, signal.SIG_DFL)\n"


@contextlib.contextmanager
def started(code):
    """Start a Python process that prints `ready` and then waits."""
    process = subprocess.Popen(
        [sys.executable, "-c", DEFAULT + code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        while (line := process.stdout.readline()) and "ready" not in line:
            pass
        yield process
    finally:
        process.kill()
        process.communicate()


def job(code):
    """Return the code of a command whose job is ``code``."""
    lines = "".join(f"    {line}\n" for line in code.splitlines())
    return f"import sys\nfrom regseg.cli import entry_point\nsys.argv = ['x', 'table=4']\ndef job(cfg):\n{lines}" + (
        "entry_point('report', resumable=True)(job)()\n"
    )
