"""Locks between processes, on file systems with and without flock."""

import errno
import fcntl
import multiprocessing
import os
import signal
import socket
import threading

import pytest
from filelock import SoftFileLock

from regseg.system import locks
from regseg.system.locks import Held, is_held, lock


def _hold(path, ready, done):
    with lock(path, wait=True):
        ready.set()
        done.wait(60)


@pytest.fixture
def holder(tmp_path):
    """Start another process that holds the lock until its event ``done`` is set; it is killed at the end."""
    context, processes = multiprocessing.get_context("fork"), []

    def start():
        ready, done = context.Event(), context.Event()
        processes.append(context.Process(target=_hold, args=(tmp_path / "folder" / "lock", ready, done)))
        processes[-1].start()
        assert ready.wait(20)
        processes[-1].done = done
        return processes[-1]

    yield start
    for process in processes:
        process.kill()
        process.join()


@pytest.fixture(params=["flock", "ENOSYS", "ENOLCK", "EOPNOTSUPP", "no exchange"])
def file_system(request, monkeypatch):
    """A file system with flock, or one that fails with this error; FUSE, NFS and 9p cannot exchange files either."""
    if request.param != "flock":
        error = "ENOLCK" if request.param == "no exchange" else request.param

        def refuse(*args):
            raise OSError(getattr(errno, error), "no locks here")

        monkeypatch.setattr(fcntl, "flock", refuse)
    if request.param == "no exchange":  # with which filelock replaces the file of a killed process
        monkeypatch.setattr(SoftFileLock, "_try_break_stale_lock", lambda _: None)


def test_one_process_at_a_time(tmp_path, holder, file_system):
    path = tmp_path / "folder" / "lock"
    assert not is_held(path) and not path.parent.exists()  # asking creates nothing
    process = holder()
    assert is_held(path)
    with pytest.raises(Held, match="lock"), lock(path, wait=False):
        pass
    threading.Timer(0.5, process.done.set).start()  # while this process waits
    with lock(path, wait=True):
        assert process.done.is_set()
        process.join(20)
        assert process.exitcode == 0 and is_held(path)
    assert not is_held(path)
    with lock(path, wait=False):
        pass


def test_a_killed_process_releases_its_lock(tmp_path, holder, file_system):
    process = holder()
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    assert not is_held(tmp_path / "folder" / "lock")
    with lock(tmp_path / "folder" / "lock", wait=False):
        pass


def test_the_holder_may_be_killed_while_another_process_waits(tmp_path, holder, file_system):
    process = holder()
    threading.Timer(0.3, lambda: (process.kill(), process.join())).start()
    with lock(tmp_path / "folder" / "lock", wait=True):
        assert not process.is_alive()
    assert {path.name for path in (tmp_path / "folder").iterdir()} <= {"lock"}


@pytest.mark.parametrize("file_system", ["ENOLCK", "no exchange"], indirect=True)
def test_a_lock_of_another_machine_is_respected(tmp_path, holder, file_system, monkeypatch, capsys):
    path, host = tmp_path / "folder" / "lock", socket.gethostname()
    process = holder()
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    monkeypatch.setattr(socket, "gethostname", lambda: "elsewhere")  # so the dead holder seems another machine's
    assert is_held(path)
    remedy = f", or delete {path}.soft if process {process.pid} on {host} is gone"
    with pytest.raises(Held) as error, lock(path, wait=False):
        pass
    assert error.value.remedy == remedy
    monkeypatch.setattr(locks, "_NOTICE", 0.01)
    threading.Timer(0.5, path.with_name("lock.soft").unlink).start()
    with lock(path, wait=True):
        assert f"holds {path}; {remedy.removeprefix(', or ')}." in capsys.readouterr().out


@pytest.mark.parametrize("number", [errno.EACCES, errno.EROFS])
def test_a_lock_of_another_user_can_be_seen(tmp_path, holder, monkeypatch, number):
    """A colleague's report on a folder of runs, or one that is mounted read-only."""
    path, process, opened = tmp_path / "folder" / "lock", holder(), os.open

    def read_only(name, flags, *rest, **more):
        if flags & (os.O_RDWR | os.O_WRONLY):
            raise OSError(number, os.strerror(number), str(name))
        return opened(name, flags, *rest, **more)

    monkeypatch.setattr(os, "open", read_only)
    assert is_held(path)
    process.kill()
    process.join()
    assert not is_held(path)


def test_a_long_wait_is_announced(tmp_path, holder, file_system, monkeypatch, capsys):
    monkeypatch.setattr(locks, "_NOTICE", 0.01)
    process, path = holder(), tmp_path / "folder" / "lock"
    threading.Timer(0.5, process.done.set).start()
    with lock(path, wait=True):
        assert f"Waiting for another process, which holds {path}" in capsys.readouterr().out


def test_a_folder_that_is_not_writable_is_an_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError) as error, lock(tmp_path / "file" / "lock", wait=False):
        pass
    assert not isinstance(error.value, Held)
    assert not is_held(tmp_path / "file" / "lock")
