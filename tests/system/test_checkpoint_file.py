"""Checkpoint files are verified before use and never run code."""

import errno
import os
import pickle
import zipfile

import pytest
import torch
from layouts import is_sentence

from regseg.errors import InputError
from regseg.system.checkpoint_file import (
    read_checkpoint_file,
    read_tensors,
    write_checkpoint_file,
    write_weights_file,
)

CONTENT = {"state_dict": {"weight": torch.arange(4096.0)}, "epoch": 3}


def test_written_content_is_read_back(tmp_path):
    write_checkpoint_file(tmp_path / "a.ckpt", CONTENT)
    content = read_checkpoint_file(tmp_path / "a.ckpt")
    assert content["epoch"] == 3 and torch.equal(content["state_dict"]["weight"], CONTENT["state_dict"]["weight"])
    assert os.listdir(tmp_path) == ["a.ckpt"]


def test_every_flipped_byte_of_the_weights_is_detected(tmp_path):
    path = tmp_path / "a.ckpt"
    write_checkpoint_file(path, CONTENT)
    whole = path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        record = max(archive.infolist(), key=lambda info: info.file_size)
    start = whole.index(CONTENT["state_dict"]["weight"].numpy().tobytes())
    for place in range(start, start + record.file_size, 997):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x40]) + whole[place + 1 :])
        with pytest.raises(InputError, match="damaged"):
            read_checkpoint_file(path)


def test_every_truncation_is_detected(tmp_path):
    path = tmp_path / "a.ckpt"
    write_checkpoint_file(path, CONTENT)
    whole = path.read_bytes()
    for length in (0, 1, 100, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(InputError, match="damaged"):
            read_checkpoint_file(path)


def test_code_is_refused(tmp_path):
    class Shell:
        def __reduce__(self):
            return os.system, (f"touch {tmp_path / 'RAN'}",)

    (tmp_path / "old.ckpt").write_bytes(pickle.dumps(Shell()))
    torch.save({"state_dict": Shell()}, tmp_path / "new.ckpt")
    for name in ("old.ckpt", "new.ckpt"):
        with pytest.raises(InputError):
            read_checkpoint_file(tmp_path / name)
    assert not (tmp_path / "RAN").exists()


@pytest.mark.parametrize(
    "tensor",
    [torch.eye(3).to_sparse(), torch.zeros(1).expand(10**6, 10**6), torch.zeros(3, device="meta")],
    ids=["sparse", "terabytes", "no values"],
)
def test_tensors_that_the_file_does_not_store_whole_are_refused(tmp_path, tensor):
    torch.save({"optimizer_states": [{"state": (tensor,)}]}, tmp_path / "a.ckpt")
    with pytest.raises(InputError, match=r"a\.ckpt contains sparse tensors, or tensors with more elements"):
        read_checkpoint_file(tmp_path / "a.ckpt")


def test_shared_tensors_and_containers_are_read(tmp_path):
    tied = torch.arange(6.0).view(2, 3)
    content = {"a": tied, "b": tied.t(), "c": torch.zeros(0)}
    content["itself"] = content
    torch.save(content, tmp_path / "a.ckpt")
    assert torch.equal(read_checkpoint_file(tmp_path / "a.ckpt")["b"], tied.t())


def test_a_small_archive_that_unpacks_to_much_is_refused(tmp_path):
    torch.save({"a": torch.zeros(10**6)}, tmp_path / "a.ckpt")
    packed = zipfile.ZipFile(tmp_path / "b.ckpt", "w", zipfile.ZIP_DEFLATED)
    with zipfile.ZipFile(tmp_path / "a.ckpt") as plain, packed:
        for name in plain.namelist():
            packed.writestr(name, plain.read(name))
    with pytest.raises(InputError, match=r"b\.ckpt is not a PyTorch checkpoint, or it is damaged"):
        read_checkpoint_file(tmp_path / "b.ckpt")


@pytest.mark.parametrize("suffix", [".onnx", ".xml"])
def test_an_exported_graph_is_not_called_damaged(tmp_path, suffix):
    path = tmp_path / f"model{suffix}"
    path.write_bytes(b"any content")
    with pytest.raises(InputError) as error:
        read_checkpoint_file(path)
    assert is_sentence(error, path, "the checkpoint it was made from")


def test_special_files_are_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "fifo")
    for name in ("fifo", "none", "."):
        with pytest.raises(InputError):
            read_checkpoint_file(tmp_path / name)


@pytest.mark.parametrize("name", ["a.ckpt", "a.safetensors"])
def test_a_file_that_cannot_be_read_is_not_called_damaged(tmp_path, monkeypatch, name):
    """Nobody can download it again into an unreadable folder."""

    def refuse(path, *_, **__):
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    path = tmp_path / name
    path.write_bytes(b"content")
    monkeypatch.setattr("builtins.open", refuse)
    monkeypatch.setattr("io.open", refuse)
    with pytest.raises(InputError, match=r"a\.\w+ cannot be read \(Permission denied\); check"):
        read_checkpoint_file(path)


def test_a_failed_write_keeps_the_old_checkpoint(tmp_path):
    write_checkpoint_file(tmp_path / "a.ckpt", CONTENT)
    before = (tmp_path / "a.ckpt").read_bytes()
    with pytest.raises(Exception, match=r"pickle|local"):
        write_checkpoint_file(tmp_path / "a.ckpt", {"unpicklable": lambda: None})
    assert (tmp_path / "a.ckpt").read_bytes() == before and os.listdir(tmp_path) == ["a.ckpt"]


def test_tensors_of_a_safetensors_file_have_a_fixed_order(tmp_path):
    tensors = {f"{number:02d}": torch.zeros(number) for number in range(40)}
    write_weights_file(tmp_path / "a.safetensors", tensors, {})
    assert list(read_tensors(tmp_path / "a.safetensors")[0]) == list(tensors)
