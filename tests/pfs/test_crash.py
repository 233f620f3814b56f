"""Whatever fails, and whenever a process is killed: the old state or the new one, and nothing to repair."""

import io
import os
import random
import select
import shutil
import signal
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

import pfs
from pfs.backends.local import LocalBackend
from pfs.errors import PfsError, StorageError
from pfs.intake import Intake, PutHow
from pfs.repo import Repo
from pfs.store import Store
from pfs.testing.faults import READS, WRITES, FaultyBackend, How
from pfs.upkeep.check import fsck

Work = Callable[[Repo], object]
BIG = random.Random(5).randbytes(5_000_000)

WRITER = """
import sys, random
import pfs
store, seed = pfs.open(sys.argv[1]), int(sys.argv[2])
rng = random.Random(seed)
print("ready", flush=True)
number = 0
while True:
    number += 1
    repo = store.repo("data")
    with repo.commit("master") as commit:
        for file in range(rng.randrange(1, 4)):
            commit.put_file(f"/{seed}/{number}/{file}", rng.randbytes(rng.choice([10, 5_000, 900_000])))
        commit.put_file("/big" if rng.random() < 0.1 else f"/{seed}/small", rng.randbytes(100))
    print(commit.id, flush=True)
"""


def contents(repo: Repo, ref: str) -> dict[str, bytes]:
    view = repo[ref]
    return {info.path: view.read(info.path) for info in view.list(recursive=True) if info.type == "file"}


def state(store: Store) -> tuple[object, ...]:
    """Return everything that a user can see of repo ``data``: heads, open commits, files of both."""
    repo = store.repo("data")
    branches = repo.branches()
    shown = [(b.name, b.head is not None, b.open_commit is not None) for b in branches]
    heads = [contents(repo, b.head) for b in branches if b.head is not None]
    opened = [contents(repo, b.open_commit) for b in branches if b.open_commit is not None]
    return shown, heads, opened, len(list(repo.commits()))


def put(repo: Repo) -> None:
    with repo.commit("master") as commit:
        commit.put_file("/new", b"new")
        commit.put_file("/old", b"more", append=True)


def put_big(repo: Repo) -> None:
    with repo.commit("master") as commit:
        commit.put_file("/big", BIG)


def start_and_fill(repo: Repo) -> None:
    repo.start_commit("master")


def fill_open(repo: Repo) -> None:
    with repo.commit("open") as commit:
        commit.put_file("/in-open", b"x")


def finish_open(repo: Repo) -> None:
    repo.finish_commit("open")


def branch(repo: Repo) -> None:
    repo.create_branch("other", head="master")


def mirror(repo: Repo) -> None:
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        info = tarfile.TarInfo("from-tar")
        info.size = 100_000
        tar.addfile(info, io.BytesIO(BIG[: info.size]))
    archive.seek(0)
    with repo.commit("master") as commit:
        intake = Intake(commit, PutHow(mirror="/"))
        intake.archive("/", archive, name="x.tar")
        intake.finish()


WORKS = [put, put_big, mirror, start_and_fill, fill_open, finish_open, branch]


def prepare(path: Path) -> None:
    with pfs.init(path) as store:
        repo = store.create_repo("data")
        with repo.commit("master") as commit:
            commit.put_file("/old", b"old")
        repo.start_commit("open")
        with repo.commit("open") as commit:
            commit.put_file("/draft", b"draft")


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("prepared")
    prepare(path)
    return path


def run(path: Path, work: Work, **faults: object) -> tuple[FaultyBackend, bool]:
    """Do the work over a faulty backend; return it, and whether the work was acknowledged."""
    backend = FaultyBackend(LocalBackend(path / ".pfs/objects"), **faults)  # type: ignore[arg-type]  # the test's own
    store = Store(path / ".pfs", backend=backend)
    try:
        work(store.repo("data"))
    except PfsError:
        return backend, False
    finally:
        store.close()
    return backend, True


