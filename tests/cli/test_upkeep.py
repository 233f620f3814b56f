"""What the daemon does by itself: once an hour, if there is anything to do, and to its end when told."""

import os
import threading
from pathlib import Path

import pytest

import pfs
from cli.upkeep import Upkeep
from pfs.gc.due import when_due
from pfs.refs import collection
from pfs.refs.collector_lock import alone
from pfs.store import Store
from pfs.store import open as open_store
from tests.cli.conftest import Run


@pytest.fixture
def wasteful(tmp_path: Path) -> Store:
    """A store with 3 MB that nothing leads to."""
    store = pfs.init(tmp_path)
    repo = store.create_repo("r")
    for content in (os.urandom(3_000_000), b"new"):
        with repo.commit("master") as commit:
            commit.put_file("/x", content)
    repo.squash_commit("master^")
    return store


def test_it_collects_when_something_changed(wasteful: Store) -> None:
    told: list[str] = []
    with wasteful as store:
        upkeep = Upkeep(store, threading.Event(), tell=told.append, min_age_s=0)
        upkeep.once()
        assert len(told) == 1
        assert "2.9 MiB freed" in told[0]
        gen = collection.read(store.backend)[0]
        upkeep.once()
        assert collection.read(store.backend)[0] == gen, "nothing changed: nothing was looked at"
        store.repo("r").create_branch("b")
        upkeep.once()
        assert collection.read(store.backend)[0] != gen
        assert len(told) == 1, "and nothing to tell"


def test_what_was_just_written_is_left_alone(wasteful: Store) -> None:
    told: list[str] = []
    with wasteful as store:
        Upkeep(store, threading.Event(), tell=told.append).once()
        assert not told
        assert len(list(store.backend.entries("packs/"))) > 1


def test_a_failure_is_told_and_ends_nothing(wasteful: Store) -> None:
    told: list[str] = []
    with wasteful as store:
        upkeep = Upkeep(store, threading.Event(), tell=told.append, min_age_s=0)
        with alone(store.path):
            upkeep.once()
        assert "another collection" in told[0]
        upkeep.once()
        assert "freed" in told[1]


def test_it_stops_when_told_and_the_next_one_goes_on(wasteful: Store) -> None:
    told: list[str] = []
    with wasteful as store:
        stop = threading.Event()
        stop.set()
        Upkeep(store, stop, tell=told.append, min_age_s=0).once()
        assert collection.read(store.backend)[0].phase == "idle"
        Upkeep(store, threading.Event(), tell=told.append, min_age_s=0).once()
        assert len(told) == 1


def test_it_runs_until_the_end(wasteful: Store) -> None:
    stop, told = threading.Event(), list[str]()

    def tell(line: str) -> None:
        told.append(line)
        stop.set()

    with wasteful as store:
        Upkeep(store, stop, tell=tell, every_s=0, min_age_s=0).run()
    assert len(told) == 1


def test_doctor_says_when_it_is_due(store: Path, pfs: Run) -> None:
    def finding() -> dict[str, str]:
        found = pfs("doctor", "--json").json
        assert isinstance(found, list)
        return next(one for one in found if one["name"] == "collection")

    assert finding() == {"name": "collection", "state": "good", "detail": "nothing to free yet"}
    with open_store(store) as opened:
        repo = opened.repo("r")
        for number in range(70):
            with repo.commit("master") as commit:
                commit.put_file(f"/{number}", os.urandom(100))
        assert when_due(opened).last is None
    assert finding()["state"] == "fair"
    assert "packs were added" in finding()["detail"]
    pfs("gc")
    assert finding()["detail"].startswith("nothing to free yet; the last one was at ")
    pfs("purge", "r:/1", "--yes")
    assert "something was purged" in finding()["detail"]
    pfs("gc")
    assert finding()["state"] == "good"
