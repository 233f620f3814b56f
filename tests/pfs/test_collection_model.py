"""Collection beside writers and readers, call by call: every order in which one of them comes in between another.

The machines, the collector and the protocol are the real ones; the test decides who makes the next backend call. Four
mutants, each without one step of the protocol, show that the same orders find what that step is for.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import pytest

from pfs.changes import publish
from pfs.errors import CollectedError, PfsError
from pfs.gc import collector
from pfs.ids import CommitId
from pfs.refs.level import level
from pfs.refs.swap import Refs
from tests.pfs.collection_world import DEAD, Prepared, World, body, world_of
from tests.pfs.interleave import Actor, Then

Begin = Callable[[World], Actor]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    return Prepared(tmp_path_factory.mktemp("prepared"))


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who backs off waits for nobody here: the others stand still."""
    monkeypatch.setattr("time.sleep", lambda _: None)


class Worlds:
    """A fresh copy of the prepared world each time."""

    def __init__(self, prepared: Prepared, directory: Path) -> None:
        self._prepared, self._directory, self._numbers = prepared, directory, count()

    @contextmanager
    def fresh(self) -> Iterator[World]:
        place = self._directory / str(next(self._numbers))
        place.mkdir()
        with world_of(self._prepared, place) as world:
            yield world


@pytest.fixture
def worlds(prepared: Prepared, tmp_path: Path) -> Worlds:
    return Worlds(prepared, tmp_path)


def put_dead(world: World) -> Actor:
    """Store anew what nothing leads to, and what the index still knows."""
    return world.machine("w").act("put", "/again", DEAD)


def put_new(world: World) -> Actor:
    return world.machine("w").act("put", "/new", body("new"))


def copy(world: World) -> Actor:
    """Take over by reference what another repo has."""
    return world.machine("w").act("copy", "/copied")


def collect(world: World) -> Actor:
    return world.machine("c").act("collect")


def read(world: World) -> Actor:
    return world.machine("w").act("read")


WRITERS: dict[Begin, dict[str, bytes]] = {
    put_dead: {"/again": DEAD},
    put_new: {"/new": body("new")},
    copy: {"/copied": body("x")},
}
WHOLE = {"/a": body("a"), "/b": body("b")}


def problems(world: World, writer: Actor, begin: Begin) -> list[str]:
    """Return what is wrong in the end: a commit that was said to be there is whole, any other is not there."""
    try:
        return _problems(world, writer, begin)
    except PfsError as error:
        return [str(error)]


def _problems(world: World, writer: Actor, begin: Begin) -> list[str]:
    found = world.check(index=world.directory / "check")
    reader = world.machine("reader")
    there = {info.id for info in reader.store.repo("r").commits("master")}
    if writer.error is None:
        found += [] if writer.result in there else ["an acknowledged commit is lost"]
        files = WHOLE | WRITERS[begin]
    else:
        found += [] if isinstance(writer.error, PfsError) else [repr(writer.error)]
        found += [] if len(there) == 2 else ["a commit that was said to have failed is there"]
        files = WHOLE
    if not found:
        found += [] if reader.read() == files else ["other files"]
    return found


def between(world: World, outer: Actor, calls: int, inner: Begin) -> Actor:
    """Let ``outer`` do so many calls, then all of ``inner``, then the rest; return the actor of ``inner``."""
    outer.run(calls)
    actor = inner(world)
    actor.run()
    outer.run()
    return actor


STEPS = pytest.mark.parametrize("step", [10, pytest.param(1, marks=pytest.mark.long)])
EVERY_CALL = [pytest.param(one, 1, marks=pytest.mark.long) for one in WRITERS]


@pytest.mark.parametrize(("begin", "step"), [(put_dead, 1), (put_new, 4), (copy, 3), *EVERY_CALL])
def test_a_collection_at_any_call_of_a_writer(worlds: Worlds, begin: Begin, step: int) -> None:
    for calls in count(0, step):
        with worlds.fresh() as world:
            writer = begin(world)
            collection = between(world, writer, calls, collect)
            assert collection.error is None
            assert problems(world, writer, begin) == [], f"after {calls} calls"
            if begin is not put_dead:
                assert writer.error is None, "only what was dead can be collected from under a writer"
            assert writer.error is None or isinstance(writer.error, CollectedError)
            world.machine("w").put("/after", DEAD)  # and it can be done again
            if calls >= len(writer.calls):
                break


@pytest.mark.parametrize(("begin", "step"), [(put_dead, 4), (put_new, 14), (copy, 11), *EVERY_CALL])
def test_a_writer_at_any_call_of_a_collection(worlds: Worlds, begin: Begin, step: int) -> None:
    for calls in count(0, step):
        with worlds.fresh() as world:
            collection = collect(world)
            writer = between(world, collection, calls, begin)
            assert collection.error is None
            assert writer.error is None or isinstance(writer.error, CollectedError)
            assert problems(world, writer, begin) == [], f"after {calls} calls"
            if calls >= len(collection.calls):
                break


