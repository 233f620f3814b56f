"""Collection of a bucket by several machines: by the bucket's clock, one at a time, and beside writers and readers."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import pytest

from cli.upkeep import Upkeep
from pfs.errors import BranchMovedError, ConflictError
from pfs.gc.collect import collect
from pfs.gc.due import when_due
from pfs.gc.options import DAY_NS, Options, usual
from pfs.gc.owner import TTL_NS, take
from pfs.gc.uploads import open_uploads
from pfs.packs.lease import Lease, leased_packs
from pfs.packs.pack import parse_pack_name
from pfs.refs import collection
from pfs.store import Store
from pfs.upkeep import duty
from pfs.upkeep.check import fsck
from tests.pfs.bucket_world import Asked, World
from tests.pfs.gc_load import check
from tests.pfs.machines import Machine, machines

ROOT = Path(__file__).parents[2]
DAY_S, HOUR_S, SECOND_NS = 86_400.0, 3_600.0, 10**9
NOW = Options()


@pytest.fixture
def machine(bucket: World, tmp_path: Path) -> Iterator[Machine]:
    """Gives the store of a machine, without a cache of packs."""
    with machines(bucket, tmp_path, cache_bytes=0) as made:
        yield made


def put(store: Store, path: str, data: bytes) -> str:
    with store.repo("data").commit("master") as commit:
        commit.put_file(path, data)
    return commit.id


def packs(store: Store) -> set[str]:
    return {entry.name for entry in store.backend.entries("packs/")}


def wasteful(store: Store) -> None:
    """Make a store with 5 MB that nothing leads to, in a pack of its own, and one file."""
    store.create_repo("data")
    first = put(store, "/a", random.Random(1).randbytes(5_000_000))
    put(store, "/a", b"new")
    store.repo("data").squash_commit(first)


def reads(store: Store) -> bytes:
    return store.repo("data")["master"].read("/a")


def pass_time(bucket: World, seconds: float, *stores: Store) -> None:
    """Let the bucket's clock go on, and stores hear of it: by itself time makes no such leaps."""
    bucket.later_s += seconds
    for store in stores:
        packs(store)


def set_clock(monkeypatch: pytest.MonkeyPatch, days: float) -> None:
    real = time.time_ns
    monkeypatch.setattr(time, "time_ns", lambda: real() + int(days * DAY_NS))


def test_a_day_each_is_usual_in_a_bucket(bucket: World, machine: Machine) -> None:
    """Packs of a day are condemned, and go a day after that; what says so is the bucket's clock."""
    one, two = machine("one"), machine("two")
    wasteful(one)
    there, options = packs(one), usual(one.backend)
    assert (options.min_age_ns, options.grace_ns) == (DAY_NS, DAY_NS)
    assert collect(one, options).did_nothing, "all is young"
    pass_time(bucket, DAY_S + 60, one, two)
    report = collect(one, options)
    assert (report.waiting > 0, report.deleted, report.repacked) == (True, 0, 0)
    assert not report.did_nothing
    assert there <= packs(two)
    state = collection.read(one.backend)[0]
    assert (state.phase, state.owner, state.gen) == ("published", "", 1)
    pass_time(bucket, DAY_S - HOUR_S, one, two)
    bucket.counted()
    again = collect(two, options)
    assert (again.waiting, again.did_nothing, again.waits_until_ns) == (report.waiting, True, report.waits_until_ns)
    assert bucket.counted()[0] == 0, "who looks changes nothing"
    assert when_due(two).reason is None
    assert when_due(two).waits_until_ns == report.waits_until_ns
    pass_time(bucket, 2 * HOUR_S, one, two)
    assert when_due(two).reason == "packs were condemned, and readers had their time"
    ended = collect(two, options)
    assert (ended.resumed, ended.ended) == (True, report.waiting)
    assert not there & packs(one) - packs(two)
    assert sum(entry.size for entry in one.backend.entries("packs/d/")) == 0
    assert reads(one) == reads(two) == b"new"
    assert list(fsck(one, deep=True)) == []


