"""A sweep's jobs, several of them at once or on other machines: what failed, which GPU a job takes, where it prints.

A sweep has a folder that its jobs find by an environment variable, for launchers run them in processes of their own.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import multiprocessing
import os
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, MutableMapping
from pathlib import Path
from typing import Any

from regseg.errors import InputError
from regseg.run_dir import best_miou
from regseg.system.locks import Held, lock

_FOLDER, _PROCESS, _COMMAND = "REGSEG_SWEEP", "REGSEG_SWEEP_PROCESS", "REGSEG_COMMAND"
_held = []  # (number, lock) of the GPU that this process took, until it ends


@contextlib.contextmanager
def sweep_folder(command: str) -> Iterator[None]:
    """A folder for the sweep that this process starts by ``command``, in the current one: other machines see it too."""
    # Jobs that still run may hold files open there when this process ends.
    with tempfile.TemporaryDirectory(prefix=".regseg_sweep_", dir=".", ignore_cleanup_errors=True) as folder:
        variables = {_FOLDER: str(Path(folder).absolute()), _PROCESS: _this_process(), _COMMAND: command}
        os.environ |= variables
        try:
            yield
        finally:
            for name in variables:
                del os.environ[name]


def command_of_sweep() -> str | None:
    """The command that started the sweep to which this process belongs; None outside of one."""
    return os.environ.get(_COMMAND)


def note_failure(number: int, overrides: str, sentence: str) -> None:
    """Tell the process that started the sweep how its job ``number`` failed, if it is still there."""
    path = Path(os.environ[_FOLDER]) / f"failed_{number:06d}.json"
    with contextlib.suppress(FileNotFoundError):
        path.write_text(json.dumps([overrides, sentence]), encoding="utf-8")


def note_run(number: int, overrides: str, folder: Path, config: str) -> bool:
    """Record that job ``number`` runs in ``folder``, for the process that started the sweep.

    Args:
        number: of the job in the sweep.
        overrides: of the job, for error messages.
        folder: the job's folder.
        config: the job's configuration as text.

    Returns:
        Whether to run the job: False if another job of the sweep has the same folder and the same configuration.

    Raises:
        InputError: another job of the sweep has the same folder and another configuration.
    """
    digest = hashlib.sha256(config.encode()).hexdigest()
    note = Path(os.environ[_FOLDER]) / f"run_{hashlib.sha1(os.fsencode(folder)).hexdigest()}.json"
    try:
        with open(note, "x", encoding="utf-8") as file:
            json.dump([str(folder), number, overrides, digest], file)
    except FileExistsError:
        while not (text := note.read_text(encoding="utf-8")):  # the other job is about to write it
            time.sleep(0.05)
        _, first, its_overrides, its_digest = json.loads(text)
        if first == number:  # requeued
            return True
        if its_digest == digest:
            return False
        raise InputError(
            f"{folder} is already the folder of the sweep's run {its_overrides}; give each run its own folder by "
            "run.name, such as 'run.name=${optimizer.lr}' for a sweep over optimizer.lr."
        ) from None
    except FileNotFoundError:  # the process that started the sweep has ended; this is a job of a queue
        pass
    return True


def run_folders() -> list[Path]:
    """The folders of the runs that were begun."""
    notes = Path(os.environ[_FOLDER]).glob("run_*.json")
    return [Path(json.loads(note.read_text(encoding="utf-8") or '[""]')[0]) for note in notes]


def is_queued() -> bool:
    """Whether this process is a job of submitit's, under Slurm or on this machine."""
    return "SUBMITIT_EXECUTOR" in os.environ


def failures() -> list[tuple[str, str]]:
    """(overrides, sentence) of every job that failed, in the order of the jobs."""
    paths = sorted(Path(os.environ[_FOLDER]).glob("failed_*.json"))
    return [tuple(json.loads(path.read_text(encoding="utf-8"))) for path in paths]


def runs_beside_others() -> bool:
    """Whether this process is one of several that a launcher started for a sweep."""
    return os.environ.get(_PROCESS, _this_process()) != _this_process()


