"""The centroid index: its values, when it is rebuilt, and damaged files."""

import hashlib
import io
import os

import cv2
import numpy as np
import pytest
from layouts import is_sentence

from regseg.data.datamodule import SegmentationDataModule
from regseg.data.datasets.folder import Folder
from regseg.data.sampling import centroids as class_uniform
from regseg.data.sampling.centroids import load_index, tile_centroids
from regseg.errors import InputError


def by_hand(label, tile):
    """The definition, pixel by pixel."""
    found = []
    for top in range(0, label.shape[0], tile):
        for left in range(0, label.shape[1], tile):
            part = label[top : top + tile, left : left + tile]
            for number in sorted(set(part.ravel().tolist()) - {255}):
                rows, columns = np.nonzero(part == number)
                found.append((number, top + int(rows.mean()), left + int(columns.mean())))
    return found


@pytest.mark.parametrize(("shape", "tile"), [((20, 30), 10), ((23, 31), 10), ((8, 9), 10), ((40, 10), 16)])
def test_centroids_of_every_tile(shape, tile):
    rng = np.random.default_rng(0)
    blocks = rng.choice(np.array([0, 3, 254, 255], np.uint8), (-(-shape[0] // 4), -(-shape[1] // 4)))
    label = np.kron(blocks, np.ones((4, 4), np.uint8))[: shape[0], : shape[1]]
    assert tile_centroids(label, tile).tolist() == [list(row) for row in by_hand(label, tile)]


def test_a_label_without_classes_has_no_centroid():
    assert tile_centroids(np.full((5, 5), 255, np.uint8)).shape == (0, 3)


def index_of(root, **options):
    dataset = Folder(root)
    return load_index(dataset.samples("train"), dataset.spec, root, **options)


def test_the_index_is_built_once_and_again_when_a_label_changes(labels, monkeypatch):
    built, build = [], class_uniform.build_table
    monkeypatch.setattr(class_uniform, "build_table", lambda *args: built.append(1) or build(*args))
    first = index_of(labels)
    assert np.array_equal(index_of(labels).table, first.table) and len(built) == 1
    label = Folder(labels).samples("train")[0].label
    cv2.imwrite(str(label), np.zeros(cv2.imread(str(label), cv2.IMREAD_UNCHANGED).shape[:2], np.uint8))
    second = index_of(labels)
    assert len(built) == 2 and not np.array_equal(second.table, first.table)
    index_of(labels, tile=8)
    assert len(built) == 3
    (stored,) = (labels / ".regseg").glob("*.bin")
    stored.write_bytes(stored.read_bytes()[:50])  # damaged
    assert len(index_of(labels, tile=8).table) and len(built) == 4


def stored_index(root):
    (path,) = (root / ".regseg").glob("centroids-*.bin")
    return path


def rewrite(root, change):
    """Replace the rows of the stored index and update the checksum."""
    content = stored_index(root).read_bytes()
    table = np.frombuffer(content[64:], "<i4").reshape(-1, 4).copy()
    rows = change(table).tobytes()
    stored_index(root).write_bytes(content[:32] + hashlib.sha256(rows).digest() + rows)


@pytest.mark.parametrize(("column", "value"), [(0, 2), (0, -1), (1, 4), (1, -1), (2, -1), (3, -5), (0, 2**31 - 1)])
def test_an_index_with_a_class_or_image_that_does_not_exist_is_rebuilt(labels, column, value):
    good = index_of(labels).table

    def change(table):
        table[3, column] = value
        return table

    rewrite(labels, change)
    assert np.array_equal(index_of(labels).table, good)


def test_a_damaged_index_is_rebuilt(labels):
    good = index_of(labels).table
    content = stored_index(labels).read_bytes()
    pickled, archive = io.BytesIO(), io.BytesIO()
    np.save(pickled, np.array([{"a": 1}], object), allow_pickle=True)
    np.savez_compressed(archive, key=np.zeros(1), table=np.zeros((1000, 4), np.int32))
    changed = content[:70] + bytes([content[70] ^ 1]) + content[71:]
    for damaged in (b"", b"a", content[:-1], content + b"a", changed, pickled.getvalue(), archive.getvalue()):
        stored_index(labels).write_bytes(damaged)
        assert np.array_equal(index_of(labels).table, good)
    stored_index(labels).unlink()
    os.mkfifo(labels / ".regseg" / "a")
    (labels / ".regseg" / "a").rename(labels / ".regseg" / stored_name(labels))
    assert np.array_equal(index_of(labels).table, good)


def stored_name(root):
    names = [path.name for path in (root / ".regseg").glob("centroids-*.lock")]
    return names[0].removesuffix(".lock")


def test_a_label_of_one_pixel_has_a_centroid():
    assert tile_centroids(np.full((1, 1), 3, np.uint8)).tolist() == [[3, 0, 0]]


def test_the_index_of_a_dataset_that_is_not_writable_is_in_the_cache(labels, tmp_path, monkeypatch):
    (labels / ".regseg").write_text("a file where the folder would be")
    monkeypatch.setenv("REGSEG_CACHE", str(tmp_path / "cache"))
    index_of(labels)
    assert len(list((tmp_path / "cache").glob("mine-*/centroids-*.bin"))) == 1


def test_a_centroid_outside_its_label_is_refused_in_training(labels):
    index_of(labels)

    def change(table):
        table[:, 2] = 24  # the labels have 24 rows
        return table

    rewrite(labels, change)
    datamodule = SegmentationDataModule(
        "folder", labels, batch_size=2, crop_size=(8, 8), short_side=(20, 20), num_workers=0, class_uniform=1.0
    )
    datamodule.setup("fit")
    with pytest.raises(InputError) as error:
        list(datamodule.train_dataloader())
    assert is_sentence(error, "labels/train", "centroid index refers to pixel (24, ", "centroids-*.bin", "delete")
