"""Storing a whole dataset before the first run."""

import pytest
from layouts import write_folder

from regseg.data.datamodule import SegmentationDataModule
from regseg.dataset_tools.storing import cache, half
from regseg.errors import InputError


@pytest.mark.parametrize(("store", "count"), [(half, 6), (cache, 6)])
def test_every_split_is_stored(tmp_path, capsys, store, count):
    root = write_folder(tmp_path / "mine")
    store(SegmentationDataModule("folder", root, num_workers=0), tmp_path)
    out = capsys.readouterr().out
    assert f"{count} files" in out and f"data.storage={store.__name__}" in out and "Skipping the split test" in out
    before = {path: path.stat().st_mtime_ns for path in (root / ".regseg").rglob("*") if path.is_file()}
    store(SegmentationDataModule("folder", root, num_workers=0), tmp_path)
    assert before and before == {path: path.stat().st_mtime_ns for path in before}


def test_a_folder_without_any_split_is_refused(tmp_path):
    root = write_folder(tmp_path / "mine", counts=())
    with pytest.raises(InputError, match=r"contains no split; set data\.root"):
        cache(SegmentationDataModule("folder", root, num_workers=0), tmp_path)
