import json
import os

import pytest
from layouts import is_sentence

from regseg.errors import InputError
from regseg.inference.out_folder import (
    RECORD,
    Origin,
    digest,
    enter,
    mark,
    missing,
    note_on_runtimes,
    of_other_settings,
    record_computed_by,
    writing,
)
from regseg.system.locks import lock

ONE, OTHER = {"weights": "1", "tile": None}, {"weights": "2", "tile": None}


@pytest.fixture
def out(tmp_path):
    """A folder of outputs, next to their sources."""
    for name in "abc":
        (tmp_path / f"{name}.png").write_text(name)
    return tmp_path / "out"


def origins(out, names="a", settings=ONE, suffix="png"):
    return {out / "overlay" / f"{name}.jpg": Origin(str(out.parent / f"{name}.{suffix}"), settings) for name in names}


def make(out, outputs):
    for path in missing(out, outputs):
        path.parent.mkdir(exist_ok=True)
        path.write_text("picture")


def test_what_the_same_settings_made_is_kept(out):
    outputs = origins(out, "ab")
    enter(out, outputs, overwrite=False)
    assert missing(out, outputs) == set(outputs)
    make(out, outputs)
    enter(out, outputs, overwrite=False)
    assert missing(out, outputs) == set()


def test_other_settings_and_sources_of_the_same_name_are_refused(out):
    enter(out, origins(out), overwrite=False)
    make(out, origins(out))
    path, record = out / "overlay" / "a.jpg", (out / RECORD).read_bytes()
    for outputs, words in (
        (origins(out, settings=OTHER), "was predicted with other weights"),
        (origins(out, settings=ONE | {"tile": 128}), "was predicted with tile=None"),
        (origins(out, suffix="jpg"), f"was predicted from {out.parent / 'a.png'}"),
    ):
        with pytest.raises(InputError) as error:
            enter(out, outputs, overwrite=False)
        assert is_sentence(error, path, words, "choose another out", "overwrite=true")
        assert (out / RECORD).read_bytes() == record and path.exists()
        assert missing(out, outputs) == {path}


def test_sources_share_the_folder_and_alternate(out):
    first, second = origins(out, "a"), origins(out, "b", OTHER)
    for outputs in (first, second, first, second):
        enter(out, outputs, overwrite=False)
        make(out, outputs)
    assert missing(out, first | second) == set()
    assert len(json.loads((out / RECORD).read_text())["made"]) == 2


def test_overwriting_removes_first_and_is_then_continued_without_it(out):
    enter(out, origins(out, "abc"), overwrite=False)
    make(out, origins(out, "abc"))
    new = origins(out, "ab", OTHER)
    enter(out, new, overwrite=True)  # interrupted before it made anything
    enter(out, new, overwrite=False)
    assert missing(out, new) == set(new) and not any(path.exists() for path in new)
    assert missing(out, origins(out, "c")) == set()  # made by the first settings still


def test_what_computed_each_file_is_recorded(out):
    """It is not compared, but named if it differs between the files."""
    auto = ONE | {"precision": "auto"}
    outputs = origins(out, "abc", auto)
    enter(out, outputs, overwrite=False)
    make(out, outputs)
    assert note_on_runtimes(out, outputs) == ""  # not known
    first, *others = outputs
    for computed_by in ("torch in f32", "openvino in bf16"):
        record_computed_by(out, others, computed_by)
    assert note_on_runtimes(out, outputs) == ""
    record_computed_by(out, [first], "torch in f32")
    enter(out, outputs, overwrite=False)  # a second start keeps it
    assert missing(out, outputs) == set()
    assert "openvino in bf16 (2), torch in f32 (1)" in note_on_runtimes(out, outputs)
    assert note_on_runtimes(out, others) == ""
    made = json.loads((out / RECORD).read_text())["made"]
    assert {group["computed_by"]: len(group["outputs"]) for group in made} == {"torch in f32": 1, "openvino in bf16": 2}
    with pytest.raises(InputError) as error:
        enter(out, origins(out, "b", ONE | {"precision": "f32"}), overwrite=False)
    assert is_sentence(error, "was predicted with precision=auto (openvino in bf16)")


def test_new_files_do_not_erase_what_computed_the_others(out):
    enter(out, origins(out, "ab"), overwrite=False)
    make(out, origins(out, "ab"))
    record_computed_by(out, origins(out, "ab"), "openvino in bf16")
    outputs = origins(out, "abc")
    enter(out, outputs, overwrite=False)
    make(out, outputs)
    record_computed_by(out, origins(out, "c"), "torch in f32")
    assert "openvino in bf16 (2), torch in f32 (1)" in note_on_runtimes(out, outputs)


