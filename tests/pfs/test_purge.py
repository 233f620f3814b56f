"""Purge: a path loses its content in every commit of a repo, and nothing else changes."""

import random
import shutil
import threading
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path

import pytest

import pfs
from pfs.backends.local import LocalBackend
from pfs.errors import (
    BranchMovedError,
    CorruptionError,
    InvalidInputError,
    PathConflictError,
    PathNotFoundError,
    PfsError,
    PurgedError,
    RepoNotFoundError,
)
from pfs.gc.collect import collect, foresee
from pfs.gc.options import Options
from pfs.ids import CommitId, Etag, new_commit_id
from pfs.lifecycle import rewriting
from pfs.lifecycle.purge import purge
from pfs.lifecycle.retention import set_retention
from pfs.lifecycle.rewrite import Mirror
from pfs.lifecycle.traces import Traces
from pfs.model import NewCommit
from pfs.packs.pack import read_footer
from pfs.refs.retention import PathRule, Retention
from pfs.refs.shreds import LIMIT
from pfs.repo import Repo
from pfs.store import Store
from pfs.testing.faults import FaultyBackend, How
from pfs.trees.page import Kind
from pfs.upkeep.check import fsck
from pfs.upkeep.recover import recover

SECRET = random.Random(1).randbytes(300_000)
OTHER = random.Random(2).randbytes(70_000)


def put(repo: Repo, files: dict[str, bytes], branch: str = "master", **options: object) -> CommitId:
    with repo.commit(branch, **options) as commit:  # type: ignore[arg-type]  # the test's own options
        for path, data in files.items():
            commit.put_file(path, data)
    return commit.id


def contents(repo: Repo, ref: str) -> dict[str, bytes | None]:
    view = repo[ref]
    files = (info for info in view.list(recursive=True) if info.type != "directory")
    return {info.path: None if info.type == "removed" else view.read(info.path) for info in files}


def stored(store: Store) -> bytes:
    return b"".join(file.read_bytes() for file in sorted((store.path / "objects").rglob("*")) if file.is_file())


def everywhere(repo: Repo) -> dict[str, CommitId]:
    """Put the secret into every kind of place that a repo has."""
    made = {"first": put(repo, {"/d/secret": SECRET, "/d/other": OTHER, "/keep": b"1"})}
    repo.create_tag("v1", "master")
    made["second"] = put(repo, {"/keep": b"2"})
    made["branch"] = put(repo, {"/branch": b"b"}, "dev", parent="master")
    repo.create_branch("gone", head="dev")
    made["trash"] = put(repo, {"/trash": b"t"}, "gone")
    repo.delete_branch("gone")
    repo.start_commit("dev")
    put(repo, {"/failed": b"f"}, "dev")
    made["failed"] = repo.finish_commit("dev", error="broken").id
    made["without"] = put(repo, {"/d/secret": b"public"}, "clean", parent="master")
    made["head"] = put(repo, {"/keep": b"3"})
    made["open"] = repo.start_commit("master").id
    put(repo, {"/open": b"o"})
    return made


def test_a_file_is_gone_from_every_place(store: Store, repo: Repo) -> None:
    made = everywhere(repo)
    before = {name: contents(repo, commit) for name, commit in made.items()}
    infos = {name: repo.inspect(commit) for name, commit in made.items()}
    rows = {name: repo[commit].stat("/d/secret") for name, commit in made.items()}
    report = purge(store, "data", "/d/secret")
    assert (report.commits, report.open_commits, report.contents) == (7, 1, 2)
    assert report.size_bytes == len(SECRET) + len(b"public")
    assert report.copies == ()
    for name, commit in made.items():
        assert contents(repo, commit) == before[name] | {"/d/secret": None}, name
        info, row = repo.inspect(commit), repo[commit].stat("/d/secret")
        assert (info.id, info.parents, info.message, info.size_bytes) == (
            commit, infos[name].parents, infos[name].message, infos[name].size_bytes,
        )  # fmt: skip
        assert (row.type, row.size_bytes, row.hash) == ("removed", rows[name].size_bytes, rows[name].hash)
        assert (row.commit, row.changed_ns) == (rows[name].commit, rows[name].changed_ns)
    with pytest.raises(PurgedError, match="/d/secret was purged"):
        repo["v1"].read("/d/secret")
    assert list(fsck(store, deep=True)) == []
    repo.undelete("gone")
    assert contents(repo, "gone") == before["trash"] | {"/d/secret": None}
    repo.finish_commit("master")
    assert contents(repo, "master") == before["open"] | {"/d/secret": None}


