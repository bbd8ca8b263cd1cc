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
    text = (ROOT / "docs" / "reliability.md").read_text("utf-8")
    rows = text[text.index("\n## ") :].splitlines()
    assert [row for row in rows if row and not re.match(r"## |\| ", row)] == []  # such as the marks of a merge
    sentences = [row.split(" | ")[0] for row in rows if "`tests/" in row]
    assert len(sentences) == len(set(sentences))
    promises = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", text)
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


def _blank(found):
    return "\n" * found[0].count("\n")


def documented_commands():
    """Yield (file, line, command, comment) of every command in a Markdown file or in the help of a command."""
    for path in [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("experiments/*.md")]:
        language = None
        content = re.sub(r"(?<=<<'PY'\n).*?(?=PY\n)", _blank, path.read_text("utf-8"), flags=re.S)
        for number, line in enumerate(content.splitlines(), 1):
            if line.lstrip().startswith("```"):
                language = None if language is not None else line.strip().removeprefix("```")
            elif language == "sh":
                yield path.name, number, *re.split(r"(?:^|\s)#\s", line + " # ", maxsplit=1)
            elif language is None:
                yield from ((path.name, number, "", code) for code in re.findall(r"`([^`]+)`", line))
    for path in ROOT.glob("conf/**/*.yaml"):
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
            command, _, comment = line.partition(" # " if "python -m regseg." in line else "# ")
            yield path.name, number, command if "python -m regseg." in line else "", comment


def test_commands_work_in_any_shell():
    """zsh, the shell of macOS, refuses what looks like a pattern of files that do not exist."""
    found = list(documented_commands())
    assert len([command for *_, command, _ in found if "regseg" in command]) > 80
    wrong = []
    for name, number, command, comment in found:
        bare = re.sub(r"'[^']*'|\"[^\"]*\"|\$\{\w+\}", "", command)
        loose = re.sub(r"'[^' ]*'|\"[^\" ]*\"", "", comment)  # of options; an apostrophe is no quote
        option = r"(?:^| )[+~]?[\w./@]+=[^ ]*[][*?{}()]"
        if re.search(r"[][*?()]", bare) or re.search(option, bare) or re.search(option, loose):
            wrong.append((name, number, command or comment))
    assert not wrong