def queued_again() -> bool:
    """Whether this process is a job that Slurm started before and cut off."""
    return int(os.environ.get("SLURM_RESTART_COUNT", 0)) > 0


def check_launch(table: str | None, launcher: str, *, sweep: bool) -> None:
    """Check that what needs a sweep is launched as one.

    Args:
        table: the experiment, where it is a table of several runs.
        launcher: the choice of ``hydra/launcher``.
        sweep: whether this is a job of a sweep.

    Raises:
        InputError: names the option and says to add -m.
    """
    if not sweep and launcher != "basic":
        raise InputError(f"hydra/launcher={launcher} is for sweeps; add -m, or leave it out.")
    if not sweep and table:
        raise InputError(f"experiment={table} is a table of several runs; launch it by -m experiment={table}.")


def run_beside_others(run: Callable[[], None], folder: Path, trainer: MutableMapping[str, Any]) -> None:
    """Call ``run`` in one of several processes: on a GPU of its own, with a line on the terminal at its start and end.

    Args:
        run: trains into ``folder``.
        folder: of the run; its output goes to ``output.log`` there.
        trainer: arguments of the Trainer, in which ``devices`` becomes the GPU.

    Raises:
        InputError: several devices for one run.
    """
    gpu = own_gpu() if trainer["accelerator"] in ("auto", "gpu", "cuda") else None
    if gpu is not None and trainer["devices"] != 1:
        raise InputError(
            f"trainer.devices={trainer['devices']} does not go with several rows at once, which take one GPU each; "
            "leave out hydra/launcher=parallel."
        )
    if gpu is not None:
        trainer["devices"] = [gpu]
    # joblib's processes start others in a way of joblib's, which loader workers cannot be started in.
    multiprocessing.set_start_method(multiprocessing.get_all_start_methods()[0], force=True)
    print(f"{folder} begins; its output is in output.log there", flush=True)
    with output_in(folder):
        run()
    miou = best_miou(folder)
    print(f"{folder} is finished" + ("" if miou is None else f", best mIoU {100 * miou:.2f}"), flush=True)


@contextlib.contextmanager
def output_in(folder: Path) -> Iterator[None]:
    """Write what is printed into ``folder/output.log`` meanwhile: rows that run at once would garble each other's."""
    folder.mkdir(parents=True, exist_ok=True)
    sys.stdout.flush()
    terminal = os.dup(1)
    with open(folder / "output.log", "a", encoding="utf-8") as file:
        os.dup2(file.fileno(), 1)  # not only Python's, for the processes of a distributed run print too
    try:
        yield
    finally:
        sys.stdout.flush()
        os.dup2(terminal, 1)
        os.close(terminal)


def own_gpu() -> int | None:
    """The number of a GPU that no other process of the sweep took, until this one ends; None where there is no choice.

    Where all are taken, one of them is shared. A job of submitit's has its own from Slurm, and nothing to choose.
    """
    import torch

    if _held:
        return _held[0][0]
    count = torch.cuda.device_count()
    if count == 0 or is_queued():
        return None
    for number in range(count):
        held = lock(Path(os.environ[_FOLDER]) / f"gpu_{number}", wait=False)
        try:
            held.__enter__()
        except Held:
            continue
        _held.append((number, held))
        return number
    return os.getpid() % count


def fail_sweep(failed: list[tuple[str, str]], stopped: str = "") -> None:
    """Exit with 1 after a line for every job that failed, and one that says how to go on."""
    for overrides, sentence in failed:
        print(f"regseg: failed: {overrides}: {sentence}", file=sys.stderr)
    what = f"the sweep stopped ({stopped})" if stopped else f"{len(failed)} of the sweep's runs failed"
    print(
        f"regseg: {what}; fix it and rerun the same command; finished runs are skipped.",
        file=sys.stderr,
    )
    sys.exit(1)


def _this_process() -> str:
    return f"{socket.gethostname()}:{os.getpid()}"
