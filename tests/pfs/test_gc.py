"""Collection: all that anything leads to survives, the rest goes, and whatever fails, running it again ends it."""

import os
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import pfs
from pfs.backends.local import LocalBackend
from pfs.errors import ConflictError, CorruptionError, MissingObjectError, PfsError, StorageError
from pfs.gc.collect import collect, foresee, measure
from pfs.gc.collector import Collector
from pfs.gc.due import when_due
from pfs.gc.idset import Scratch
from pfs.gc.options import Options
from pfs.gc.owner import TTL_NS, take
from pfs.packs.pack import RecordType, read_footer
from pfs.refs import collection
from pfs.repo import Repo
from pfs.store import Store
from pfs.testing.faults import READS, FaultyBackend, How
from pfs.upkeep.check import fsck
from pfs.upkeep.recover import recover
from tests.pfs.frozen_world import freezing_long  # noqa: F401
from tests.pfs.gc_world import Clock, contents, put, stored_bytes, visible


def make_history(store: Store) -> None:
    """Make what has live and dead parts of all kinds."""
    repo, rng = store.create_repo("data"), random.Random(3)
    for _ in range(6):
        put(repo, "master", rng)
    repo.create_branch("kept", head="master~2")
    repo.create_tag("v1", "master~1")
    put(repo, "gone", rng)
    put(repo, "gone", rng)
    repo.delete_branch("gone")
    repo.squash_commit("master~3")
    put(repo, "dropped", rng)
    put(repo, "dropped", rng)
    repo.drop_commit("dropped")
    repo.start_commit("draft")
    put(repo, "draft", rng)
    other = store.create_repo("other")
    with other.commit("master") as commit:
        commit.copy(repo["master"], "/", "/copy")
    old = store.create_repo("old")
    put(old, "master", rng)
    store.delete_repo("old")


@pytest.fixture
def history(store: Store) -> Store:
    make_history(store)
    return store


def assert_whole(store: Store) -> None:
    assert [damage for damage in fsck(store, deep=True)] == []  # noqa: C416


def test_what_can_be_reached_or_had_back_stays(history: Store) -> None:
    before = visible(history)
    report = collect(history)
    assert report.repacked
    assert report.generation == 1
    assert visible(history) == before
    assert_whole(history)
    repo = history.repo("data")
    repo.undelete("gone")
    assert len(contents(repo, "gone~1")) > 0
    repo.undelete("dropped")
    assert contents(repo, "dropped")
    from pfs.changes.trash import undelete_repo

    undelete_repo(history, "old")
    assert contents(history.repo("old"), "master")
    assert_whole(history)


def test_after_thirty_days_what_was_deleted_goes(history: Store, clock: Clock) -> None:
    collect(history)
    live = measure(history).live_bytes
    clock.days = 31
    report = collect(history)
    assert sorted(report.expired.trash) == ["data@dropped", "data@gone"]
    assert report.expired.repos == ("old",)
    assert report.forgotten >= 3
    assert report.live_bytes < live
    assert stored_bytes(history) <= 1.3 * report.live_bytes
    assert_whole(history)
    with pytest.raises(PfsError):
        history.repo("data").undelete("gone")


def test_afterwards_stored_is_near_live_and_nothing_is_left_to_do(history: Store) -> None:
    repo, rng = history.repo("data"), random.Random(4)
    for _ in range(30):
        put(repo, "master", rng)
        if rng.random() < 0.5:
            repo.squash_commit("master^")
    first = collect(history)
    assert not first.did_nothing
    assert stored_bytes(history) == first.bytes_after <= 1.3 * measure(history).live_bytes
    packs = len(list(history.backend.entries("packs/")))
    assert packs < 10
    second = collect(history)
    assert second.did_nothing
    assert second.generation is None
    assert second.bytes_after == first.bytes_after
    assert_whole(history)


