"""Periodic ingress: a cron input asks a database outside of the store, and what it says drives another pipeline."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from pfs.store import Store, init
from pps.secret_store import Secrets
from tests.dags.conftest import create, texts
from tests.pps.pipe_world import World

SECOND_NS = 10**9
START_NS = int(datetime(2026, 3, 1, 12, 0, 1, tzinfo=UTC).timestamp()) * SECOND_NS


class Clock:
    """Real time, moved to a day of the past and on by hand."""

    def __init__(self) -> None:
        self.offset_ns = START_NS - time.time_ns()

    def __call__(self) -> int:
        return time.time_ns() + self.offset_ns

    def forward(self, seconds: int) -> None:
        self.offset_ns += seconds * SECOND_NS


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def world(folder: Path, clock: Clock) -> Iterator[World]:
    init(folder).close()
    with Store(folder / ".pfs", clock_ns=clock) as store:
        yield World(folder, store)


@pytest.fixture
def database() -> Iterator[Path]:
    """A database where commands see it: their /tmp is their own."""
    with TemporaryDirectory(dir="/var/tmp") as folder:
        path = Path(folder) / "restaurants.db"
        change(path, "create table restaurants (name text, stars int)")
        change(path, "insert into restaurants values ('Baobab', 3), ('Savanna', 2)")
        yield path


def change(path: Path, statement: str) -> None:
    database = sqlite3.connect(path)
    with database:
        database.execute(statement)
    database.close()


def jobs(world: World, pipeline: str) -> list[tuple[str, int, int]]:
    """Return state, processed and total of the jobs of a pipeline, oldest first."""
    found = [(job.state.value, job.data_processed, job.data_total) for job in world.jobs.jobs(pipeline)]
    return found[::-1]


def test_each_tick_asks_anew_and_only_news_go_on(world: World, clock: Clock, database: Path) -> None:
    Secrets(world.store).create("dbsecret", {"uri": str(database).encode(), "table": b"restaurants"})
    create(world.store, world.folder, "query.json", "menu.yaml")
    world.run()
    assert jobs(world, "query") == [], "no tick yet"

    clock.forward(10)
    world.run()
    assert jobs(world, "query") == jobs(world, "menu") == [("success", 1, 1)]
    assert texts(world, "menu") == {"best": "Baobab\n"}

    clock.forward(10)
    world.run()
    assert jobs(world, "query")[1:] == [("success", 1, 1)], "another tick: the database is asked again"
    assert jobs(world, "menu")[1:] == [("success", 0, 1)], "it says the same: nothing to do"

    change(database, "update restaurants set stars = 3 where name = 'Savanna'")
    clock.forward(35)
    world.run()
    assert jobs(world, "query")[2:] == [("success", 1, 1)], "three ticks that nobody was there for are one"
    assert jobs(world, "menu")[2:] == [("success", 1, 1)]
    assert texts(world, "menu") == {"best": "Baobab\nSavanna\n"}
    assert texts(world, "menu", "master^") == {"best": "Baobab\n"}
    assert len(texts(world, "query_tick")) == 1, "overwrite keeps the last tick alone"


def test_a_tick_by_hand_and_a_failing_database(world: World, clock: Clock, database: Path) -> None:
    Secrets(world.store).create("dbsecret", {"uri": str(database).encode(), "table": b"nosuch"})
    create(world.store, world.folder, "query.json", "menu.yaml")
    world.pipelines.run_cron("query")
    world.run()
    assert jobs(world, "query") == [("failure", 0, 1)]
    assert [state for state, _, _ in jobs(world, "menu")] == ["unrunnable"]
    Secrets(world.store).create("dbsecret", {"uri": str(database).encode(), "table": b"restaurants"}, replace=True)
    clock.forward(10)
    world.run()
    assert jobs(world, "query")[1:] == [("success", 1, 1)]
    assert texts(world, "menu") == {"best": "Baobab\n"}