def test_the_bytes_are_gone_after_collection(store: Store, repo: Repo) -> None:
    made = everywhere(repo)
    assert SECRET[1000:1100] in stored(store)
    purge(store, "data", "/d/secret")
    collect(store)
    left = stored(store)
    assert all(SECRET[at : at + 64] not in left for at in range(0, len(SECRET) - 64, 5_000))
    assert OTHER[1000:1064] in left
    assert list(fsck(store, deep=True)) == []
    assert repo[made["head"]].read("/d/other") == OTHER


@pytest.mark.parametrize(
    ("secret", "rest"),
    [
        (SECRET[:100], [OTHER]),  # in a block with others, or a meta pack
        (SECRET[:100], [random.Random(number).randbytes(20_000) for number in range(3, 60)]),
        (SECRET, [random.Random(3).randbytes(9_000_000)]),
        (random.Random(4).randbytes(4_000_000), [random.Random(3).randbytes(40_000_000)]),  # of several chunks
    ],
    ids=["alone", "block", "one chunk", "chunks"],
)
def test_the_bytes_go_with_the_next_collection_however_little_they_are(
    store: Store, repo: Repo, secret: bytes, rest: list[bytes]
) -> None:
    put(repo, {"/secret": secret} | {f"/rest/{number}": data for number, data in enumerate(rest)})
    collect(store)
    assert is_stored(store, secret)
    purge(store, "data", "/secret")
    [_] = store.refs.read("data").body.shreds
    assert foresee(store, Options(min_age_ns=10**18)).repacked >= 1
    report = collect(store, Options(min_age_ns=10**18))
    assert report.repacked >= 1
    assert not is_stored(store, secret)
    assert contents(repo, "master")["/rest/0"] == rest[0]
    assert store.refs.read("data").body.shreds == ()
    assert list(store.backend.entries("shred/")) == []
    assert collect(store).did_nothing
    assert list(fsck(store, deep=True)) == []


def is_stored(store: Store, data: bytes) -> bool:
    """Say whether a chunk of these bytes, as it is or compressed alone, is in a pack."""
    found = False
    for entry in store.backend.entries("packs/"):
        pack = read_footer(store.backend, entry.name)
        for offset in sorted(set(pack.entries["off"].tolist())):
            payload = store.objects.record_at(entry.name, offset).payload
            found |= any(data[at : at + 64] in payload for at in range(0, len(data), 5_000))
    return found


def test_what_ages_by_its_path_goes_with_the_same_collection(store: Store, repo: Repo) -> None:
    put(repo, {"/logs/a": SECRET[:100], "/rest": SECRET[1000:]})
    put(repo, {"/logs/a": b"now"})
    set_retention(store, "data", Retention(paths=(PathRule(glob="/logs/*", seconds=0),)))
    collect(store)
    assert not is_stored(store, SECRET[:100])
    assert is_stored(store, SECRET[1000:])
    assert store.refs.read("data").body.shreds == ()


def test_what_is_still_elsewhere_stays_and_ends_the_mark(store: Store, repo: Repo) -> None:
    put(repo, {"/a": SECRET, "/b": SECRET, "/rest": random.Random(3).randbytes(9_000_000)})
    purge(store, "data", "/a")
    collect(store)
    assert repo["master"].read("/b") == SECRET
    assert store.refs.read("data").body.shreds == ()


def test_many_purges_leave_few_marks_that_say_all(store: Store, repo: Repo) -> None:
    secrets = {f"/{number}": random.Random(100 + number).randbytes(100) for number in range(40)}
    put(repo, secrets | {"/rest": SECRET})
    for path in secrets:
        purge(store, "data", path)
    assert len(store.refs.read("data").body.shreds) <= LIMIT
    collect(store)
    assert not any(is_stored(store, secret) for secret in secrets.values())
    assert list(store.backend.entries("shred/")) == []