def test_the_index_knows_what_was_moved_and_forgets_what_went(history: Store, clock: Clock) -> None:
    clock.days = 31
    collect(history)
    listed = list(history.backend.entries("packs/"))
    ids = {id for entry in listed for id in read_footer(history.backend, entry.name).entries["id"].tolist()}
    assert history.index.stats().rows == len(ids)
    assert all(place is not None for place in history.index.find(sorted(ids)))
    before = visible(history)
    path = history.path
    history.close()
    recover(path)
    with pfs.open(path) as again:
        assert visible(again) == before
        assert_whole(again)
        put(again.repo("data"), "master", random.Random(8))
        assert_whole(again)


def test_dry_run_changes_nothing_and_tells_what_comes(history: Store, clock: Clock) -> None:
    clock.days = 31
    files = {file: file.read_bytes() for file in (history.path / "objects").rglob("*") if file.is_file()}
    told = foresee(history)
    assert {file: file.read_bytes() for file in (history.path / "objects").rglob("*") if file.is_file()} == files
    done = collect(history)
    assert (told.deleted, told.repacked, told.expired) == (done.deleted, done.repacked, done.expired)
    assert told.live_bytes == done.live_bytes
    assert told.bytes_after == pytest.approx(done.bytes_after, rel=0.05)


def test_nothing_to_collect(store: Store) -> None:
    assert collect(store).did_nothing
    put(store.create_repo("data"), "master", random.Random(1))
    assert collect(store).did_nothing


def test_an_id_in_two_packs_is_kept_where_the_index_says(store: Store) -> None:
    repo, data = store.create_repo("data"), os.urandom(3_000_000)
    opened = [repo.commit(branch) for branch in ("a", "b")]
    for writer in opened:
        writer.put_file("/same", data)  # neither knows of the other's
    for writer in opened:
        writer.finish()
    assert stored_bytes(store) > 6_000_000
    survey = measure(store)
    assert survey.live_bytes < 3_100_000
    collect(store)
    assert stored_bytes(store) < 3_100_000
    assert contents(repo, "a") == contents(repo, "b") == {"/same": data}
    assert_whole(store)


def test_chunks_of_a_block_that_is_dead_in_part_are_put_into_others(store: Store) -> None:
    repo = store.create_repo("data")
    texts = {f"/{number}": (b"line %d of the text\n" % number) * 300 for number in range(200)}
    with repo.commit("master") as commit:
        for path, text in texts.items():
            commit.put_file(path, text)
    with repo.commit("master") as commit:
        for number in range(0, 200, 2):
            commit.delete_file(f"/{number}")
    repo.squash_commit("master^")
    before = stored_bytes(store)
    report = collect(store)
    assert report.repacked
    assert stored_bytes(store) < 0.8 * before
    assert contents(repo, "master") == {path: text for path, text in texts.items() if int(path[1:]) % 2}
    assert_whole(store)


def test_young_packs_are_left_alone(history: Store, clock: Clock) -> None:
    clock.days = 31
    hour = 3600 * 1_000_000_000
    assert collect(history, Options(min_age_ns=hour)).generation is None
    os.utime(next((history.path / "objects/packs").rglob("*.pack")), (0, 0))
    assert collect(history, Options(min_age_ns=hour)).generation in (None, 1)
    assert_whole(history)


def test_readers_get_their_time(history: Store) -> None:
    waited: list[float] = []
    packs = {entry.name for entry in history.backend.entries("packs/")}

    def pause(seconds: float) -> None:
        waited.append(seconds)
        assert packs <= {entry.name for entry in history.backend.entries("packs/")}, "nothing is deleted yet"

    assert collect(history, Options(grace_ns=90 * 1_000_000_000), pause=pause).repacked
    assert waited == [60, 30]


def test_a_reader_goes_on_while_its_packs_go(history: Store) -> None:
    view = history.repo("data")["master"]
    files = contents(history.repo("data"), "master")
    collect(history)
    assert {path: view.read(path) for path in files} == files
    with pfs.open(history.path) as other:
        assert contents(other.repo("data"), "master") == files


def test_an_open_commit_goes_on_after_a_collection(history: Store) -> None:
    repo = history.repo("data")
    drafted = contents(repo, next(b.open_commit for b in repo.branches() if b.open_commit))
    collect(history)
    with repo.commit("draft") as commit:
        commit.put_file("/more", b"more")
    repo.finish_commit("draft")
    assert contents(repo, "draft") == {**drafted, "/more": b"more"}
    assert_whole(history)


