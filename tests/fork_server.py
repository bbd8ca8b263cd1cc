"""Run commands like ``python -m MODULE ARGUMENTS``, but seconds faster: in forks of a process with the slow imports.

Reads requests as lines of JSON (module, arguments, cwd, env, out, err, timeout) and answers each with the exit status,
null after the timeout. Everything of this project is imported in the fork.
"""

import atexit
import gc
import json
import os
import runpy
import signal
import sys
import threading
import time

os.environ["MPLBACKEND"] = "agg"  # read when matplotlib is imported; the notebooks draw

import albumentations  # noqa: F401
import cykooz_resizer  # noqa: F401
import filelock  # noqa: F401
import hydra  # noqa: F401
import kornia_rs  # noqa: F401
import lightning.pytorch  # noqa: F401
import matplotlib.pyplot  # noqa: F401
import numba
import torchmetrics  # noqa: F401
from hydra.core.plugins import Plugins


def serve() -> dict | None:
    """Answer requests until the input ends; returns one in its fork, None at the end."""
    for line in sys.stdin:
        request = json.loads(line)
        child = os.fork()
        if child == 0:
            return request
        until = time.monotonic() + request["timeout"]
        while not (ended := os.waitpid(child, os.WNOHANG))[0] and time.monotonic() < until:
            time.sleep(0.01)
        if not ended[0]:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
        print(json.dumps(os.waitstatus_to_exitcode(ended[1]) if ended[0] else None), flush=True)
    return None


def leave(status: int) -> None:
    """Exit as Python does, but free no memory: that would write to every page and thereby copy it."""
    threading._shutdown()  # waits for non-daemon threads
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


Plugins.instance()  # imports Hydra's launchers
numba.njit(lambda: None)()  # sets up the compiler, which the fused upsampling needs even if its code is cached
gc.collect()
gc.freeze()  # otherwise, a garbage collection in a fork would write to every page, and so copy it, which takes seconds
request = serve()
if request is not None:
    for number, path in enumerate((os.devnull, request["out"], request["err"])):
        os.dup2(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), number)
    os.fsync = lambda descriptor: None  # fsync matters only after a power failure, and takes half of the time
    os.environ.clear()
    os.environ.update(request["env"])
    os.chdir(request["cwd"])
    # As `python -m` would have it: the current folder, PYTHONPATH, and the rest.
    sys.path[:1] = [request["cwd"], *filter(None, request["env"].get("PYTHONPATH", "").split(os.pathsep))]
    sys.argv = ["-m", *request["arguments"]]
    sys.stdin, sys.stdout, sys.stderr = (os.fdopen(number, "rw"[number > 0], closefd=False) for number in range(3))
    try:
        runpy.run_module(request["module"], run_name="__main__", alter_sys=True)
    except SystemExit as end:
        if not isinstance(end.code, int | None):
            raise
        leave(end.code or 0)
    leave(0)
