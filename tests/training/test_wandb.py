"""What a run sends to Weights & Biases, read back from its offline file."""

import json
import struct

import pytest

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


@pytest.fixture(scope="module")
def logged(streets_root, streets_options, tmp_path_factory):
    """(run record, summary, list of history steps, folder) of one row of Table 5."""
    import os
    import subprocess
    import sys

    folder = tmp_path_factory.mktemp("wandb")
    command = [sys.executable, "-m", "regseg.train", "-m", "experiment=table5", "model/decoder=lraspp", "trainer=smoke"]
    command += [*streets_options, f"data.root={streets_root}", "logger=wandb", "logger.offline=true"]
    environment = {**os.environ, "WANDB_MODE": "offline"}
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True, env=environment, timeout=300)
    assert result.returncode == 0, result.stderr
    run = folder / "runs" / "table5" / "lraspp_seed0"
    (file,) = run.glob("wandb/offline-run-*/run-*.wandb")
    found, summary, history = None, {}, []
    for record in records(file):
        kind = record.WhichOneof("record_type")
        if kind == "run":
            found = record.run
        elif kind == "summary":
            summary |= {_key(item): json.loads(item.value_json) for item in record.summary.update}
        elif kind == "history":
            history.append({_key(item): json.loads(item.value_json) for item in record.history.item})
    return found, summary, history, run


def _key(item):
    return item.key or "/".join(item.nested_key)


def entries(history, name):
    """What was logged under ``name``, an object with fields, at every step that has it."""
    steps = [step for step in history if f"{name}/_type" in step]
    return [{key.removeprefix(f"{name}/"): value for key, value in step.items()} for step in steps]


def test_a_row_is_in_its_tables_group_by_its_name(logged):
    run, *_ = logged
    assert (run.run_group, run.display_name, run.project) == ("table5", "lraspp_seed0", "regseg")


def test_best_and_last_are_those_of_the_run_folder(logged):
    _, summary, _, folder = logged
    known = json.loads((folder / "summary.json").read_text())
    for which in ("best", "last"):
        for name in ("miou", "miou_reduced"):
            assert summary[f"{which}/{name}"] == pytest.approx(known[which]["metrics"][f"val/{name}"])


def test_means_are_logged_at_every_evaluation(logged):
    history = [step for step in logged[2] if "val/miou" in step]
    assert len(history) == 2 and all("val/miou_reduced" in step and "val/iou/road" in step for step in history)


def test_classes_are_a_table(logged):
    (*_, entry) = entries(logged[2], "val/iou_of_classes")
    assert (entry["_type"], entry["ncols"], entry["nrows"]) == ("table-file", 2, 19)
    (path,) = logged[3].glob(f"wandb/offline-run-*/files/{entry['path']}")
    table = json.loads(path.read_text())
    assert table["columns"] == ["class", "IoU"] and table["data"][0][0] == "road"


def test_predictions_are_images_with_masks(logged):
    (*_, entry) = entries(logged[2], "val/predictions")
    assert entry["_type"] == "images/separated" and entry["count"] == 2
    assert all(set(masks) == {"label", "prediction"} for masks in entry["all_masks"])
