"""What a run sends to Weights & Biases, read back from its offline file."""

import json
import os
import re
import struct
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from tiny import Calls, train_tiny

import regseg
from regseg.errors import InputError
from regseg.run_dir import read_metrics
from regseg.training.loggers import WandbRun, _remembered_id, sync_command

BLOCK = 32768


def records(path):
    """The records of a ``.wandb`` file: protocol buffers in LevelDB's log format, behind a header of 7 bytes."""
    from wandb.proto.wandb_internal_pb2 import Record

    data, place, parts = path.read_bytes(), 7, b""
    while place + 7 <= len(data):
        if BLOCK - place % BLOCK < 7:  # a block's rest that is too short for a header
            place += BLOCK - place % BLOCK
            continue
        _, length, kind = struct.unpack_from("<IHB", data, place)
        parts += data[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (1, 4):  # whole, or the last part
            yield Record.FromString(parts)
            parts = b""


class Logged(NamedTuple):
    """What one start of a run has written to its offline file."""

    run: Any  # the first run record
    config: dict[str, Any]
    summary: dict[str, Any]
    history: list[dict[str, Any]]
    folder: Path  # of the run
    printed: str


def read(file, printed=""):
    found, config, summary, history = None, {}, {}, []
    for record in records(file):
        kind = record.WhichOneof("record_type")
        if kind == "run":
            found = found or record.run
        elif kind == "config":
            config |= {_key(item): json.loads(item.value_json) for item in record.config.update}
        elif kind == "summary":
            summary |= {_key(item): json.loads(item.value_json) for item in record.summary.update}
        elif kind == "history":
            history.append({_key(item): json.loads(item.value_json) for item in record.history.item})
    return Logged(found, config, summary, history, file.parents[2], printed)


@pytest.fixture(scope="module")
def starts(streets_root, streets_options, tmp_path_factory, run_module_in):
    """A row of Table 5 that is trained for two epochs, and then continued for one more: what each start has logged."""
    folder = tmp_path_factory.mktemp("logged")
    arguments = ["-m", "experiment=table5", "model/decoder=lraspp", "trainer=smoke", "trainer.log_every_n_steps=1"]
    arguments += [*streets_options, f"data.root={streets_root}", "logger=wandb", "logger.wandb.offline=true"]
    arguments += ["callbacks.evaluation.loss=true"]
    found, files = [], set()
    for epochs in (2, 3):
        result = run_module_in(folder, "regseg.train", *arguments, f"trainer.max_epochs={epochs}")
        assert result.returncode == 0, result.stderr
        (new,) = set(folder.glob("runs/table5/lraspp_seed0/wandb/offline-run-*/run-*.wandb")) - files
        files.add(new)
        found.append(read(new, result.stdout + result.stderr))
    return found


@pytest.fixture
def logged(starts):
    return starts[0]


def _key(item):
    return item.key or "/".join(item.nested_key)


def entries(history, name):
    """What was logged under ``name``, an object with fields, at every step that has it."""
    steps = [step for step in history if f"{name}/_type" in step]
    return [{key.removeprefix(f"{name}/"): value for key, value in step.items()} for step in steps]


def test_a_row_is_in_its_tables_group_by_its_name(logged):
    run = logged.run
    assert (run.run_group, run.display_name, run.project) == ("table5", "lraspp_seed0", "regseg")
    assert run.job_type == "smoke" and list(run.tags) == ["table5", "lraspp", "streets", "dilation_1_12"]


def test_a_run_has_its_settings_size_cost_and_code(logged):
    config, summary = logged.config, json.loads((logged.folder / "summary.json").read_text())
    assert config["optimizer"]["lr"] == 0.05 and config["model"]["decoder"]["name"] == "lraspp"
    network = regseg.create_model(backbone="dilation_1_12", decoder="lraspp", num_classes=19)
    assert config["network"]["parameters"] == regseg.models.count_parameters(network)
    assert config["network"]["gflops"] == pytest.approx(regseg.models.gflops(network), abs=0.01)
    assert config["versions"]["regseg"] == regseg.__version__ and config["git_commit"] == summary["git_commit"]


def test_losses_and_rates_of_training(logged):
    """Every step and every epoch is logged; the epochs are those of ``metrics.csv``."""
    steps = [step for step in logged.history if "train/loss_step" in step]
    assert len(steps) == 4 and all("lr" in step for step in steps)
    epochs = [step for step in logged.history if "train/loss" in step]
    rows = read_metrics(logged.folder)
    for name in ("train/loss", "val/miou", "val/loss"):
        assert [step[name] for step in epochs] == pytest.approx([float(row[name]) for row in rows[:2]], rel=1e-6)
    assert [step["train/images_per_s"] for step in epochs] == pytest.approx(
        [float(row["images_per_s"]) for row in rows[:2]], rel=1e-6
    )
    assert "train/loss_step" not in rows[0]
    assert ("train/gpu_memory_gib" in epochs[0]) == torch.cuda.is_available()


def test_the_console_gets_one_line(logged):
    lines = [line for line in logged.printed.splitlines() if "wandb" in line.lower() or "W&B" in line]
    overrides, line = lines  # the first line of a sweep's job repeats the overrides
    assert overrides.startswith("run ")
    (folder,) = re.fullmatch(r"W&B: offline; upload it with `wandb sync (.*)`", line).groups()
    assert "offline-run-" in folder and (logged.folder.parents[2] / folder).is_dir()


def test_all_parts_of_a_resumed_run_are_uploaded(tmp_path, monkeypatch):
    """W&B joins the parts of one id, in the order in which they began."""
    monkeypatch.chdir(tmp_path)
    first, second = (tmp_path / "my runs/wandb" / f"offline-run-{hour}-ab12" for hour in (1, 2))
    first.mkdir(parents=True)
    assert sync_command(first) == "wandb sync 'my runs/wandb'/offline-run-1-ab12"
    second.mkdir()
    assert sync_command(second) == "wandb sync 'my runs/wandb'/offline-run-*"


def test_a_tag_is_not_divided_into_letters(tmp_path):
    given = {"folder": tmp_path, "group": "demo", "name": "run", "offline": True}
    for tags in ("mine", ["mine"]):
        assert WandbRun(**given, tags=tags)._wandb_init["tags"] == ["mine"]
    with pytest.raises(InputError, match=r"logger\.wandb\.tags=5 is not a list of tags"):
        WandbRun(**given, tags=5)


@pytest.mark.parametrize("content", [None, b"", b"a/b", b"\xff", "a pipe", b"abc_12\n"])
def test_the_id_of_a_run_is_a_plain_name_in_a_file(tmp_path, content):
    path = tmp_path / "wandb_id.txt"
    if content == "a pipe":
        os.mkfifo(path)
    elif content is not None:
        path.write_bytes(content)
    found = _remembered_id(tmp_path)
    assert re.fullmatch(r"abc_12" if content == b"abc_12\n" else "[0-9a-f]{8}", found)
    assert path.is_file() and path.read_text().strip() == found


def test_a_resumed_run_continues(starts):
    """The files have one id, which W&B joins, and steps that follow each other, which it does not overwrite."""
    first, second = starts
    assert first.run.run_id == second.run.run_id == (first.folder / "wandb_id.txt").read_text()
    steps = [[step["_step"] for step in start.history] for start in starts]
    assert steps[0] == sorted(set(steps[0])) and steps[1] == sorted(set(steps[1]))
    assert max(steps[0]) < min(steps[1])
    assert {step["epoch"] for step in second.history if "epoch" in step} == {2}


@pytest.mark.parametrize("fails", [False, True])
def test_a_run_that_fails_is_failed_there_too(streets_root, tmp_path, fails):
    def fail(trainer, module):
        if fails:
            raise RuntimeError("a full disk")

    logger = WandbRun(tmp_path, group="demo", name="run", offline=True)
    arguments = {"max_epochs": 1, "limit_train_batches": 1, "limit_val_batches": 1}
    with pytest.raises(RuntimeError, match="a full disk") if fails else nullcontext():
        train_tiny(streets_root, tmp_path, callbacks=[Calls("on_train_end", fail)], logger=logger, **arguments)
    logger.close()
    (file,) = tmp_path.glob("wandb/offline-run-*/run-*.wandb")
    ends, deadline = [], time.monotonic() + 30
    while not ends and time.monotonic() < deadline:  # W&B's process may still be writing
        time.sleep(0.1)
        ends = [record.exit for record in records(file) if record.WhichOneof("record_type") == "exit"]
    assert [end.exit_code for end in ends] == [int(fails)]


def test_best_and_last_are_those_of_the_run_folder(starts):
    logged = starts[1]
    rows = read_metrics(logged.folder)
    for name in ("miou", "miou_reduced"):
        values = [float(row[f"val/{name}"]) for row in rows]
        found = [logged.summary[f"{which}/{name}"] for which in ("best", "last")]
        assert len(values) == 3 and found == pytest.approx([max(values), values[-1]])


def test_means_are_logged_at_every_evaluation(logged):
    history = [step for step in logged.history if "val/miou" in step]
    assert len(history) == 2 and all("val/miou_reduced" in step and "val/iou/road" in step for step in history)


def test_classes_are_a_table(logged):
    (*_, entry) = entries(logged.history, "val/iou_of_classes")
    assert (entry["_type"], entry["ncols"], entry["nrows"]) == ("table-file", 2, 19)
    (path,) = logged.folder.glob(f"wandb/offline-run-*/files/{entry['path']}")
    table = json.loads(path.read_text())
    assert table["columns"] == ["class", "IoU"] and table["data"][0][0] == "road"


def test_predictions_are_images_with_masks(logged):
    (*_, entry) = entries(logged.history, "val/predictions")
    assert entry["_type"] == "images/separated" and entry["count"] == 2
    assert all(set(masks) == {"label", "prediction"} for masks in entry["all_masks"])
