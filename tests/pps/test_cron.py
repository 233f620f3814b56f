"""Cron inputs: which ticks are made, how often, and what jobs see of them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import pfs
from pfs.errors import ConflictError, InvalidInputError, NotFoundError
from pfs.provenance.cron import SECOND_NS
from pfs.store import Store
from pps.model.events import RunEvent, Trouble
from pps.scheduling.cron import MOST_AT_ONCE, CronTicker, due_ticks, tick
from pps.spec.node import Plain
from pps.spec.types import Cron
from pps.times import parse_time, time_text
from tests.pps.pipe_world import World, pfs_input

START = int(datetime(2026, 3, 1, 12, 0, 30, tzinfo=UTC).timestamp()) * SECOND_NS
MINUTE = 60 * SECOND_NS


class Clock:
    """Real time, moved to a day of the past and on by hand."""

    def __init__(self) -> None:
        self.offset_ns = START - time.time_ns()

    def __call__(self) -> int:
        return time.time_ns() + self.offset_ns

    def forward(self, ns: int) -> None:
        self.offset_ns += ns


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def world(tmp_path: Path, clock: Clock) -> Iterator[World]:
    pfs.init(tmp_path).close()
    with Store(tmp_path / ".pfs", clock_ns=clock) as store:
        made = World(tmp_path, store)
        made.code("run.sh", 'ls "$PFS/tick" > "$PFS_OUT/$(ls "$PFS/tick" | tail -1)"\n')
        yield made


def cron(**more: Plain) -> dict[str, Plain]:
    return {"cron": {"name": "tick", "spec": "*/5 * * * *", **more}}


def ticks(world: World, repo: str = "p_tick") -> list[str]:
    return sorted(path.strip("/")[11:16] for path in world.output(repo))


@pytest.mark.row("2.3 input.cron", "2.3 cron.repo", "2.3 tick files", "2.3 cron datums")
def test_a_tick_is_a_file_named_by_its_time_and_a_job(world: World, clock: Clock) -> None:
    world.create("p", cron())
    assert world.run().jobs == ()
    clock.forward(5 * MINUTE)
    assert world.run_one().data_processed == 1
    assert world.output("p_tick") == {"/2026-03-01T12:05:00Z": b""}
    assert world.run().jobs == ()
    clock.forward(5 * MINUTE)
    job = world.run_one()
    assert (job.data_processed, job.data_skipped) == (1, 1)
    assert ticks(world) == ["12:05", "12:10"]


def test_ticks_that_were_missed_are_one_tick(world: World, clock: Clock) -> None:
    world.create("p", cron())
    clock.forward(63 * MINUTE)
    world.run_one()
    assert ticks(world) == ["13:00"]


def test_with_backfill_each_missed_tick_is_a_job(world: World, clock: Clock) -> None:
    world.create("p", cron(backfill=True))
    clock.forward(16 * MINUTE)
    assert [job.data_total for job in world.run().jobs] == [1, 2, 3]
    assert ticks(world) == ["12:05", "12:10", "12:15"]


@pytest.mark.row("2.3 cron.overwrite")
def test_with_overwrite_only_the_last_tick_stays(world: World, clock: Clock) -> None:
    world.create("p", cron(overwrite=True))
    for _ in range(3):
        clock.forward(5 * MINUTE)
        assert world.run_one().data_total == 1
    assert ticks(world) == ["12:15"]
    assert len(list(world.store.repo("p_tick").commits("master"))) == 3


@pytest.mark.row("2.3 cron.start")
def test_nothing_ticks_before_the_start(world: World, clock: Clock) -> None:
    world.create("p", cron(start="2026-03-01T14:00:00+01:00", backfill=True))
    clock.forward(50 * MINUTE)
    assert world.run().jobs == ()
    clock.forward(21 * MINUTE)
    world.run()
    assert ticks(world) == ["13:05", "13:10"]


@pytest.mark.row("2.8 run-cron")
def test_a_tick_by_hand(world: World) -> None:
    world.create("p", cron(spec="@never"))
    world.pipelines.run_cron("p")
    assert world.run_one().data_processed == 1
    world.put("images", {"/a": b""})
    world.create("plain", pfs_input("images"))
    with pytest.raises(InvalidInputError, match="no cron input"):
        world.pipelines.run_cron("plain")
    with pytest.raises(NotFoundError):
        world.pipelines.run_cron("nobody")


@pytest.mark.row("2.8 delete cron repos")
def test_the_repo_goes_with_the_pipeline_unless_others_read_it(world: World) -> None:
    world.create("p", cron())
    world.create("q", pfs_input("p_tick", name="tick"))
    world.pipelines.delete("p")
    assert world.store.refs.find("p_tick") is not None
    world.create("r", cron(spec="@daily"))
    world.pipelines.delete("r", keep_repo=True)
    assert world.store.refs.find("r_tick") is None


def test_two_inputs_of_one_repo_tick_once(world: World, clock: Clock) -> None:
    world.create("p", cron(repo="shared"))
    world.create("q", cron(repo="shared"))
    clock.forward(5 * MINUTE)
    world.run()
    assert len(list(world.store.repo("shared").commits("master"))) == 1


@pytest.mark.row("2.3 cron.repo")
def test_a_repo_of_data_gets_no_ticks(world: World) -> None:
    world.put("data", {"/a": b"x"})
    for leaf in (cron(repo="data"), cron(repo="data", overwrite=True)):
        with pytest.raises(ConflictError, match=r"repo 'data' cannot have the ticks .* it holds /a, which is no tick"):
            world.create("p", leaf)
    world.put("data", {"/a": None, "/2026-03-01T12:05:00Z": b"x"})
    with pytest.raises(ConflictError, match="which is no tick"):
        world.create("p", cron(repo="data"))
    assert [info.name for info in world.store.list_repos()] == ["data"]
    world.create("q", pfs_input("data"))
    with pytest.raises(ConflictError, match="it is the output of a pipeline"):
        world.create("p", cron(repo="q"))
    world.store.create_repo("bare")
    world.create("p", cron(repo="bare", overwrite=True))
    with pytest.raises(ConflictError, match="which is no tick"):
        world.pipelines.update(world.spec("p", cron(repo="data")), base_dir=world.folder)
    world.pipelines.run_cron("p")
    assert world.pipelines.update(world.spec("p", cron(repo="bare")), base_dir=world.folder).version == 2


@pytest.mark.parametrize("other", [{"overwrite": True}, {"spec": "@daily"}, {"backfill": True}])
def test_inputs_of_one_repo_tick_alike(world: World, other: dict[str, Plain]) -> None:
    world.create("p", cron(repo="shared"))
    clash = "cron input 'tick' has the repo of input 'tick' of pipeline 'p', 'shared', but ticks otherwise"
    with pytest.raises(ConflictError, match=clash):
        world.create("q", cron(repo="shared", **other))
    assert world.store.refs.find("q") is None
    world.create("q", cron(repo="shared"))
    info = world.pipelines.update(world.spec("q", cron(repo="shared", **other)), base_dir=world.folder)
    assert info.version == 2
    assert [note for note in info.notes if clash in note]
    both = {"cross": [cron(repo="own"), {"cron": {"name": "second", "spec": "@never", "repo": "own"}}]}
    with pytest.raises(ConflictError, match="of pipeline 'r', 'own', but ticks otherwise"):
        world.create("r", both)


def test_a_tick_is_made_once(world: World, clock: Clock) -> None:
    world.create("p", cron())
    (leaf,) = (world.spec("p", cron()).input,)
    assert tick(world.store, leaf, START) is not None
    assert tick(world.store, leaf, START) is None


def test_an_input_whose_repo_is_gone_is_told_and_others_tick(world: World, clock: Clock) -> None:
    told: list[RunEvent] = []
    for name in ("a", "b"):
        world.create(name, cron())
    pipelines = world_pipelines(world)
    world.store.delete_repo("a_tick", force=True)
    clock.forward(5 * MINUTE)
    assert CronTicker(world.store, told.append).run(pipelines) == 1
    (trouble,) = told
    assert isinstance(trouble, Trouble)
    assert trouble.pipeline == "a"
    assert ticks(world, "b_tick") == ["12:05"]


def world_pipelines(world: World) -> list[object]:
    from pps.model.catalog import Catalog

    return list(Catalog(world.store).all())


@given(
    st.integers(0, 10_000), st.integers(0, 100_000), st.sampled_from(["*/5 * * * *", "@every 7m", "@hourly", "@never"])
)
@pytest.mark.row("2.3 cron.spec")
def test_one_tick_for_all_is_the_last_of_those_that_were_missed(since: int, later: int, schedule: str) -> None:
    since_ns = START + since * SECOND_NS
    now_ns = since_ns + later * SECOND_NS
    every = due_ticks(Cron(schedule, backfill=True), since_ns, now_ns)
    assert len(every) <= MOST_AT_ONCE
    assert all(since_ns < at_ns <= now_ns for at_ns in every)
    assert tuple(due_ticks(Cron(schedule), since_ns, now_ns)) == tuple(every[-1:])


@given(st.integers(0, 4_000_000_000))
def test_times_are_read_back_and_sort_as_texts(seconds: int) -> None:
    assert parse_time(time_text(seconds * SECOND_NS)) == seconds * SECOND_NS
    assert time_text(seconds * SECOND_NS) < time_text((seconds + 1) * SECOND_NS)
    assert parse_time("2026-03-01T12:00:00") is None
