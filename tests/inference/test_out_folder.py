import os

import pytest
from layouts import is_sentence

from regseg.errors import InputError
from regseg.inference.out_folder import RECORD, digest, enter, is_current


def test_outputs_of_something_else_are_neither_kept_nor_taken_for_new(tmp_path):
    out, output = tmp_path / "out", tmp_path / "out" / "overlay" / "a.jpg"
    since = enter(out, {"weights": "1"}, [output], overwrite=False)
    assert not is_current(output, since)
    output.parent.mkdir()
    output.write_text("picture")
    assert enter(out, {"weights": "1"}, [output], overwrite=False) == since and is_current(output, since)
    record = (out / RECORD).read_bytes()
    with pytest.raises(InputError) as error:
        enter(out, {"weights": "2"}, [output], overwrite=False)
    assert is_sentence(error, output, "another weights", "overwrite=true") and (out / RECORD).read_bytes() == record

    since = enter(out, {"weights": "2"}, [output], overwrite=True)
    assert not is_current(output, since)  # a second start without overwrite predicts it again
    assert enter(out, {"weights": "2"}, [output], overwrite=False) == since
    output.write_text("new")
    assert is_current(output, since)


def test_other_images_may_share_the_folder(tmp_path):
    enter(tmp_path, {"source": "a"}, [], overwrite=False)
    (tmp_path / "x.jpg").write_text("of a")
    enter(tmp_path, {"source": "b"}, [tmp_path / "y.jpg"], overwrite=False)
    with pytest.raises(InputError, match="another source"):
        enter(tmp_path, {"source": "a"}, [tmp_path / "x.jpg"], overwrite=False)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff"])
def test_a_damaged_record_counts_as_none(tmp_path, content):
    (tmp_path / RECORD).write_bytes(content)
    (tmp_path / "x.jpg").write_text("x")
    with pytest.raises(InputError) as error:
        enter(tmp_path, {"source": "a"}, [tmp_path / "x.jpg"], overwrite=False)
    assert is_sentence(error, "without a record", RECORD)
    enter(tmp_path, {"source": "a"}, [], overwrite=False)
    assert b"source" in (tmp_path / RECORD).read_bytes()


def test_an_empty_file_is_no_output(tmp_path):
    (tmp_path / "x.jpg").touch()
    assert not is_current(tmp_path / "x.jpg", 0)
    os.utime(tmp_path / "x.jpg", ns=(5, 5))
    (tmp_path / "y.jpg").write_text("y")
    os.utime(tmp_path / "y.jpg", ns=(5, 5))
    assert is_current(tmp_path / "y.jpg", 5) and not is_current(tmp_path / "y.jpg", 6)


def test_a_digest_covers_both_files_of_openvino(tmp_path):
    xml, binary = tmp_path / "a.xml", tmp_path / "a.bin"
    xml.write_text("<net/>")
    binary.write_bytes(b"1")
    first = digest(xml)
    binary.write_bytes(b"2")
    assert digest(xml) != first
