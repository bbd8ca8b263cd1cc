"""The compiled kernel of the fused upsampling; test_upsample.py compares whole images with PyTorch."""

import errno
import importlib.util

import numpy as np
import pytest

from regseg.inference.upsample import _positions, interpolated

pytest.importorskip("numba")


def rows(logits, size, start, stop):
    from regseg.inference.upsample_numba import label_rows

    labels = np.full(size, 77, np.uint8)
    label_rows(logits, labels, start, stop, *_positions(logits.shape[1:], size))
    return labels


def fresh_module():
    """The module as another process imports it, with nothing compiled yet."""
    found = importlib.util.find_spec("regseg.inference.upsample_numba")
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


def stretched(module):
    row = np.empty(4, np.float32)
    module._stretch(np.ones(2, np.float32), np.zeros(4, np.uint32), row * 0, np.empty((3, 4), np.float32), row)
    return row.tolist()


def test_only_the_given_rows_are_written():
    logits = np.random.default_rng(0).normal(size=(5, 6, 7)).astype(np.float32)
    expected = interpolated(logits[None], (24, 28))[0].argmax(0)
    found = rows(logits, (24, 28), 5, 11)
    assert (found[5:11] == expected[5:11]).all() and (found[:5] == 77).all() and (found[11:] == 77).all()


def test_edges_repeat_and_ties_go_to_the_first_class():
    """One logit per class: every pixel has it, and classes 1 and 2 are equal."""
    logits = np.array([0.0, 3.0, 3.0], np.float32).reshape(3, 1, 1)
    assert (rows(logits, (4, 5), 0, 4) == 1).all()


def test_a_read_only_installation_is_not_an_error(monkeypatch):
    """Numba refuses to cache if no folder is writable."""
    monkeypatch.setattr("numba.core.caching.CacheImpl._locator_classes", [])
    assert stretched(fresh_module()) == [1, 1, 1, 1]


@pytest.mark.parametrize("name", ["_save_index", "_save_data", "_load_index", "_load_data"])
def test_a_cache_that_fails_costs_only_the_compilation(monkeypatch, tmp_path, name):
    """A full disk while it is written, and a damaged file while it is read."""
    from numba.core import caching, config

    monkeypatch.setattr(config, "CACHE_DIR", str(tmp_path))
    assert stretched(fresh_module()) == [1, 1, 1, 1]
    assert [path.suffix for path in sorted(tmp_path.rglob("*.nb?"))] == [".nbc", ".nbi"]

    def fail(*_):
        raise OSError(errno.ENOSPC, "No space left on device") if "save" in name else EOFError("Ran out of input")

    with monkeypatch.context() as patch:
        patch.setattr(caching.IndexDataCacheFile, name, fail)
        if "save" in name:
            for path in tmp_path.rglob("*.nb?"):
                path.unlink()
        assert stretched(fresh_module()) == [1, 1, 1, 1]


@pytest.mark.parametrize("suffix", [".nbi", ".nbc"])
def test_a_damaged_cache_is_replaced(monkeypatch, tmp_path, suffix):
    from numba.core import config

    monkeypatch.setattr(config, "CACHE_DIR", str(tmp_path))
    stretched(fresh_module())
    (damaged,) = tmp_path.rglob(f"*{suffix}")
    damaged.write_bytes(damaged.read_bytes()[:20])
    assert stretched(fresh_module()) == [1, 1, 1, 1]
    assert damaged.stat().st_size > 20
    module = fresh_module()
    assert stretched(module) == [1, 1, 1, 1] and sum(module._stretch.stats.cache_hits.values()) == 1
