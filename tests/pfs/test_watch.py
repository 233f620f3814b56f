"""Waiting until refs may have moved: told by the kernel, or by looking again and again."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

import pfs
from pfs.backends.memory import MemoryBackend
from pfs.ids import new_commit_id
from pfs.refs.transactions import TransactionBody
from pfs.refs.watch import Watch, change_token, moved
from pfs.store import Store

LONG_S = 60.0


@pytest.fixture
def home(tmp_path: Path) -> Path:
    pfs.init(tmp_path / "home").close()
    return tmp_path / "home"


def test_what_another_process_would_do_ends_the_wait(home: Path) -> None:
    with pfs.open(home) as store, store.watch() as watch, pfs.open(home) as other:
        assert watch.is_told
        other.create_repo("data")
        begin = time.monotonic()
        watch.wait(LONG_S)
        assert time.monotonic() - begin < LONG_S


def test_what_was_seen_does_not_end_the_next_wait(home: Path) -> None:
    with pfs.open(home) as store, store.watch() as watch:
        store.create_repo("data")
        watch.wait(LONG_S)
        begin = time.monotonic()
        watch.wait(0.05)
        assert time.monotonic() - begin >= 0.05


def test_a_transaction_that_is_decided_counts(home: Path) -> None:
    with pfs.open(home) as store, store.watch() as watch:
        token = store.changes()
        store.refs.transactions.create(TransactionBody(id=new_commit_id()))
        watch.wait(LONG_S)
        assert moved(token, store.changes())
        assert store.wait(token, LONG_S)


def test_further_folders_count(home: Path, tmp_path: Path) -> None:
    with pfs.open(home) as store, store.watch([tmp_path / "orders"]) as watch:
        (tmp_path / "orders" / "one").write_bytes(b"")
        begin = time.monotonic()
        watch.wait(LONG_S)
        assert time.monotonic() - begin < LONG_S


def test_anybody_may_wake_and_late_ones_do_no_harm(home: Path) -> None:
    with pfs.open(home) as store:
        watch = store.watch()
        thread = threading.Thread(target=watch.wake)
        thread.start()
        watch.wait(LONG_S)
        thread.join()
        watch.close()
        watch.wake()
        watch.close()


def test_a_backend_without_notices_is_looked_at_again_and_again() -> None:
    backend = MemoryBackend()
    with Watch(backend, time.time_ns) as watch:
        assert not watch.is_told
        watch.wait(LONG_S)  # the first look has nothing to compare with
        token = change_token(backend, time.time_ns())
        thread = threading.Thread(target=backend.swap, args=("refs/data.json", None, b"{}"))
        thread.start()
        while not moved(token, change_token(backend, time.time_ns())):
            watch.wait(LONG_S)
        thread.join()


def test_no_watches_left_is_no_error(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pfs.backends.inotify._libc", lambda: None)
    with Store(home / ".pfs") as store, store.watch() as watch:
        assert not watch.is_told
        token = store.changes()
        store.create_repo("data")
        assert store.wait(token, LONG_S)
