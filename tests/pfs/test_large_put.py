"""Large files into a store on a disk, whose full packs are sealed beside the hashing: full disks and kills."""

from __future__ import annotations

import io
import os
import random
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

import pfs
from pfs.backends.local import LocalBackend
from pfs.errors import StorageError, StorageFullError
from pfs.packs import session_data
from pfs.store import Store
from pfs.testing.faults import WRITES, FaultyBackend, How
from pfs.upkeep.check import fsck

PACK = 256 << 10
DATA = random.Random(3).randbytes(3 << 20)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(session_data, "STAGE_BYTES", 64 << 10)
    monkeypatch.setattr(session_data, "PACK_BYTES", PACK)
    with pfs.init(tmp_path, chunk_avg=65536) as store:
        store.create_repo("data")
    return tmp_path


def put(store: Store, data: bytes = DATA) -> int:
    """Return how many bytes were new."""
    with store.repo("data").commit("master") as commit:
        commit.put_file("/a", io.BytesIO(data))
        return commit.session.new_bytes


def is_whole(store: Store) -> bool:
    return store.repo("data")["master"].read("/a") == DATA and list(fsck(store, deep=True)) == []


@pytest.mark.parametrize("how", [How.FULL, How.AFTER])
def test_a_disk_that_fills_up_at_any_write(folder: Path, how: How) -> None:
    place, fail_at, again = folder / ".pfs", 1, list[bool]()
    while True:
        data = random.Random(fail_at).randbytes(2 << 20)
        inner, stays = LocalBackend(place / "objects"), how is How.FULL
        faulty = FaultyBackend(inner, counted=WRITES, fail_at=fail_at, how=how, stays=stays)
        with Store(place, backend=faulty) as store, suppress(StorageFullError if stays else StorageError):
            put(store, data)
        if not faulty.fired:
            break
        with pfs.open(folder) as store:
            again.append(put(store, data) < len(data))
            assert store.repo("data")["master"].read("/a") == data
        fail_at += 1 + fail_at // 4
    assert set(again) == {False, True}, "what was in full packs is there"
    with pfs.open(folder) as store:
        assert list(fsck(store, deep=True)) == []


PUTTER = """
import io, os, random, signal, sys, pfs
from pfs.backends.local import LocalObject
from pfs.packs import session_data
session_data.STAGE_BYTES, session_data.PACK_BYTES = 64 << 10, 256 << 10
real, left = LocalObject.publish, int(sys.argv[2])
def publish(self):
    global left
    done = real(self)
    left -= "/packs/d/" in str(self._path)
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return done
LocalObject.publish = publish
with pfs.open(sys.argv[1]) as store, store.repo("data").commit("master") as commit:
    commit.put_file("/a", io.BytesIO(random.Random(3).randbytes(3 << 20)))
"""


@pytest.mark.parametrize("number", [1, 4, 8])
def test_a_put_that_is_killed_when_a_pack_is_there(folder: Path, number: int) -> None:
    command = [sys.executable, "-c", PUTTER, str(folder), str(number)]
    assert subprocess.run(command, env=dict(os.environ), check=False).returncode == -signal.SIGKILL
    with pfs.open(folder) as store:
        assert store.repo("data").branches() == []
        # Two packs at most are sealed at once, so all before those are in the index, and found again.
        assert put(store) <= len(DATA) - max(number - 2, 0) * (PACK - (64 << 10))
        assert is_whole(store)


class Changing(io.FileIO):
    """A file that is changed once while it is read; notes what was read."""

    def __init__(self, path: Path, *, cut: bool) -> None:
        super().__init__(path)
        self._path, self._cut = path, cut
        self.seen = bytearray()

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        if len(self.seen) > len(DATA) and self._path.stat().st_size == 4 * len(DATA):
            if self._cut:
                os.truncate(self._path, len(self.seen) - 10)
            else:
                self._path.write_bytes(bytes(len(DATA) * 3))
        got = super().readinto(buffer[: 300 << 10])
        self.seen += buffer[:got]
        return got


@pytest.mark.parametrize("cut", [False, True])
def test_a_file_that_changes_while_it_is_read_is_stored_as_it_was_read(folder: Path, tmp_path: Path, cut: bool) -> None:
    file = tmp_path / "file"
    file.write_bytes(DATA * 4)
    with pfs.open(folder) as store:
        with store.repo("data").commit("master") as commit, Changing(file, cut=cut) as stream:
            commit.put_file("/a", stream)
        assert DATA < stream.seen < DATA * 4 if cut else len(stream.seen) == 3 * len(DATA)
        assert store.repo("data")["master"].read("/a") == bytes(stream.seen)
        assert list(fsck(store, deep=True)) == []
