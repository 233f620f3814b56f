"""What repos take up: counted by hand, shared content once, and what is gone not at all."""

import random

from hypothesis import given, settings
from hypothesis import strategies as st

import pfs
from pfs.gc.stats import stats
from pfs.ids import CommitId
from pfs.repo import Repo
from pfs.store import Store

BIG = random.Random(3).randbytes(3_000_000)
OWN = random.Random(4).randbytes(700_000)
TEXT = b"a line that packs well\n" * 10_000


def put(repo: Repo, files: dict[str, bytes]) -> CommitId:
    with repo.commit("master") as commit:
        for path, data in files.items():
            commit.put_file(path, data)
    return commit.id


def test_shared_content_counts_in_each_repo_and_once_in_all(store: Store, repo: Repo) -> None:
    other = store.create_repo("other")
    put(repo, {"/big": BIG, "/own": OWN})
    put(repo, {"/big2": BIG, "/small": b"x"})
    put(other, {"/big": BIG, "/text": TEXT})
    cheap, use = stats(store), stats(store, exact=True)
    assert cheap.stored is None
    assert [one.stored for one in cheap.repos] == [None, None]
    data, second = use.repos
    first_bytes, head_bytes = len(BIG) + len(OWN), 2 * len(BIG) + len(OWN) + 1
    assert (data.repo, data.commits, data.head_bytes) == ("data", 2, head_bytes)
    assert data.logical_bytes == first_bytes + head_bytes
    assert (second.repo, second.commits, second.logical_bytes) == ("other", 1, len(BIG) + len(TEXT))
    assert [(one.repo, one.commits, one.head_bytes, one.logical_bytes) for one in cheap.repos] == [
        (one.repo, one.commits, one.head_bytes, one.logical_bytes) for one in use.repos
    ]
    assert data.stored is not None
    assert second.stored is not None
    assert use.stored is not None
    assert data.stored.unique_bytes == len(BIG) + len(OWN) + 1
    assert use.stored.unique_bytes <= len(BIG) + len(OWN) + 1 + len(TEXT)  # the text has parts that are the same
    assert use.stored.unique_bytes < data.stored.unique_bytes + second.stored.unique_bytes
    assert second.stored.compressed_bytes < len(BIG) + len(TEXT) / 5
    assert data.stored.compressed_bytes >= data.stored.unique_bytes
    assert 0 < data.stored.meta_bytes < 100_000
    assert use.packs_bytes == sum(file.stat().st_size for file in (store.path / "objects").rglob("*.pack"))
    together = use.stored.compressed_bytes + use.stored.meta_bytes
    assert 0.9 * use.packs_bytes < together <= use.packs_bytes


def test_what_was_dropped_for_good_does_not_count(store: Store, repo: Repo) -> None:
    put(repo, {"/a": b"a"})
    opened = repo.start_commit("master")
    put(repo, {"/big": BIG})
    assert stats(store).repos[0].commits == 2
    assert stats(store, exact=True).repos[0].stored.unique_bytes == len(BIG) + 1  # type: ignore[union-attr]
    repo.drop_open(opened.id)
    use = stats(store, exact=True)
    assert use.repos[0].commits == 1
    assert use.stored is not None
    assert use.stored.unique_bytes == 1
    assert use.packs_bytes > len(BIG)


def test_an_empty_store(store: Store) -> None:
    use = stats(store, exact=True)
    assert use.repos == ()
    assert use.stored is not None
    assert (use.stored.unique_bytes, use.packs, use.packs_bytes) == (0, 0, 0)


@settings(max_examples=10, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from("xyz"), st.integers(0, 5)), max_size=8))
def test_unique_bytes_are_those_of_different_small_files(
    tmp_path_factory: object, writes: list[tuple[str, str, int]]
) -> None:
    folder = tmp_path_factory.mktemp("stats")  # type: ignore[attr-defined]  # pytest's factory
    with pfs.init(folder) as store:
        repos = {name: store.create_repo(name) for name in "ab"}
        held: dict[str, set[bytes]] = {"a": set(), "b": set()}
        for repo, path, number in writes:
            data = random.Random(number).randbytes(100 + number)
            put(repos[repo], {f"/{path}": data})
            held[repo].add(data)
        use = stats(store, exact=True)
        for one in use.repos:
            assert one.stored is not None
            assert one.stored.unique_bytes == sum(map(len, held[one.repo]))
        assert use.stored is not None
        assert use.stored.unique_bytes == sum(map(len, held["a"] | held["b"]))