@pytest.mark.parametrize("work", WORKS, ids=lambda work: work.__name__)
@pytest.mark.parametrize(
    ("how", "dead"),
    [(How.BEFORE, False), (How.BEFORE, True), (How.AFTER, False), (How.AFTER, True), (How.FULL, False)],
)
def test_old_or_new_state_whatever_call_fails(tmp_path: Path, prepared: Path, work: Work, how: How, dead: bool) -> None:
    shutil.copytree(prepared, tmp_path / "whole")
    with pfs.open(tmp_path / "whole") as store:
        old = state(store)
    calls = run(tmp_path / "whole", work)[0].calls
    with pfs.open(tmp_path / "whole") as store:
        new = state(store)
    assert old != new
    assert calls >= 1
    for number in range(1, calls + 1):
        place = tmp_path / str(number)
        shutil.copytree(prepared, place)
        _, acknowledged = run(place, work, fail_at=number, how=how, dead_after=dead)
        with pfs.open(place) as store:
            found = state(store)
            assert found in (old, new), f"call {number} of {calls}"
            if acknowledged:
                assert found == new
            assert list(fsck(store, deep=True)) == []
            if found == old:
                work(store.repo("data"))  # nothing is in the way of doing it again
                assert state(store) == new


def test_a_lost_reply_to_the_swap_is_a_success(tmp_path: Path) -> None:
    prepare(tmp_path)
    backend, _ = run(tmp_path, put, counted=frozenset({"swap"}), fail_at=1, how=How.AFTER)
    assert backend.fired
    with pfs.open(tmp_path) as store:
        assert "/new" in contents(store.repo("data"), "master")
        assert len(list(store.repo("data").commits("master"))) == 2


def test_a_failed_read_changes_nothing(tmp_path: Path) -> None:
    prepare(tmp_path)
    calls = run(tmp_path, lambda repo: repo.inspect("master"), counted=READS)[0].calls
    outcomes = [_open_and_read(tmp_path, number) for number in range(1, calls + 1)]
    with pfs.open(tmp_path) as store:
        head = store.repo("data").branch("master").head
        assert set(outcomes) == {None, head}  # what is only looked at for others' sake may fail
        assert contents(store.repo("data"), "master") == {"/old": b"old"}


def _open_and_read(path: Path, number: int) -> str | None:
    """Return the head, or None where the failing read is an error."""
    backend = FaultyBackend(LocalBackend(path / ".pfs/objects"), counted=READS, fail_at=number)
    try:
        with Store(path / ".pfs", backend=backend) as store:
            return store.repo("data").inspect("master").id
    except StorageError:
        return None


def test_a_full_disk_leaves_the_store_as_it_was_and_says_so(tmp_path: Path) -> None:
    prepare(tmp_path)
    backend = FaultyBackend(LocalBackend(tmp_path / ".pfs/objects"), counted=WRITES, fail_at=1, how=How.FULL)
    with Store(tmp_path / ".pfs", backend=backend) as store:
        with pytest.raises(StorageError, match="no space left"):
            put_big(store.repo("data"))
        assert contents(store.repo("data"), "master") == {"/old": b"old"}


def kill_writers(path: Path, kills: int, *, seed: int) -> None:
    """Start a writer, kill it at a random moment, again and again; then everything acknowledged must be whole."""
    with pfs.init(path) as store:
        store.create_repo("data")
    rng, acknowledged = random.Random(seed), list[str]()
    for number in range(kills):
        acknowledged += killed_writer(path, seed=seed * 1000 + number, after_s=rng.uniform(0.0, 0.35))
        with pfs.open(path) as store:
            repo = store.repo("data")
            known = {info.id for info in repo.commits("master")} if repo.branches() else set()
            assert set(acknowledged) <= known
            with repo.commit("master") as commit:
                commit.put_file(f"/after/{number}", b"the next command works")
            acknowledged.append(commit.id)
    with pfs.open(path) as store:
        assert list(fsck(store, deep=True)) == []
        for commit_id in acknowledged:
            assert contents(store.repo("data"), commit_id)


def killed_writer(path: Path, *, seed: int, after_s: float) -> list[str]:
    """Run a writer until it is killed; return the commits that it said were finished."""
    command = [sys.executable, "-c", WRITER, str(path), str(seed)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        select.select([], [], [], after_s)
        os.kill(process.pid, signal.SIGKILL)
        return [line.strip() for line in process.stdout if line.endswith("\n")]


def test_ten_kills(tmp_path: Path) -> None:
    kill_writers(tmp_path, 10, seed=1)


@pytest.mark.long
def test_fifty_kills(tmp_path: Path) -> None:
    for seed in range(5):
        kill_writers(tmp_path / str(seed), 10, seed=100 + seed)
