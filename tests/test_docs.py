"""What the documents point to exists."""

import ast
import re
from pathlib import Path

import pytest
from layouts import noise, write
from untrained import write_checkpoint

from regseg.data.io import read_image

ROOT = Path(__file__).parents[1]


def test_every_promise_names_a_test():
    promises = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", (ROOT / "docs" / "reliability.md").read_text("utf-8"))
    assert len(promises) > 50
    for path, name in promises:
        tree = ast.parse((ROOT / path).read_text("utf-8"))
        assert name in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}, f"{path}::{name}"


@pytest.mark.parametrize("heading", ["Images", "A video"])
def test_the_python_examples_of_deployment_run(heading, tmp_path, monkeypatch, capsys):
    av = pytest.importorskip("av")
    section = (ROOT / "docs" / "deploy.md").read_text("utf-8").partition(f"## {heading}\n")[2].partition("\n## ")[0]
    (code,) = re.findall(r"```python\n(.*?)```", section, re.S)
    assert len(code.split("\n")) <= 11
    monkeypatch.chdir(tmp_path)
    write_checkpoint(tmp_path / "best.ckpt")
    write(tmp_path / "photo.png", noise(0, (48, 64)))
    with av.open("drive.mp4", "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for number in range(5):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(noise(number, (48, 64)), format="rgb24")))
        container.mux(stream.encode(None))
    names = {}
    exec(code, names)
    if heading == "Images":
        assert names["picture"].shape == read_image(Path("photo.png")).shape and "['" in capsys.readouterr().out
    else:
        with av.open("labelled.mp4") as container:
            assert container.streams.video[0].frames == 5