def test_marks_stay_while_a_pack_with_purged_bytes_could_not_be_written_again(store: Store, repo: Repo) -> None:
    put(repo, {"/a": SECRET[:100], "/rest": SECRET[1000:]})
    put(repo, {"/b": OTHER}, "other")
    repo.delete_branch("other")
    purge(store, "data", "/a")
    frames = [entry.name for entry in store.backend.entries("packs/") if entry.size > 290_000]
    for name in frames:
        file = store.path / "objects" / name
        whole = file.read_bytes()
        file.chmod(0o644)
        file.write_bytes(whole[:-20] + b"?" * 20)
        assert collect(store).damaged == (name,)
        assert len(store.refs.read("data").body.shreds) == 1
        file.write_bytes(whole)
    assert frames
    collect(store)
    assert not is_stored(store, SECRET[:100])
    assert store.refs.read("data").body.shreds == ()


def test_a_damaged_manifest_is_no_hindrance_to_a_purge(store: Store) -> None:
    traces = Traces()
    traces.note(Kind.CHUNKED, b"m" * 32)
    traces.note(Kind.FILE, b"f" * 32)
    words = traces.words(store.objects)
    assert set(words.tobytes()) == {ord("m"), ord("f")}
    assert len(words) == 2


def test_a_collection_that_is_cut_off_after_a_purge_is_ended_by_the_next(tmp_path: Path) -> None:
    pfs.init(tmp_path / "whole").close()
    with pfs.open(tmp_path / "whole") as store:
        put(store.create_repo("data"), {"/secret": SECRET[:100], "/rest": SECRET[1000:]})
        purge(store, "data", "/secret")
    number = 0
    while True:
        number += 1
        place = tmp_path / str(number)
        shutil.copytree(tmp_path / "whole", place)
        backend = FaultyBackend(LocalBackend(place / ".pfs/objects"), fail_at=number, how=How.AFTER, dead_after=True)
        with suppress(PfsError), closing(Store(place / ".pfs", backend=backend)) as faulty:
            collect(faulty)
        with pfs.open(place) as store:
            collect(store)
            assert not is_stored(store, SECRET[:100]), number
            assert store.repo("data")["master"].read("/rest") == SECRET[1000:]
            assert store.refs.read("data").body.shreds == ()
            assert list(fsck(store, deep=True)) == []
        if not backend.fired:
            assert number > 8
            return


def test_a_purge_beside_collections_writes_again_what_they_condemn(store: Store, repo: Repo) -> None:
    """Collections between the packs of a purge and its swap: they see packs that nothing leads to yet."""
    everywhere(repo)
    backend = store.backend
    swap, rounds = backend.swap, iter(range(3))

    def collect_first(name: str, old: Etag | None, new: bytes) -> Etag:
        if name == "refs/data.json" and b'"rewrites":1' in new and next(rounds, None) is not None:
            with pfs.open(store.path) as other:
                collect(other)
        return swap(name, old, new)

    backend.swap = collect_first  # type: ignore[method-assign]  # a writer that is slow at the worst moment
    purge(store, "data", "/d/secret")
    del backend.swap  # type: ignore[method-assign]
    assert next(rounds, None) is None
    assert list(fsck(store, deep=True)) == []
    collect(store)
    assert list(fsck(store, deep=True)) == []
    assert SECRET[1000:1064] not in stored(store)


@pytest.mark.parametrize("how", ["catch up", "rebuild", "recover"])
def test_the_new_records_count_in_a_new_index(store: Store, repo: Repo, how: str) -> None:
    made = everywhere(repo)
    purge(store, "data", "/d/secret")
    seen = {name: contents(repo, commit) for name, commit in made.items()}
    if how == "catch up":
        store.index.forget_repo("data")
    store.close()
    if how == "rebuild":
        shutil.rmtree(store.path / "index.lmdb")
    elif how == "recover":
        assert recover(store.path).damaged == ()
    with Store(store.path) as fresh:
        for name, commit in made.items():
            assert contents(fresh.repo("data"), commit) == seen[name]
        assert list(fsck(fresh)) == []


