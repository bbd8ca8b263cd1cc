"""Which processors are faster in bfloat16."""

from pathlib import Path

import pytest

from regseg.system import cpu


@pytest.mark.parametrize(
    ("vendor", "flags", "slow"),
    [
        ("GenuineIntel", "avx512_bf16 avx512_vnni", True),
        ("GenuineIntel", "avx512_bf16 amx_bf16 amx_tile", False),
        ("AuthenticAMD", "avx512_bf16 avx512_vnni", False),
    ],
)
def test_intels_bfloat16_is_slow_without_amx(monkeypatch, vendor, flags, slow):
    text = f"vendor_id\t: {vendor}\nflags\t\t: fpu {flags}\n"
    monkeypatch.setattr(Path, "read_text", lambda *_, **__: text)
    assert cpu.has_slow_bfloat16.__wrapped__() == slow


def test_other_systems_have_no_such_file(monkeypatch):
    def missing(*_, **__):
        raise FileNotFoundError

    monkeypatch.setattr(Path, "read_text", missing)
    assert not cpu.has_slow_bfloat16.__wrapped__()
    monkeypatch.setattr("torch.cpu._is_avx512_bf16_supported", lambda: True)
    for slow in (False, True):
        monkeypatch.setattr(cpu, "has_slow_bfloat16", lambda slow=slow: slow)
        assert cpu.bfloat16_is_faster() is not slow


def test_images_at_once_share_the_threads(monkeypatch):
    for given, expected in (("1", 1), ("3", 3), ("64", 4)):
        monkeypatch.setenv("OMP_NUM_THREADS", given)
        assert cpu.images_at_once() == expected
