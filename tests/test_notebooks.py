"""The code of every notebook, run from top to bottom in an empty folder, and the outputs that are stored in it."""

import base64
import json
import re
from pathlib import Path

import cv2
import numpy as np
import pytest

NOTEBOOKS = sorted((Path(__file__).parents[1] / "notebooks").glob("*.ipynb"))
SLOW = {"own_images"}  # it trains
MACHINE = re.compile(r"(?<![\w.:/])/(?:tmp|root|home|work|usr|opt|Users|var|private)/|[A-Z]:\\")


def cells_of(path):
    return [cell for cell in json.loads(path.read_text(encoding="utf-8"))["cells"] if cell["cell_type"] == "code"]


def texts_in(node):
    """Every string of an output, except pictures."""
    if isinstance(node, str):
        yield node
    elif isinstance(node, dict):
        for key, value in node.items():
            yield from () if key.startswith("image/") else texts_in(value)
    elif isinstance(node, list):
        yield from texts_in("".join(node)) if all(isinstance(part, str) for part in node) else ()
        for part in node:
            yield from () if isinstance(part, str) else texts_in(part)


def without_values(line):
    """A printed line without what differs between runs and machines: numbers, plurals, widths and precisions."""
    return re.sub(r"\b(?:bf16|f32|epochs?)\b|\d[\d.]*(?:e[-+]?\d+)?|\s+", " 0 ", line)


def stored_lines(path):
    outputs = [output for cell in cells_of(path) for output in cell["outputs"] if output["output_type"] == "stream"]
    lines = "".join("".join(output["text"]) for output in outputs).splitlines()
    return [line for line in lines if not line.startswith("epoch ")]  # the test trains for fewer epochs


@pytest.mark.parametrize(
    "path",
    [pytest.param(path, id=path.stem, marks=[pytest.mark.slow] if path.stem in SLOW else []) for path in NOTEBOOKS],
)
def test_notebook(path, run_module, tmp_path):
    """It runs, and prints what is stored in it."""
    code = "\n".join("".join(cell["source"]) for cell in cells_of(path))
    code = code.replace("trainer.max_epochs=5", "trainer.max_epochs=1")  # its scores are not checked
    (tmp_path / "notebook.py").write_text(code, encoding="utf-8")
    result = run_module("notebook", timeout=600)
    assert result.returncode == 0, result.stderr
    printed = {without_values(line) for line in result.stdout.splitlines()}
    assert not [line for line in stored_lines(path) if without_values(line) not in printed]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=[path.stem for path in NOTEBOOKS])
def test_stored_outputs_are_complete_and_of_no_machine(path):
    """Executed in order, with its pictures, without errors, warnings, escape codes, bars or paths of a machine."""
    cells = cells_of(path)
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))
    outputs = [output for cell in cells for output in cell["outputs"]]
    assert all(output["output_type"] != "error" and output.get("name") != "stderr" for output in outputs)
    for text in texts_in(outputs):
        assert "\x1b" not in text and "\r" not in text and not MACHINE.search(text), text
    shown = sum(bool(re.search(r"plt\.(figure|subplots|imshow)|^show\(", "".join(c["source"]), re.M)) for c in cells)
    pictures = [output["data"]["image/png"] for output in outputs if "image/png" in output.get("data", {})]
    assert len(pictures) >= shown > 0
    for picture in pictures:
        pixels = cv2.imdecode(np.frombuffer(base64.b64decode(picture), np.uint8), cv2.IMREAD_COLOR)
        assert min(pixels.shape[:2]) >= 100 and pixels.std() > 5
    assert path.stat().st_size < 500_000


@pytest.mark.parametrize("text", ["in /tmp/x", "/home/a/b", r"C:\Users\a", '("/root/x")', "file:/work/y"])
def test_paths_of_a_machine_are_recognized(text):
    assert MACHINE.search(text.replace("file:", "file: "))
    assert not MACHINE.search("runs/finetune, https://host/tmp/x and ../docs/home/x")


def test_there_are_notebooks():
    names = {path.stem for path in NOTEBOOKS}
    assert {"data_and_augmentation", "field_of_view", "own_images", "read_a_sweep"} <= names
    assert len(cells_of(NOTEBOOKS[0].parent / "own_images.ipynb")) == 10