def test_another_process_that_has_the_old_index_rows_sees_the_new_records(store: Store, repo: Repo) -> None:
    made = everywhere(repo)
    rows = dict(store.index.commits("data"))
    marks = store.index.get_meta("rewrites/data")
    assert marks is not None
    purge(store, "data", "/d/secret")
    # as if the process had died between its swap and its index
    store.index.add([], [("data", commit, row) for commit, row in rows.items()])
    store.index.set_meta("rewrites/data", marks)
    with Store(store.path) as again:
        for commit in made.values():
            assert again.repo("data")[commit].stat("/d/secret").type == "removed"


def test_a_directory_is_purged_with_all_below(store: Store, repo: Repo) -> None:
    many = {f"/many/{number:03}": b"%d" % number * 50 for number in range(400)}
    first = put(repo, {**many, "/d/e/f": b"deep", "/d/g": SECRET, "/keep": b"k"})
    head = put(repo, {"/d/e/f": b"deeper", "/many/007": b"new"})
    with pytest.raises(InvalidInputError, match="-r"):
        purge(store, "data", "/d")
    assert None not in contents(repo, head).values()
    assert purge(store, "data", "/d", recursive=True).contents == 3
    report = purge(store, "data", "/many/", recursive=True)
    assert report.commits == 2
    for commit in (first, head):
        assert {path for path, data in contents(repo, commit).items() if data is not None} == {"/keep"}
        assert repo[commit].stat("/many").type == "directory"
        assert repo[commit].stat("/many").file_count == 400
    assert purge(store, "data", "/", recursive=True).contents == 1
    assert set(contents(repo, head).values()) == {None}
    assert list(fsck(store, deep=True)) == []


def test_a_dry_run_says_the_same_and_changes_nothing(store: Store, repo: Repo) -> None:
    everywhere(repo)
    put(store.create_repo("copy"), {"/mine": SECRET})
    before = store.refs.read("data"), stored(store)
    said = purge(store, "data", "/d/secret", dry_run=True)
    assert (store.refs.read("data"), stored(store)) == before
    assert purge(store, "data", "/d/secret") == said
    assert len(said.copies) == 1
    assert said.copies[0].endswith(":/mine")


def test_copies_are_named_and_not_touched(store: Store, repo: Repo) -> None:
    head = put(repo, {"/secret": SECRET, "/again": SECRET, "/d/third": SECRET})
    other = put(store.create_repo("other"), {f"/{n}": SECRET for n in range(30)})
    report = purge(store, "data", "/secret")
    assert {f"data@{head}:/again", f"data@{head}:/d/third"} <= set(report.copies) or report.more_copies
    assert report.more_copies
    assert repo["master"].read("/again") == SECRET
    assert store.repo("other")[other].read("/3") == SECRET


def test_what_is_nowhere_is_not_found_and_twice_is_nothing(store: Store, repo: Repo) -> None:
    put(repo, {"/secret": b"s"})
    with pytest.raises(PathNotFoundError):
        purge(store, "data", "/nothing")
    with pytest.raises(RepoNotFoundError):
        purge(store, "none", "/secret")
    assert purge(store, "data", "/secret").commits == 1
    state = store.refs.read("data")
    assert purge(store, "data", "/secret").commits == 0
    assert store.refs.read("data") == state


def test_other_readers_find_the_row_as_removed(store: Store, repo: Repo) -> None:
    put(repo, {"/secret": b"s", "/b": b"b"})
    purge(store, "data", "/secret")
    view = repo["master"]
    assert [(info.path, info.type) for info in view.list()] == [("/b", "file"), ("/secret", "removed")]
    view.restore("/", store.path.parent / "out")
    assert [file.name for file in (store.path.parent / "out").iterdir()] == ["b"]
    head = put(repo, {"/c": b"c"})
    assert contents(repo, head) == {"/b": b"b", "/c": b"c", "/secret": None}
    with repo.commit("master") as commit:
        commit.delete_file("/secret")
    assert "/secret" not in contents(repo, "master")
    put(repo, {"/secret": b"s"})
    assert repo["master"].read("/secret") == b"s"