def test_who_will_not_wait_says_so(bucket: World, machine: Machine) -> None:
    """A generation that waits is ended at once by a collection without a grace, also by another machine."""
    one, two = machine("one"), machine("two")
    wasteful(one)
    pass_time(bucket, 2 * DAY_S, one, two)
    assert collect(one, usual(one.backend)).waiting
    assert collect(two, NOW).resumed
    assert sum(entry.size for entry in one.backend.entries("packs/d/")) == 0
    assert reads(one) == b"new"


@pytest.mark.parametrize("days", [-40, 40])
def test_a_machine_whose_clock_is_wrong(
    bucket: World, machine: Machine, monkeypatch: pytest.MonkeyPatch, days: int
) -> None:
    """Lets go of nothing early and of nothing late: trash, young packs, leases, and who collects."""
    one = machine("one")
    wasteful(one)
    put(one, "/b", b"b")
    one.repo("data").create_branch("old", head="master")
    one.repo("data").delete_branch("old")
    lease = Lease(one.backend, clock_ns=one.clock_ns)
    parsed = [parse_pack_name(name) for name in packs(one)]
    leased = {found[0] for found in parsed if found is not None}
    lease.write(leased, seen_gen=0)
    owner = take(one.backend, clock_ns=one.clock_ns, alone_here=False)
    monkeypatch.setattr("pfs.machine.this_machine", lambda: "other")
    monkeypatch.setattr("pfs.gc.owner.this_machine", lambda: "other")
    set_clock(monkeypatch, days)
    two = machine("two")
    with pytest.raises(ConflictError, match="another collection"):
        collect(two, NOW)
    owner.finish()
    assert leased_packs(two.backend, now_ns=two.clock_ns()) == leased
    there = packs(one)
    report = collect(two, Options(min_age_ns=DAY_NS))
    assert (report.expired.trash, report.deleted, report.repacked) == ((), 0, 0)
    assert there <= packs(two)
    owner = take(one.backend, clock_ns=one.clock_ns, alone_here=False)
    pass_time(bucket, max(HOUR_S, TTL_NS / SECOND_NS) + 60, one, two)
    assert leased_packs(two.backend, now_ns=two.clock_ns(), tidy=False) == set()
    assert collect(two, NOW).deleted, "whose time is over by the bucket's clock is taken over from"
    with pytest.raises(BranchMovedError):
        owner.finish()
    pass_time(bucket, 31 * DAY_S, one, two)
    assert collect(two, NOW).expired.trash == ("data@old",)
    assert reads(one) == b"new"


@pytest.mark.parametrize("days", [-40, 40])
def test_uploads_expire_by_the_clock_of_the_bucket(
    bucket: World, machine: Machine, monkeypatch: pytest.MonkeyPatch, days: int
) -> None:
    """After 7 days, whatever the machine thinks that it is."""
    one = machine("one")
    one.create_repo("data")
    names = [f"uploads/data/{number}/upload" for number in range(2)]
    one.backend.put_new(names[0], b"")
    pass_time(bucket, 6 * DAY_S, one)
    one.backend.put_new(names[1], b"")
    set_clock(monkeypatch, days)
    two = machine("two")
    assert open_uploads(two.backend).number == 2
    assert collect(two, NOW).expired.uploads == ()
    pass_time(bucket, 2 * DAY_S, one, two)
    assert collect(two, NOW).expired.uploads == (names[0],)
    assert open_uploads(one.backend).number == 1