def test_readers_never_fail(worlds: Worlds) -> None:
    for calls in count():
        with worlds.fresh() as world:
            reader = read(world)
            between(world, reader, calls, collect)
            assert reader.error is None
            assert reader.result == WHOLE
            if calls >= len(reader.calls):
                break


@STEPS
def test_a_collection_that_dies_at_any_call_is_ended_by_the_next(worlds: Worlds, step: int) -> None:
    for calls in count(0, step):
        with worlds.fresh() as world:
            dead = collect(world)
            dead.run(calls)
            dead.crash()
            writer = put_dead(world)
            writer.run()
            assert writer.error is None or isinstance(writer.error, CollectedError)
            last = world.machine("other").act("collect")
            last.run()
            assert last.error is None
            assert problems(world, writer, put_dead) == [], f"after {calls} calls"
            if calls >= len(dead.calls):
                break


@STEPS
def test_a_collector_that_wakes_up_after_another_took_over(worlds: Worlds, step: int) -> None:
    for calls in count(0, step):
        with worlds.fresh() as world:
            sleeper = collect(world)
            sleeper.run(calls)
            for _ in range(2):
                other = world.machine("other").act("collect")
                other.run()
                assert other.error is None
            writer = put_dead(world)
            writer.run()
            sleeper.run()
            assert sleeper.error is None or isinstance(sleeper.error, PfsError)
            assert writer.error is None or isinstance(writer.error, CollectedError)
            assert problems(world, writer, put_dead) == [], f"after {calls} calls"
            if calls >= len(sleeper.calls):
                break


def test_a_lost_reply_at_any_call_of_a_writer(worlds: Worlds) -> None:
    assert _with_lost_replies(worlds) == []


def _with_lost_replies(worlds: Worlds) -> list[str]:
    found: list[str] = []
    for calls in count():
        with worlds.fresh() as world:
            writer = put_dead(world)
            writer.run(calls)
            if writer.over:
                break
            writer.step(Then.LOST)
            collection = collect(world)
            collection.run()
            writer.run()
            found = problems(world, writer, put_dead)
            if found:
                break
    return found


def test_a_head_moved_back_names_a_pack_that_stays(worlds: Worlds) -> None:
    """By a machine whose index knows the old places only: refs are the one thing that leads to a head's record."""
    with worlds.fresh() as world:
        machine = world.machine("w")
        commits = [machine.put("/n", b"%d" % number) for number in range(10)]
        world.machine("c").collect()
        repo = machine.store.repo("r")
        repo.create_branch("back", head=commits[3])
        repo.create_tag("tag", commits[5])
        repo.start_commit("open", parent=commits[6])
        repo.squash_commit(commits[8])
        assert world.check(index=world.directory / "check") == []
        world.machine("c").collect()
        assert world.check(index=world.directory / "check again") == []


# the mutants


def no_fence(monkeypatch: pytest.MonkeyPatch) -> None:
    """Refs are read, and not written: a swap that was prepared before the generation lands after it."""
    monkeypatch.setattr(collector, "fence", lambda store, *_, **__: collector.load_all(store))


def no_check(monkeypatch: pytest.MonkeyPatch) -> None:
    """A writer takes note of the generation, and does not look at the lists."""

    def recheck(store: object, session: object, *_: object) -> bool:
        session.seen_gen = level(store.backend, store.index).gen  # type: ignore[attr-defined]
        return False

    monkeypatch.setattr(publish, "recheck", recheck)


def no_mark_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was dead when the list was made counts as dead when it is swept."""
    monkeypatch.setattr(collector, "kept_packs", lambda *_, **__: set())


@pytest.mark.parametrize("mutant", [no_fence, no_check, no_mark_again])
def test_without_a_step_of_the_protocol_data_is_lost(
    worlds: Worlds, monkeypatch: pytest.MonkeyPatch, mutant: Callable[[pytest.MonkeyPatch], None]
) -> None:
    mutant(monkeypatch)
    assert any(_breaks(worlds, calls) for calls in range(0, 80, 2))


def _breaks(worlds: Worlds, calls: int) -> bool:
    """Say whether the two orders of a writer and a collector with a change after so many calls show damage."""
    for outer, inner in ((put_dead, collect), (collect, put_dead)):
        with worlds.fresh() as world:
            first = outer(world)
            second = between(world, first, calls, inner)
            writer = first if outer is put_dead else second
            if problems(world, writer, put_dead):
                return True
    return False


def test_without_write_ids_a_commit_is_said_to_have_failed(worlds: Worlds, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Refs, "_find_landed", lambda *_: None)
    assert _with_lost_replies(worlds) != []


def test_a_commit_id_is_what_a_writer_returns(worlds: Worlds) -> None:
    """The checks above stand on it."""
    with worlds.fresh() as world:
        writer = put_new(world)
        writer.run()
        assert world.machine("w").store.repo("r").branch("master").head == CommitId(writer.result)
