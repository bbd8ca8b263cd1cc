"""Freed memory is kept where arrays of the same size come and go."""

import platform
import subprocess
import sys

import pytest

from regseg.system.memory import keep_memory

FAULTS = """if True:
    import resource, sys, torch
    from regseg.system.memory import keep_memory
    if sys.argv[1] == "keep":
        keep_memory()
    for step in range(30):
        if step == 20:
            before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        arrays = [torch.zeros(48 * 2**20, dtype=torch.uint8) for _ in range(2)]
        del arrays
    print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)"""


GLIBC = tuple(map(int, platform.libc_ver()[1].split("."))) if platform.libc_ver()[0] == "glibc" else (0,)


@pytest.mark.skipif(GLIBC < (2, 35), reason="needs glibc 2.35, which keeps arrays of any size")
def test_pages_are_not_mapped_again():
    """A step allocates 96 MiB: mapped again, that is 24,576 pages of 4 KiB each time."""
    kept, returned = (
        int(subprocess.run([sys.executable, "-c", FAULTS, how], capture_output=True, text=True, check=True).stdout)
        for how in ("keep", "return")
    )
    assert kept < returned / 10


def test_an_old_glibc_keeps_smaller_arrays(monkeypatch):
    calls = []

    class Library:
        def mallopt(self, option, value):
            calls.append((option, value))
            return int(option != -3 or value <= 32 * 2**20)

    monkeypatch.setattr("regseg.system.memory.ctypes.CDLL", lambda name: Library())
    keep_memory()
    assert calls == [(-3, 2**31 - 1), (-3, 32 * 2**20), (-1, 2**31 - 1)]


def test_without_glibc_memory_is_not_kept(monkeypatch):
    def no_library(name):
        raise OSError

    monkeypatch.setattr("regseg.system.memory.ctypes.CDLL", no_library)
    keep_memory()
