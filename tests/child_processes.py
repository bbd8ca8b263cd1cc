"""Python processes that tests start, signal and end."""

import contextlib
import os
import signal
import subprocess
import sys

WAIT = "import sys, time\nprint('ready', flush=True)\nfor _ in range(200): time.sleep(0.1)\n"


@contextlib.contextmanager
def started(*arguments, env=None):
    """Start Python with these arguments, or with the code that is the only one; it prints `ready` and then waits."""
    arguments = ("-c", *arguments) if len(arguments) == 1 else arguments
    process = subprocess.Popen(
        [sys.executable, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **(env or {})},
        preexec_fn=default_signals,
    )
    try:
        while (line := process.stdout.readline()) and "ready" not in line:
            pass
        yield process
    finally:
        process.kill()
        process.communicate()


def default_signals():
    """Reset the handlers as in a terminal; tests in the background of a shell would pass on an ignored SIGINT."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


def job(code, resumable=True):
    """Return the code of a command whose job is ``code``."""
    lines = "".join(f"    {line}\n" for line in code.splitlines())
    return f"import sys\nfrom regseg.cli import entry_point\nsys.argv = ['x', 'table=4']\ndef job(cfg):\n{lines}" + (
        f"entry_point('report', resumable={resumable})(job)()\n"
    )