def test_files_of_earlier_settings_are_named(out):
    """Those of the same sources: an opacity makes no other labels, and other sources may have other settings."""
    old = origins(out, "ab") | {out / "color" / "a.png": Origin(str(out.parent / "a.png"), ONE)}
    enter(out, old, overwrite=False)
    assert of_other_settings(out, old) == ""  # none exists yet
    for path in old:
        path.parent.mkdir(exist_ok=True)
        path.write_text("picture")
    new = {out / "index" / "a.png": Origin(str(out.parent / "a.png"), ONE | {"tile": 128})}
    enter(out, new, overwrite=True)
    sentence = of_other_settings(out, new)
    assert f"remain in {out / 'overlay'} (1), {out / 'color'} (1); the first was predicted with tile=None." in sentence
    assert "'save=[overlay,color]' overwrite=true" in sentence
    assert of_other_settings(out, {out / "index" / "a.png": Origin(str(out.parent / "a.png"), ONE)}) == ""
    assert of_other_settings(out, {out / "index" / "c.png": Origin(str(out.parent / "c.png"), OTHER)}) == ""


def test_an_incomplete_output_is_made_again(out):
    outputs = origins(out, "ab")
    enter(out, outputs, overwrite=False)
    make(out, outputs)
    first = next(iter(outputs))
    mark(out, [first], incomplete=True)
    assert missing(out, outputs) == {first}
    mark(out, [first], incomplete=False)
    assert missing(out, outputs) == set()


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff", b'{"made": [3], "incomplete": []}', b'{"source": "a"}'])
def test_a_damaged_record_counts_as_none(out, content):
    outputs = origins(out)
    (out / "overlay").mkdir(parents=True)
    (out / RECORD).write_bytes(content)
    (out / "overlay" / "a.jpg").write_text("x")
    with pytest.raises(InputError) as error:
        enter(out, outputs, overwrite=False)
    assert is_sentence(error, "is not recorded in", RECORD, "overwrite=true")
    enter(out, origins(out, "b"), overwrite=False)
    assert b"b.jpg" in (out / RECORD).read_bytes()


def test_empty_and_older_files_are_no_outputs(out):
    outputs = origins(out)
    path, source = next(iter(outputs)), out.parent / "a.png"
    enter(out, outputs, overwrite=False)
    path.parent.mkdir()
    path.touch()
    assert missing(out, outputs) == {path}
    path.write_text("picture")
    for file, time in ((source, 5), (path, 5)):
        os.utime(file, ns=(time, time))
    assert missing(out, outputs) == set()
    os.utime(source, ns=(6, 6))
    assert missing(out, outputs) == {path}
    source.unlink()  # its output stays
    assert missing(out, outputs) == set()


def test_names_of_any_bytes(out):
    outputs = {out / os.fsdecode(b"\xff.png"): Origin(os.fsdecode(b"/\xfe.png"), ONE)}
    enter(out, outputs, overwrite=False)
    make(out, outputs)
    assert missing(out, outputs) == set()


def test_a_digest_covers_both_files_of_openvino(tmp_path):
    xml, binary = tmp_path / "a.xml", tmp_path / "a.bin"
    xml.write_text("<net/>")
    binary.write_bytes(b"1")
    first = digest(xml)
    binary.write_bytes(b"2")
    assert digest(xml) != first


@pytest.mark.parametrize("settings", ["[1]", "null", '"x"'])
def test_a_record_with_settings_of_another_type_is_damaged(tmp_path, settings):
    record = f'{{"made": [{{"settings": {settings}, "outputs": {{"a.png": "x"}}}}], "incomplete": []}}'
    (tmp_path / "predictions.json").write_text(record)
    (tmp_path / "a.png").write_text("picture")
    with pytest.raises(InputError, match=r"a\.png is not recorded"):
        enter(tmp_path, {tmp_path / "a.png": Origin("x", {"weights": "y"})}, overwrite=False)


def test_a_record_that_is_a_named_pipe_is_not_read(tmp_path):
    os.mkfifo(tmp_path / "predictions.json")
    assert missing(tmp_path, {tmp_path / "a.png": Origin("x", {})}) == {tmp_path / "a.png"}


def test_temporary_files_are_removed_when_no_command_is_running(out):
    outputs = origins(out, "ab")
    enter(out, outputs, overwrite=False)
    make(out, outputs)
    left = [out / "overlay" / ".a.jpg.12", out / f".{RECORD}.12"]
    for path in (*left, out / ".writer_killed"):
        path.touch()
    with lock(out / ".writer_other", wait=True), writing(out, outputs):
        assert [path.exists() for path in left] == [True, False]
        assert len(list(out.glob(".writer_*"))) == 3
    (out / ".writer_other").touch()  # as if it had been killed
    with writing(out, outputs), writing(out, outputs):
        assert not left[0].exists() and len(list(out.glob(".writer_*"))) == 2
        left[0].touch()
        with writing(out, outputs):
            assert left[0].exists()
    assert missing(out, outputs) == set() and not list(out.glob(".writer_*"))
