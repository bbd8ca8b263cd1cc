import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

# One thread in every process: sums then have one order, and threads do not wait for each other on shared cores, which
# would slow a small training tenfold.
os.environ.setdefault("OMP_NUM_THREADS", "1")
torch.set_num_threads(1)
os.fsync = lambda descriptor: None  # fsync matters only after a power failure, and takes half of the time
# A user's settings, or those of a Slurm job that runs the tests, would change what the commands do.
for name in list(os.environ):
    if name.startswith(("SLURM_", "SUBMITIT_", "REGSEG_")) and name != "REGSEG_CAMVID":
        del os.environ[name]
os.environ.pop("FORCE_COLOR", None)  # output into files would be coloured
os.environ["TERM"] = "xterm"  # on a dumb terminal, the progress bar would not be drawn
os.environ.setdefault("WANDB_MODE", "offline")  # no test asks the network
os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
if not torch.cuda.is_available():
    os.environ.setdefault("TRITON_INTERPRET", "1")  # kernels run on the CPU; read when Triton is imported


@pytest.fixture(scope="session", autouse=True)
def cache_of_the_tests(tmp_path_factory):
    """Converted networks are kept for one run of the tests only."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("REGSEG_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def streets_root(tmp_path_factory):
    """A few small street scenes, created once: 9 train, 3 val and 2 test images of 64x128."""
    from regseg.streets import write_streets

    root = tmp_path_factory.mktemp("datasets") / "streets"
    return write_streets(root, height=64, width=128, counts={"train": 9, "val": 3, "test": 2}, seed=7)


@pytest.fixture(scope="session")
def streets_options():
    """Overrides under which ``data=streets`` reads `streets_root`."""
    return ["data=streets", "+data.options={height:64,width:128,seed:7,counts:{train:9,val:3,test:2}}"]


@pytest.fixture(scope="session")
def camvid_root():
    """The folder of the real CamVid photographs, if the environment names it."""
    root = os.environ.get("REGSEG_CAMVID")
    if not root or not Path(root).is_dir():
        pytest.skip("needs the 480x360 release of CamVid in the folder that REGSEG_CAMVID names")
    return Path(root)


@pytest.fixture(scope="session")
def fork_server():
    """A process that has imported the slow libraries, and forks for every command (`fork_server.py`)."""
    command = [sys.executable, str(Path(__file__).with_name("fork_server.py"))]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        yield server
        server.terminate()  # closing its input does not end it while a loader worker, forked meanwhile, has it open


@pytest.fixture
def run_module(tmp_path, run_module_in):
    """Run ``python -m MODULE ARGUMENTS`` in an empty folder, as a user would; returns a `CompletedProcess`."""

    def run(module, *arguments, cwd=tmp_path, env=None, timeout=300):
        return run_module_in(cwd, module, *arguments, env=env, timeout=timeout)

    return run


@pytest.fixture(scope="session")
def run_module_in(fork_server):
    """`run_module` in a given folder, for fixtures of a wider scope."""

    def run(cwd, module, *arguments, env=None, timeout=300):
        arguments = [str(argument) for argument in arguments]
        environment = {**os.environ, "COLUMNS": "200", **(env or {})}
        with tempfile.TemporaryDirectory() as folder:
            out, err = Path(folder, "out"), Path(folder, "err")
            request = {"module": module, "arguments": arguments, "cwd": str(cwd), "env": environment}
            request |= {"out": str(out), "err": str(err), "timeout": timeout}
            fork_server.stdin.write(json.dumps(request) + "\n")
            fork_server.stdin.flush()
            status = json.loads(fork_server.stdout.readline())
            command = [sys.executable, "-m", module, *arguments]
            if status is None:
                raise subprocess.TimeoutExpired(command, timeout, out.read_bytes(), err.read_bytes())
            return subprocess.CompletedProcess(command, status, out.read_text(), err.read_text())

    return run


@pytest.fixture
def runs(tmp_path):
    """A folder of runs of Table 4: two finished runs of the first row and one that was killed."""
    from run_folders import write_run

    write_run(tmp_path / "runs", "table4", "dilation_1_14", 0, 1.0)
    write_run(tmp_path / "runs", "table4", "dilation_1_14", 1, 1.5)
    write_run(tmp_path / "runs", "table4", "dilation_1_6", 0, -1.0, "running", until=101)
    return tmp_path / "runs"


@pytest.fixture
def compose():
    """Compose a configuration as an entry point would, without running it."""
    from hydra import compose as hydra_compose
    from hydra import initialize_config_dir

    from regseg.config import config_dir
    from regseg.run_names import register_resolvers

    register_resolvers()

    def run(*overrides, config="train"):
        with initialize_config_dir(str(config_dir()), version_base="1.3"):
            return hydra_compose(config, overrides=list(overrides))

    return run


@pytest.fixture(scope="session")
def finished(streets_root, streets_options, tmp_path_factory):
    """A folder in which one smoke run has finished, and what it printed."""
    folder = tmp_path_factory.mktemp("finished")
    from commands import TINY, TRAIN

    command = [sys.executable, "-m", TRAIN, *TINY, *streets_options, f"data.root={streets_root}"]
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stderr
    return folder, result


@pytest.fixture
def copy_of_finished(finished, tmp_path):
    shutil.copytree(finished[0] / "runs", tmp_path / "runs")
    return tmp_path


@pytest.fixture(scope="session")
def tiny_weights(tmp_path_factory):
    """A checkpoint of a very small network of Cityscapes' classes that was never trained."""
    from untrained import write_checkpoint

    return write_checkpoint(tmp_path_factory.mktemp("weights") / "net.ckpt")


def _for_predict(arguments, weights):
    given = {text.partition("=")[0] for text in arguments}
    defaults = (f"weights={weights}", "runtime=torch", "precision=f32")
    return [*arguments, *(text for text in defaults if text.partition("=")[0] not in given)]


@pytest.fixture
def predict_as_user(run_module, tiny_weights):
    """Run `regseg.predict` in a process of its own."""
    return lambda *arguments: run_module("regseg.predict", *_for_predict(arguments, tiny_weights))


@pytest.fixture
def predict(tiny_weights, tmp_path, monkeypatch, capsys):
    """Run `regseg.predict` in this process, which is quicker; its status and what it printed."""
    from regseg import predict as command
    from regseg.system import processes

    monkeypatch.setattr(processes, "set_up_main", lambda: None)
    monkeypatch.chdir(tmp_path)

    def run(*arguments, weights=tiny_weights):
        monkeypatch.setattr(sys, "argv", ["predict", *_for_predict(arguments, weights)])
        capsys.readouterr()
        status = 0
        try:
            command.main()
        except SystemExit as end:
            status = end.code
        return SimpleNamespace(returncode=status, **dict(zip(("out", "err"), capsys.readouterr(), strict=True)))

    return run


@pytest.fixture
def mine(tmp_path):
    """A dataset for ``data=folder``: 6 train, 2 val and 2 test images."""
    from layouts import write_folder

    return write_folder(tmp_path / "mine", (("train", 6), ("val", 2), ("test", 2)))


@pytest.fixture
def photos(tmp_path):
    """A folder of three images of 40x56."""
    from layouts import noise, write

    for name in ("b.png", "a.jpg", "trip/c.png"):
        write(tmp_path / "photos" / name, noise(0, (40, 56)))
    return tmp_path / "photos"


@pytest.fixture
def ctrl_c():
    """Ctrl-C raises KeyboardInterrupt; it is ignored if the tests run in the background of a shell."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    assert signal.signal(signal.SIGINT, before) is signal.default_int_handler
