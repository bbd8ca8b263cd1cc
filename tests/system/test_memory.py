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


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="needs glibc")
def test_pages_are_not_mapped_again():
    """A step allocates 96 MiB: mapped again, that is 24,576 pages of 4 KiB each time."""
    kept, returned = (
        int(subprocess.run([sys.executable, "-c", FAULTS, how], capture_output=True, text=True, check=True).stdout)
        for how in ("keep", "return")
    )
    assert kept < returned / 10


def test_without_glibc_memory_is_not_kept(monkeypatch):
    def no_library(name):
        raise OSError

    monkeypatch.setattr("regseg.system.memory.ctypes.CDLL", no_library)
    keep_memory()
