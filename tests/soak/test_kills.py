"""A run that is killed repeatedly, at random moments and while it writes, ends like an uninterrupted run.

These tests take minutes, so they have a separate marker: ``make test-soak`` runs them.
"""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from layouts import write_folder

from regseg.run_dir import read_metrics, read_summary

pytestmark = pytest.mark.soak

EPOCHS, KILLS = 70, 20
ANYWHERE, TEMPORARY, BETWEEN = "anywhere", "while a checkpoint is written", "between the two renames"


class Training:
    """The same training command in a folder of its own, started as often as needed."""

    def __init__(self, folder, root, *more):
        folder.mkdir()
        self.folder = folder
        self.run = folder / "runs" / f"folder_{Path(root).name}_custom_dilations_regseg" / "run_seed0"
        self.command = [
            sys.executable, "-m", "regseg.train", "data=folder", f"data.root={root}", "model.backbone.dilations=[[1]]",
            "data.crop_size=[32,32]", "data.short_side=[24,48]", "data.batch_size=2", "data.num_workers=1",
            "scheduler.warmup_iters=2", "callbacks.evaluation.every=2", f"trainer.max_epochs={EPOCHS}",
            "trainer.accelerator=cpu",
        ]  # fmt: skip

    def start(self, *more):
        command, environment = [*self.command, *more], {**os.environ, "OMP_NUM_THREADS": "1"}
        return subprocess.Popen(
            command, cwd=self.folder, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )

    def finish(self, *more):
        process = self.start(*more)
        _, errors = process.communicate(timeout=600)
        assert process.returncode == 0, errors.decode()

    def state(self):
        """The outcome of a training run: weights, momenta, metrics, results."""
        found = {}
        for name in ("last", "best"):
            content = torch.load(self.run / "checkpoints" / f"{name}.ckpt", weights_only=True)
            found[name] = content["state_dict"], content["optimizer_states"][0]["state"], content["lr_schedulers"]
        rows = [{**row, "images_per_s": ""} for row in read_metrics(self.run)]
        summary = read_summary(self.run)
        return found, rows, [summary[key] for key in ("status", "best", "last")]


def equal(a, b):
    if torch.is_tensor(a):
        return torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(equal(a[key], b[key]) for key in a)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(equal, a, b))
    return a == b


def kill(process, is_time, limit=60):
    """Kill a process as soon as ``is_time()`` is true; return whether it was, and the process was still running."""
    end = time.monotonic() + limit
    while not (now := is_time()) and process.poll() is None and time.monotonic() < end:
        time.sleep(0.0005)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    return now and process.returncode == -signal.SIGKILL


def moment(training, window, rng):
    """A function that says when to kill: after one more epoch, in the given time window."""
    checkpoints, epochs = training.run / "checkpoints", len(read_metrics(training.run))
    delay, since = rng.uniform(0, 0.5), []

    def is_time():
        if len(read_metrics(training.run)) <= epochs:
            return False
        since.append(time.monotonic())
        if window == TEMPORARY:
            return any(checkpoints.glob(".*.ckpt.*"))
        if window == BETWEEN:
            return not (checkpoints / "last.ckpt").exists()
        return time.monotonic() - since[0] > delay

    return is_time


@pytest.fixture(scope="module")
def straight(tmp_path_factory):
    folder = tmp_path_factory.mktemp("kills")
    training = Training(folder / "straight", write_folder(folder / "mine", counts=(("train", 6), ("val", 2))))
    training.finish()
    return folder, training.state()


def test_twenty_kills_change_nothing(straight):
    folder, state = straight
    training, rng = Training(folder / "killed", folder / "mine"), random.Random(0)
    windows = 8 * [ANYWHERE] + 8 * [TEMPORARY] + 4 * [BETWEEN]
    rng.shuffle(windows)
    killed = [kill(training.start("resume=last"), moment(training, window, rng)) for window in windows]
    assert sum(killed) == KILLS, "the training was too short for all kills"
    training.finish("resume=last")
    assert equal(training.state(), state)
    assert sorted(os.listdir(training.run / "checkpoints")) == ["best.ckpt", "last.ckpt", "previous.ckpt"]


def test_kills_while_a_run_is_replaced(straight):
    folder, state = straight
    training = Training(folder / "replaced", folder / "mine")
    training.finish("resume=last")
    for count in range(200):  # removing them takes a while
        (training.run / "pictures" / f"{count}.png").touch()
    whole = shutil.copytree(training.run, folder / "whole")
    for gone in ("checkpoints", "metrics.csv", "pictures", "config.yaml"):  # in this order
        shutil.rmtree(training.run)
        shutil.copytree(whole, training.run)
        assert (training.run / gone).exists()
        assert kill(training.start("overwrite=true"), lambda path=training.run / gone: not path.exists()), gone
    training.finish("overwrite=true")
    assert equal(training.state(), state)