def test_times_of_commits_are_those_of_the_bucket(
    bucket: World, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = machine("one")
    one.create_repo("data")
    set_clock(monkeypatch, -100)
    two = machine("two")
    first, second = put(one, "/a", b"1"), put(two, "/b", b"2")
    infos = {info.id: info for info in one.repo("data").commits("master")}
    times = [infos[commit].finished_ns for commit in (first, second)]
    assert all(found is not None and abs(found - one.backend.now_ns()) < 600 * SECOND_NS for found in times)


def test_a_collector_that_sleeps_through_its_time(bucket: World, machine: Machine) -> None:
    """Another takes over and ends what it began; when it wakes up it is told, and nothing is lost."""
    one, two = machine("one"), machine("two")
    wasteful(one)

    def sleep(_: float) -> None:
        pass_time(bucket, TTL_NS / SECOND_NS + 60, two)
        assert collect(two, NOW).resumed
        put(two, "/b", b"meanwhile")

    with pytest.raises(BranchMovedError):
        collect(one, Options(grace_ns=SECOND_NS), pause=sleep)
    assert reads(one) == b"new"
    assert one.repo("data")["master"].read("/b") == b"meanwhile"
    assert list(fsck(one, deep=True)) == []
    assert collection.read(one.backend)[0].phase == "idle"


@pytest.mark.s3
def test_a_reader_of_another_machine_finds_what_was_moved(machine: Machine) -> None:
    """Its index names packs that are gone: it looks again by itself."""
    one, two = machine("one"), machine("two")
    one.create_repo("data")
    for number in range(9):  # small packs are written again as one
        put(one, f"/{number}", b"%d" % number * 2000)
    view = two.repo("data")["master"]
    assert view.read("/0") == b"0" * 2000
    there = packs(one)
    assert collect(one, NOW).repacked
    assert not there & packs(one)
    again = machine("two").repo("data")["master"]
    for number in range(9):
        assert view.read(f"/{number}") == again.read(f"/{number}") == b"%d" % number * 2000


def test_requests_grow_with_packs_and_repos_alone(bucket: World, machine: Machine) -> None:
    """One footer a pack and mark, one swap a repo; what goes is named in one request."""
    one = machine("one")
    counts = []
    for size in (6, 12):
        name = f"r{size}"
        repo = one.create_repo(name)
        ids = []
        for number in range(size):
            with repo.commit("master") as commit:
                commit.put_file("/x", random.Random(number + size * 100).randbytes(20_000))
            ids.append(commit.id)
        for commit_id in ids[:-1]:
            repo.squash_commit(commit_id)
        before = len(packs(one))
        bucket.counted()
        report = collect(one, NOW)
        assert report.deleted >= size - 1
        asked = list(bucket.asked)
        deletes = [one for one in asked if one.method == "DELETE" or one.query == "delete"]
        assert len(deletes) <= 3, "packs go in one request, lists in another"
        counts.append((before, len(asked)))
    for before, requests in counts:
        assert requests <= 8 * before + 40


def test_upkeep_is_one_machines(bucket: World, machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other leaves it alone while that one comes back to it, and takes it up when it does not."""
    one, two = machine("one"), machine("two")
    wasteful(one)
    told: dict[str, list[str]] = {"one": [], "two": []}
    pass_time(bucket, DAY_S + 60, one, two)
    first = Upkeep(one, threading.Event(), tell=told["one"].append)
    second = Upkeep(two, threading.Event(), tell=told["two"].append)
    first.once()
    assert "condemned" in told["one"][-1]
    second.once()
    second.once()
    host = os.uname().nodename
    assert told["two"] == [f"upkeep: `pfs serve` on {host} does it"]
    pass_time(bucket, HOUR_S, one, two)
    first.once()
    pass_time(bucket, HOUR_S, one, two)
    second.once()
    assert len(told["two"]) == 1, "it was renewed an hour ago"
    pass_time(bucket, DAY_S, one, two)
    second.once()
    assert "packs that were condemned before" in told["two"][-1]
    first.once()
    assert told["one"][-1] == f"upkeep: `pfs serve` on {host} does it"
    assert reads(one) == b"new"
    assert duty.NAME in {entry.name for entry in one.backend.entries("leases/")}


def test_upkeep_that_ends_gives_its_turn_back(machine: Machine) -> None:
    one, two = machine("one"), machine("two")
    first, second = (duty.Duty(store.backend, clock_ns=store.clock_ns) for store in (one, two))
    assert first.take() is None
    assert second.take() == os.uname().nodename
    second.end()
    assert second.take() == os.uname().nodename
    first.end()
    assert second.take() is None
    assert first.take() == os.uname().nodename


def test_the_turn_is_known_again_after_a_lost_reply(bucket: World, machine: Machine) -> None:
    one, two = machine("one"), machine("two")
    first, second = (duty.Duty(store.backend, clock_ns=store.clock_ns) for store in (one, two))
    bucket.lose = lambda asked: asked.is_write
    assert first.take() is None
    assert first.take() is None
    bucket.lose = lambda _: False
    assert second.take() == os.uname().nodename


ROUNDS = [pytest.param(1, "6x"), pytest.param(6, "12", marks=[pytest.mark.long, pytest.mark.timeout(1800)])]
CLOCKS = ("0", "-9", "9")


@pytest.mark.s3
@pytest.mark.parametrize(("rounds", "until"), ROUNDS)
def test_machines_that_write_and_collect(bucket: World, tmp_path: Path, rounds: int, until: str) -> None:
    """Of three machines, each with another clock; replies are lost, collectors fail and are killed, packs are moved.

    What was acknowledged and not taken away is there, and a last collection leaves the store in order.
    """
    dice, lock = random.Random(rounds), threading.Lock()

    def lose(asked: Asked) -> bool:
        with lock:
            return asked.is_write and dice.random() < 0.1

    with machines(bucket, tmp_path) as machine:
        stores = [machine(f"{number}") for number in range(len(CLOCKS))]
        for name in ("r0", "r1"):
            stores[0].create_repo(name)
        bucket.lose = lose
        lines: list[dict[str, object]] = []
        for number in range(rounds):
            lines += _one_round(tmp_path, number, until=until, rng=dice)
        bucket.lose = lambda _: False
        gone = {line["gone"] for line in lines if "gone" in line}
        made = [line for line in lines if "commit" in line and line["commit"] not in gone]
        assert len(made) >= 1
        for store in stores:
            _check(store, made)
        pass_time(bucket, TTL_NS / SECOND_NS + 60, *stores)  # whoever was killed is dead
        collect(stores[1], NOW)
        assert collection.read(stores[1].backend)[0].phase == "idle"
        for store in stores:
            _check(store, made[-20:])


def _check(store: Store, made: list[dict[str, object]]) -> None:
    assert list(fsck(store, deep=True)) == []
    for line in made:
        check(store.repo(str(line["repo"])), str(line["commit"]), dict(line["files"]))  # type: ignore[call-overload]


def _one_round(place: Path, number: int, *, until: str, rng: random.Random) -> list[dict[str, object]]:
    """Let two machines write and all three collect; return what the writers said."""
    with ExitStack() as stack:
        writers = [_start(place, machine, "write", f"{number * 2 + machine}", until) for machine in range(2)]
        for writer in writers:
            stack.callback(writer.kill)
        return _watch(place, number, writers=writers, rng=rng, short=until.endswith("x"))


def _watch(
    place: Path, number: int, *, writers: Sequence[subprocess.Popen[str]], rng: random.Random, short: bool
) -> list[dict[str, object]]:
    fates = ["kill", "fault"] if short else ["kill", "fault", "whole"] * 4
    for turn, fate in enumerate(fates):
        collector = _start(place, (turn + number) % len(CLOCKS), "collect", f"{rng.randrange(1 << 30)}", fate)
        _, complaint = collector.communicate()
        assert collector.returncode in ((0, -signal.SIGKILL) if fate == "kill" else (0,)), complaint[-3000:]
        mover = _start(place, turn % len(CLOCKS), "move", f"{rng.randrange(1 << 30)}")
        _, complaint = mover.communicate()
        assert mover.returncode == 0, complaint[-3000:]
    lines = []
    for writer in writers:
        said, complaint = writer.communicate()
        assert writer.returncode == 0, complaint[-3000:]
        lines += [json.loads(line) for line in said.splitlines()]
    return lines


def _start(place: Path, machine: int, *words: str) -> subprocess.Popen[str]:
    verb, *rest = words
    line = [sys.executable, "-m", "tests.pfs.gc_load", verb, str(place / f"{machine}"), *rest]
    environment = {**os.environ, "PFS_TEST_DAYS": CLOCKS[machine]}
    pipe = subprocess.PIPE
    return subprocess.Popen(line, cwd=ROOT, stdout=pipe, stderr=pipe, text=True, env=environment)