def test_a_writer_that_began_before_loses_nothing(history: Store) -> None:
    """It found its content in packs that go, and its own new packs look dead."""
    repo, data = history.repo("data"), os.urandom(9_000_000)
    gone = contents(repo, "kept")
    writer = repo.commit("late")
    for path, content in gone.items():
        writer.put_file("/copy" + path, content)
    writer.put_file("/new", data)
    repo.delete_branch("kept")
    collect(history)
    clock_ns = history.clock_ns
    history.clock_ns = lambda: clock_ns() + 31 * 24 * 3600 * 1_000_000_000
    collect(history)
    history.clock_ns = clock_ns
    writer.put_file("/last", b"last")
    writer.finish()
    assert contents(repo, "late") == {
        **{"/copy" + path: content for path, content in gone.items()},
        "/new": data,
        "/last": b"last",
    }
    assert_whole(history)


def test_a_second_collector_is_refused(history: Store) -> None:
    def pause(_: float) -> None:
        with pytest.raises(ConflictError, match=f"process {os.getpid()}"), pfs.open(history.path) as other:
            collect(other)

    assert collect(history, Options(grace_ns=1), pause=pause).generation == 1
    owner = take(history.backend, clock_ns=history.clock_ns, alone_here=False)
    with pytest.raises(ConflictError, match="at work"):
        take(history.backend, clock_ns=history.clock_ns, alone_here=False)
    owner.finish()


def test_an_owner_of_another_machine_is_taken_over_from_when_its_time_is_over(history: Store) -> None:
    _, etag = collection.read(history.backend)
    now = history.clock_ns()
    far = collection.Collection(phase="mark", owner="elsewhere:1:ab", expires_ns=now + TTL_NS)
    collection.swap(history.backend, etag, far)
    with pytest.raises(ConflictError, match="process 1 on elsewhere"):
        collect(history)
    history.clock_ns = lambda: now + TTL_NS
    assert collect(history).generation == 1


def test_who_was_taken_over_from_stops(history: Store) -> None:
    first = take(history.backend, clock_ns=history.clock_ns, alone_here=True)
    second = take(history.backend, clock_ns=history.clock_ns, alone_here=True)
    with Scratch(history.path / "tmp") as scratch, pytest.raises(ConflictError):
        Collector(history, Options(), scratch=scratch, pause=lambda _: None).run(first)
    second.finish()
    assert_whole(history)


@pytest.mark.parametrize("type", [RecordType.PAGE, RecordType.MANIFEST])
def test_damage_in_the_way_stops_it_before_anything_goes(store: Store, type: int) -> None:
    repo, rng = store.create_repo("data"), random.Random(5)
    for _ in range(8):
        with repo.commit("master") as commit:
            commit.put_file("/big", rng.randbytes(1_500_000))
            commit.put_file("/x", rng.randbytes(100))
    pack = damage(store, type)
    names = [entry.name for entry in store.backend.entries("packs/")]
    told = set[str]()
    for work in (collect, collect, foresee):  # the index has forgotten the damaged copy by the second time
        with pfs.open(store.path) as again, pytest.raises(CorruptionError, match=pack) as error:
            work(again)
        told.add(str(error.value))
    assert len(told) == 1
    assert [entry.name for entry in store.backend.entries("packs/")] == names
    assert collection.read(store.backend)[0].phase == "idle"


def damage(store: Store, type: int) -> str:
    """Flip a bit in the first live record of a type; return the pack."""
    for entry in store.backend.entries("packs/"):
        entries = read_footer(store.backend, entry.name).entries
        of_type = entries[entries["type"] == type]
        if len(of_type):
            flip(store.path / "objects" / entry.name, int(of_type["off"][0]) + 60)
            return entry.name
    raise AssertionError("there is none")


def flip(file: Path, at: int) -> None:
    data = bytearray(file.read_bytes())
    data[at] ^= 1
    file.chmod(0o644)
    file.write_bytes(data)