def test_edges_stay_where_records_are_written_anew(store: Store, repo: Repo) -> None:
    made = [put(repo, {"/secret": b"%d" % number, "/n": b"%d" % number}) for number in range(6)]
    repo.squash_commit(made[2])
    repo.squash_commit(made[3])
    purge(store, "data", "/secret")
    assert [info.id for info in repo.commits("master")] == [made[5], made[4], made[1], made[0]]
    repo.squash_commit(made[4])
    assert [info.id for info in repo.commits("master")] == [made[5], made[1], made[0]]
    store.index.forget_repo("data")
    assert [contents(repo, f"master~{up}")["/secret"] for up in range(3)] == [None] * 3
    assert list(fsck(store)) == []


# beside writers


def test_a_commit_under_way_is_put_on_the_purged_head(store: Store, repo: Repo) -> None:
    put(repo, {"/secret": SECRET, "/a": b"a"})
    with repo.commit("master") as commit:
        commit.put_file("/b", b"b")
        purge(store, "data", "/secret")
    assert contents(repo, "master") == {"/a": b"a", "/b": b"b", "/secret": None}
    with repo.commit("side", parent="master^0") as commit:
        commit.put_file("/c", b"c")
        purge(store, "data", "/a")
    collect(store)
    assert contents(repo, "side") == {"/a": None, "/b": b"b", "/c": b"c", "/secret": None}
    assert list(fsck(store, deep=True)) == []


def test_a_commit_under_way_that_changed_the_path_conflicts(store: Store, repo: Repo) -> None:
    put(repo, {"/secret": SECRET})
    commit = repo.commit("master")
    commit.put_file("/secret", b"more", append=True)
    purge(store, "data", "/secret")
    with pytest.raises(PathConflictError):
        commit.finish()


def test_an_open_commit_under_way_goes_on(store: Store, repo: Repo) -> None:
    put(repo, {"/secret": SECRET})
    repo.start_commit("master")
    with repo.commit("master") as commit:
        commit.put_file("/b", b"b")
        purge(store, "data", "/secret")
    repo.finish_commit("master")
    assert contents(repo, "master") == {"/b": b"b", "/secret": None}


def test_a_tree_made_before_the_purge_is_not_published_after_it(store: Store, repo: Repo) -> None:
    head = put(repo, {"/secret": SECRET})
    info, rewrites = repo.inspect(head), store.refs.read("data").body.rewrites
    purge(store, "data", "/secret")
    new = NewCommit(
        branch="master", root=info.root, id=new_commit_id(), started_ns=1, parents=(head,), rewrites=rewrites
    )
    with pytest.raises(BranchMovedError):
        repo.publish([new], store.session())
    assert contents(repo, "master") == {"/secret": None}


def test_writers_lose_nothing_beside_purges(store: Store, repo: Repo) -> None:
    put(repo, {f"/secret/{number}": SECRET[: 1000 + number] for number in range(8)})
    made: list[CommitId] = []

    def write(name: str) -> None:
        made.extend(put(repo, {f"/{name}/{number}": name.encode()}) for number in range(12))

    threads = [threading.Thread(target=write, args=(name,)) for name in ("a", "b")]
    for thread in threads:
        thread.start()
    for number in range(8):
        purge(store, "data", f"/secret/{number}")
    for thread in threads:
        thread.join()
    found = contents(repo, "master")
    assert {path for path, data in found.items() if data is None} == {f"/secret/{number}" for number in range(8)}
    assert len(found) == 8 + 24
    for commit in made:
        assert set(contents(repo, commit)) >= {f"/secret/{number}" for number in range(8)}
        assert not any(data for path, data in contents(repo, commit).items() if path.startswith("/secret"))
    assert list(fsck(store, deep=True)) == []