def test_packs_that_cannot_be_read_are_left_alone_and_named(history: Store) -> None:
    big = max(history.backend.entries("packs/"), key=lambda entry: entry.size)
    chunk = damage(history, RecordType.CHUNK)
    flip(history.path / "objects" / big.name, -20)
    report = collect(history)
    assert {big.name} <= set(report.damaged) <= {big.name, chunk}  # a dead chunk is not looked at
    assert report.repacked
    stored = sum(entry.size for entry in history.backend.entries("packs/"))
    assert report.bytes_after == stored  # not always less: of the damaged pack some may have been copied before
    assert (history.path / "objects" / big.name).exists()
    assert chunk not in report.damaged or (history.path / "objects" / chunk).exists()


def test_a_lost_page_is_told_of(history: Store) -> None:
    for entry in history.backend.entries("packs/m/"):
        (history.path / "objects" / entry.name).unlink()
    with pfs.open(history.path) as again, pytest.raises(MissingObjectError):
        collect(again)


# faults


def survives(path: Path, fault: FaultyBackend, before: dict[str, object]) -> bool:
    """Collect over a backend that fails; then see that nothing is lost, and that the next collection ends it."""
    failed = False
    try:
        with Store(path, backend=fault) as store:
            collect(store)
    except StorageError:
        failed = True
    with pfs.open(path) as store:
        assert visible(store) == before
        put(store.repo("other"), "after", random.Random(1), files=1)
        now = visible(store)
        report = collect(store)
        assert visible(store) == now
        assert collection.read(store.backend)[0].phase == "idle"
        assert report.bytes_after <= 1.3 * measure(store).live_bytes
        assert_whole(store)
        assert collect(store).did_nothing
        condemned = [entry.name for entry in store.backend.entries("gc/condemned/")]
        assert sorted(condemned) == sorted(collection.read(store.backend)[0].lists.values())
    return failed


@pytest.fixture(scope="module")
def dead_history(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, object]]:
    """A small store with something of everything to do for a collection."""
    path = tmp_path_factory.mktemp("dead")
    with pfs.init(path) as store:
        repo, rng = store.create_repo("data"), random.Random(3)
        store.create_repo("other")
        for _ in range(9):
            put(repo, "master", rng, files=1, size=3000)
        repo.squash_commit("master~2")
        repo.create_tag("v1", "master~1")
        put(store.create_repo("old"), "master", rng, files=1, size=3000)
        store.delete_repo("old")
        before = visible(store)
    return path, before


def copy(path: Path, to: Path) -> Path:
    subprocess.run(["cp", "-a", str(path), str(to)], check=True)
    return to / ".pfs"


def backend_of(path: Path) -> LocalBackend:
    return LocalBackend(path / "objects")


def fail_everywhere(tmp_path: Path, dead_history: tuple[Path, dict[str, object]], ways: list[tuple[int, How]]) -> None:
    path, before = dead_history
    for call, how in ways:
        home = copy(path, tmp_path / f"{call}-{how.value}")
        fault = FaultyBackend(backend_of(home), fail_at=call, how=how, dead_after=call % 2 == 0)
        survives(home, fault, before)
        assert fault.fired


def writes_of_a_collection(tmp_path: Path, dead_history: tuple[Path, dict[str, object]]) -> range:
    path, before = dead_history
    count = FaultyBackend(backend_of(copy(path, tmp_path / "count")))
    assert not survives(tmp_path / "count/.pfs", count, before)
    assert count.calls > 20
    return range(1, count.calls + 1)


def test_faults_leave_what_the_next_collection_ends(
    tmp_path: Path, dead_history: tuple[Path, dict[str, object]]
) -> None:
    calls = writes_of_a_collection(tmp_path, dead_history)
    fail_everywhere(tmp_path, dead_history, [(call, list(How)[call // 4 % 4]) for call in calls[::4]])


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_every_fault_leaves_what_the_next_collection_ends(
    tmp_path: Path, dead_history: tuple[Path, dict[str, object]]
) -> None:
    calls = writes_of_a_collection(tmp_path, dead_history)
    fail_everywhere(tmp_path, dead_history, [(call, how) for call in calls for how in How])


def test_every_read_may_fail(tmp_path: Path, dead_history: tuple[Path, dict[str, object]]) -> None:
    path, before = dead_history
    count = FaultyBackend(backend_of(copy(path, tmp_path / "count")), counted=READS)
    survives(tmp_path / "count/.pfs", count, before)
    rng = random.Random(6)
    for call in sorted(rng.sample(range(1, count.calls), 8)):
        home = copy(path, tmp_path / str(call))
        survives(home, FaultyBackend(backend_of(home), fail_at=call, counted=READS, dead_after=True), before)


COLLECTOR = """
import sys, pfs
from pfs.gc.collect import collect
from pfs.testing.faults import READS, WRITES, FaultyBackend
from pfs.backends.local import LocalBackend
from pfs.store import Store
import os, signal
class Dying(FaultyBackend):
    def _next(self, method, name):
        if self.calls + 1 == int(sys.argv[2]):
            os.kill(os.getpid(), signal.SIGKILL)
        return super()._next(method, name)
path = sys.argv[1]
with Store(pfs.locate(path), backend=Dying(LocalBackend(pfs.locate(path) / "objects"))) as store:
    collect(store)
"""


def kill_collectors(tmp_path: Path, dead_history: tuple[Path, dict[str, object]], calls: list[int]) -> None:
    path, before = dead_history
    for call in calls:
        home = copy(path, tmp_path / str(call))
        ended = subprocess.run([sys.executable, "-c", COLLECTOR, str(home), str(call)], check=False)
        assert ended.returncode == -signal.SIGKILL
        survives(home, FaultyBackend(backend_of(home)), before)


def test_a_killed_collector_is_ended_by_the_next(tmp_path: Path, dead_history: tuple[Path, dict[str, object]]) -> None:
    kill_collectors(tmp_path, dead_history, [2, 8, 14, 19])


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_collectors_killed_everywhere(tmp_path: Path, dead_history: tuple[Path, dict[str, object]]) -> None:
    path, before = dead_history
    count = FaultyBackend(backend_of(copy(path, tmp_path / "count")))
    survives(tmp_path / "count/.pfs", count, before)
    kill_collectors(tmp_path, dead_history, list(range(1, 20)))


def test_a_full_disk_lets_dead_packs_go(history: Store, clock: Clock) -> None:
    clock.days = 31
    put(history.create_repo("tmp"), "master", random.Random(2), files=5)
    backend = Full(history.backend)
    history.backend = backend  # type: ignore[assignment]
    report = collect(history)
    assert report.full
    assert report.deleted
    assert not report.repacked
    history.backend = backend._backend  # type: ignore[assignment]
    assert collect(history).repacked
    assert_whole(history)


class Full(FaultyBackend):
    """No room for packs; lists and refs find some."""

    def run(self, method: str, name: str, *, whole: Callable[[], object], half: object) -> object:  # type: ignore[override]
        if method == "write" and name.startswith("packs/"):
            from pfs.errors import StorageFullError

            raise StorageFullError(f"write {name}", "full")
        return whole()


# histories

STEPS = [
    "put",
    "put",
    "put",
    "branch",
    "delete",
    "undelete",
    "tag",
    "squash",
    "drop",
    "open",
    "finish",
    "copy",
    "collect",
]


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(steps=st.lists(st.tuples(st.sampled_from(STEPS), st.integers(0, 1 << 16)), min_size=5, max_size=40))
def test_every_history_survives(tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, int]]) -> None:
    path = tmp_path_factory.mktemp("history")
    with pfs.init(path) as store:
        clock = Clock()
        clock.over(store)
        repo = store.create_repo("data")
        for name, seed in steps:
            step(store, repo, name, random.Random(seed), clock)
        before = visible(store)
        clock.days += 31
        gone = {f"data@{entry.branch.head}" for entry in store.refs.read("data").body.trash.values()}
        collect(store)
        after = visible(store)
        lost = before.keys() - after.keys()
        assert {key: after[key] for key in after} == {key: before[key] for key in after}
        assert all(not is_reachable(store, key) for key in lost), (lost, gone)
        assert stored_bytes(store) <= 1.3 * measure(store).live_bytes + 1000
        assert_whole(store)


def is_reachable(store: Store, key: str) -> bool:
    """Say whether heads, tags or open commits lead to ``repo@commit``."""
    from pfs.history.reachable import live_commits

    repo, _, commit = key.partition("@")
    return commit in {found.record.id for found in live_commits(store.history, store.refs.read(repo))}


def step(store: Store, repo: Repo, name: str, rng: random.Random, clock: Clock) -> None:
    """Do one thing to a repo, as far as its state allows it."""
    names = [branch.name for branch in repo.branches()]
    branch = rng.choice(names or ["master"])
    try:
        match name:
            case "put":
                put(repo, rng.choice(["master", "dev", branch]), rng, files=2, size=20_000)
            case "branch":
                repo.create_branch(f"b{rng.randrange(4)}", head=f"{branch}~{rng.randrange(3)}")
            case "delete":
                repo.delete_branch(branch)
            case "undelete":
                repo.undelete(rng.choice(["master", "dev", "b1", "b2"]))
            case "tag":
                repo.create_tag(f"t{rng.randrange(5)}", branch)
            case "squash":
                repo.squash_commit(f"{branch}~{rng.randrange(1, 3)}")
            case "drop":
                repo.drop_commit(branch)
            case "open":
                repo.start_commit(branch)
                put(repo, branch, rng, files=1)
            case "finish":
                repo.finish_commit(branch)
            case "copy":
                with repo.commit("dev") as commit:
                    commit.copy(repo[branch], "/", f"/copy{rng.randrange(3)}")
            case "collect":
                clock.days += rng.choice([0, 0, 20])
                before = visible(store) if rng.random() < 0.5 else None
                report = collect(store)
                if before is not None and not report.expired and not report.forgotten:
                    assert visible(store) == before
    except (ConflictError, pfs.errors.NotFoundError, pfs.errors.InvalidInputError):
        return


# beside writers


def test_writers_and_collections_beside_each_other(store: Store) -> None:
    """A small twin of what the long lane does with processes for minutes."""
    repo, stop = store.create_repo("data"), threading.Event()
    done: dict[str, dict[str, bytes]] = {}

    def write(number: int) -> None:
        rng, branch, files = random.Random(number), f"w{number}", dict[str, bytes]()
        for _ in range(25):
            with repo.commit(branch) as commit:
                path, data = f"/{rng.randrange(5)}", rng.randbytes(rng.randrange(1, 60_000))
                commit.put_file(path, data)
                files[path] = data
            done[branch] = dict(files)

    def collect_again() -> int:
        rounds = 0
        while not stop.is_set():
            with pfs.open(store.path) as other:
                collect(other)
            rounds += 1
        return rounds

    with ThreadPoolExecutor(4) as pool:
        collecting = pool.submit(collect_again)
        writers = [pool.submit(write, number) for number in range(2)]
        try:
            for writer in writers:
                writer.result()
        finally:
            stop.set()
        assert collecting.result() >= 2
    for branch, files in done.items():
        assert contents(repo, branch) == files
    assert_whole(store)
    collect(store)
    assert stored_bytes(store) <= 1.3 * measure(store).live_bytes


@pytest.fixture
def clock(history: Store) -> Clock:
    made = Clock()
    made.over(history)
    return made


def test_a_condemned_pack_that_was_damaged_since_stays(history: Store) -> None:
    before = visible(history)

    def pause(_: float) -> None:
        raise StorageError("wait", "the process ends here")

    with pytest.raises(StorageError):
        collect(history, Options(grace_ns=1), pause=pause)
    assert collection.read(history.backend)[0].phase == "published"
    biggest = max(history.backend.entries("packs/m/"), key=lambda entry: entry.size)
    flip(history.path / "objects" / biggest.name, -20)
    report = collect(history)
    assert report.resumed
    assert (history.path / "objects" / biggest.name).exists()
    assert visible(history) == before


def test_a_damaged_state_is_a_reason_to_collect(tmp_path: Path) -> None:
    with pfs.init(tmp_path) as store:
        make_history(store)
        collect(store)
        found = store.backend.read(collection.GC_STATE)
        assert found is not None
        store.backend.swap(collection.GC_STATE, found[1], b"{")
        assert when_due(store).reason == "the state of the last one is damaged"
        collect(store)
        assert when_due(store).reason is None