def test_a_late_index_row_of_an_old_record_is_refused(
    store: Store, repo: Repo, monkeypatch: pytest.MonkeyPatch
) -> None:
    learn = store.history.learn
    held: list[Callable[[], bool]] = []

    def later(*args: object, **kwargs: object) -> bool:
        held.append(lambda: learn(*args, **kwargs))  # type: ignore[arg-type]  # passed on as they came
        return True

    monkeypatch.setattr(store.history, "learn", later)
    head = put(repo, {"/secret": SECRET})
    monkeypatch.setattr(store.history, "learn", learn)
    purge(store, "data", "/secret")
    assert not held[-1]()  # the writer gets around to its index after the purge
    assert contents(repo, head) == {"/secret": None}


# faults


@pytest.mark.parametrize(("how", "dead"), [(How.BEFORE, False), (How.AFTER, True), (How.FULL, False)])
def test_all_or_nothing_whatever_call_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: How, *, dead: bool
) -> None:
    monkeypatch.setattr(rewriting, "RECORDS", 3)
    pfs.init(tmp_path / "whole").close()
    with pfs.open(tmp_path / "whole") as store:
        made = everywhere(store.create_repo("data"))
        old = {name: contents(store.repo("data"), commit) for name, commit in made.items()}
    new = {name: files | {"/d/secret": None} for name, files in old.items()}
    number = 0
    while True:
        number += 1
        place = tmp_path / str(number)
        shutil.copytree(tmp_path / "whole", place)
        backend = FaultyBackend(LocalBackend(place / ".pfs/objects"), fail_at=number, how=how, dead_after=dead)
        faulty, acknowledged = Store(place / ".pfs", backend=backend), True
        try:
            purge(faulty, "data", "/d/secret")
        except PfsError:
            acknowledged = False
        finally:
            faulty.close()
        with pfs.open(place) as store:
            repo = store.repo("data")
            found = {name: contents(repo, commit) for name, commit in made.items()}
            assert found in (old, new), number
            assert found == new or not acknowledged
            purge(store, "data", "/d/secret")
            assert {name: contents(repo, commit) for name, commit in made.items()} == new
            assert list(fsck(store)) == []
        if not backend.fired:
            assert number > 4
            return


def test_a_damaged_repo_is_refused(store: Store, repo: Repo) -> None:
    put(repo, {f"/d/{number}": b"%d" % number for number in range(100)})
    head = put(repo, {"/d/1": b"one"})
    store.close()
    packs = sorted((store.path / "objects" / "packs").rglob("*.pack"), key=lambda file: file.name)
    data = bytearray(packs[0].read_bytes())
    data[200:2000] = bytes(1800)
    packs[0].chmod(0o644)
    packs[0].write_bytes(data)
    with Store(store.path) as again:
        state = again.refs.read("data")
        with pytest.raises(CorruptionError):
            purge(again, "data", "/d/2")
        assert again.refs.read("data") == state
        assert again.repo("data").inspect(head).id == head


def test_what_jobs_keep_of_outputs_is_purged_with_them(store: Store, repo: Repo) -> None:
    """A hidden branch has a directory for each datum, with the files that it put into the output."""
    put(repo, {"/out/a": SECRET, "/a": SECRET})
    session = store.session()
    root = repo.inspect("master").root
    layout = {f"/kept/{'0' * 60}{number:04}/secret": b"%d" % number for number in range(50)}
    layout |= {f"/kept/{'f' * 64}/d/{number}": SECRET[: 100 + number] for number in range(50)}
    layout |= {f"/kept/{'f' * 64}/secret": SECRET, "/secret": b"of its own"}
    inner = store.create_repo("layout")
    put(inner, layout)
    root = inner.inspect("master").root
    hidden = NewCommit(branch=".meta", root=root, id=new_commit_id(), started_ns=1)
    repo.publish([hidden], session)
    put(repo, {"/secret": b"user's"})
    report = purge(store, "data", "/secret", mirrors=(Mirror(".meta", b"kept"),))
    assert report.commits == 2
    found = contents(repo, hidden.id)
    assert {path for path, data in found.items() if data is None} == {
        path for path in layout if path[-7:] == "/secret"
    } - {"/secret"}
    assert list(fsck(store)) == []
    assert purge(store, "data", "/d", recursive=True, mirrors=(Mirror(".meta", b"kept"),)).contents == 50
