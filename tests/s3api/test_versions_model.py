"""The versions of a bucket against dictionaries: puts, deletes, forks and merges; every page size, every prefix."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pfs
from pfs.changes.apply import apply
from pfs.changes.landing import How
from pfs.changes.merge import Resolution
from pfs.changes.replay import merge
from pfs.ids import TreeId, chunk_id
from pfs.repo import Repo
from pfs.trees.edit import Delete, Put
from pfs.trees.page import Kind
from s3api.errors import S3Error
from s3api.objects.buckets import open_bucket
from s3api.objects.listing import Query
from s3api.objects.metadata import version_of
from s3api.objects.names import parse_bucket
from s3api.versions import index
from s3api.versions.find import find_object
from s3api.versions.index import VersionIndex
from s3api.versions.page import Entry, History, Marker
from s3api.versions.tip import tip_of

KEYS = st.sampled_from(["a", "a/b", "a/c", "b//", "b/", "c", "c/x/1", "c/x/2", "é/z"])
CHANGES = st.dictionaries(KEYS, st.none() | st.sampled_from([b"1", b"2"]), min_size=1, max_size=4)
Shown = tuple[str, str, bool]
"""Key, version, is it a marker."""


@dataclass
class Model:
    """What a branch did, commit by commit, the oldest first: per key a version, or None for a delete marker."""

    files: dict[str, str] = field(default_factory=dict)
    events: list[tuple[str, dict[str, str | None]]] = field(default_factory=list)

    def copy(self) -> Model:
        return Model(dict(self.files), list(self.events))

    def took(self, commit: str, changes: dict[str, str | None]) -> None:
        self.events.append((commit, changes))
        for key, version in changes.items():
            if version is None:
                del self.files[key]
            else:
                self.files[key] = version

    def listed(self) -> list[Shown]:
        found = []
        for key in sorted({key for _, changes in self.events for key in changes}, key=str.encode):
            for commit, changes in reversed(self.events):
                if key in changes:
                    found.append((key, changes[key] or commit, changes[key] is None))
        return found


def apply_changes(repo: Repo, branch: str, model: Model, changes: dict[str, bytes | None]) -> None:
    """Put and delete as S3 does: an equal file is a new version, a key that is not there is not deleted."""
    edits = [
        Delete(key.encode()) if body is None else content(key, body)
        for key, body in changes.items()
        if body is not None or key in model.files
    ]
    if not edits:
        return
    session = repo.store.session()
    session.put_chunks([(chunk_id(body), body) for body in set(changes.values()) if body is not None])
    info = apply(repo, branch, lambda tree: edits, session=session)
    assert info is not None
    done = {edit.key.decode(): None if isinstance(edit, Delete) else str(info.id) for edit in edits}
    model.took(info.id, done)


def content(key: str, body: bytes) -> Put:
    return Put(key.encode(), Kind.FILE, len(body), TreeId(chunk_id(body)), force=True)


def history(repo: Repo, bucket: str) -> Iterator[History]:
    opened = open_bucket(repo.store, parse_bucket(bucket))
    versions_of = VersionIndex(repo.store)
    versions_of.follow(tip_of(opened))
    with versions_of.reading() as reader:
        found = History.of(repo.store, reader, tip_of(opened))
        assert found is not None
        yield found


def pages(history: History, *, size: int, prefix: str = "", delimiter: str = "") -> Iterator[Entry | bytes]:
    marker = Marker()
    while True:
        page = history.page(Query(prefix, delimiter, size, False), marker)
        items = sorted(
            [*page.entries, *page.prefixes], key=lambda one: one if isinstance(one, bytes) else one.version.key
        )
        assert len(items) <= size
        yield from items
        if not page.truncated:
            return
        assert len(items) == size
        last = page.last
        marker = Marker(last) if isinstance(last, bytes) else Marker(last.version.key, last.version.id)  # type: ignore[union-attr]


def rolled_up(listed: list[Shown], prefix: str, delimiter: str) -> list[Shown | bytes]:
    found: list[Shown | bytes] = []
    for one in listed:
        if not one[0].startswith(prefix):
            continue
        at = one[0].find(delimiter, len(prefix)) if delimiter else -1
        common = one[0][: at + len(delimiter)].encode()
        if at < 0:
            found.append(one)
        elif common not in found:
            found.append(common)
    return found


@settings(max_examples=25, deadline=None)
@given(
    steps=st.lists(
        st.tuples(st.sampled_from(["master", "side"]), CHANGES) | st.sampled_from(["fork", "merge"]), max_size=12
    ),
    large=st.sampled_from([0, 1, 2, 10_000]),
    prefix=st.sampled_from(["", "a", "a/", "c/", "c/x", "zz"]),
    delimiter=st.sampled_from(["", "/", "x/", "x"]),
)
def test_versions_are_those_of_the_model(
    tmp_path_factory: pytest.TempPathFactory,
    steps: list[tuple[str, dict[str, bytes | None]] | str],
    large: int,
    prefix: str,
    delimiter: str,
) -> None:
    with pytest.MonkeyPatch.context() as patch, pfs.init(tmp_path_factory.mktemp("home")) as store:
        patch.setattr(index, "LARGE", large)
        repo = store.create_repo("r")
        models = {"master": Model(), "side": Model()}
        for step in steps:
            if step == "fork":
                head = repo.branch("master").head if "master" in repo.info().branches else None
                if head is not None:
                    repo.create_branch("side", head=head)
                    models["side"] = models["master"].copy()
            elif step == "merge":
                _merge(repo, models)
            else:
                branch, changes = step
                apply_changes(repo, str(branch), models[str(branch)], dict(changes))  # type: ignore[arg-type]
        for branch, model in models.items():
            if branch in repo.info().branches:
                check(repo, f"{branch}.r", model, prefix, delimiter)
                for commit, _ in model.events[:-1]:
                    check_reads(repo, f"{commit}.r", model, upto=commit)


def _merge(repo: Repo, models: dict[str, Model]) -> None:
    """Merge side into master, theirs first; the model has what that did to the tree of master."""
    if not {"master", "side"} <= set(repo.info().branches) or repo.branch("side").head is None:
        return
    before = dict(_tree(repo))
    head = repo.branch("master").head
    info = merge(repo.store, "r", "side", "master", how=How(resolution=Resolution("theirs")))
    if info.id == head:
        return
    after = dict(_tree(repo))
    if info.parents[:1] != ((head,) if head else ()):  # the branch moved forward to the other's commits
        models["master"] = models["side"].copy()
        return
    changed = {key: after.get(key) for key in before.keys() | after.keys() if before.get(key) != after.get(key)}
    models["master"].took(info.id, changed)


def _tree(repo: Repo) -> Iterator[tuple[str, str]]:
    head = repo.branch("master").head
    if head is not None:
        for row in repo.view(head).tree.scan_prefix(b""):
            assert row.changed is not None
            yield row.key.decode(), row.changed.commit.hex()


def check(repo: Repo, bucket: str, model: Model, prefix: str, delimiter: str) -> None:
    listed = model.listed()
    latest = {key: version for key, version, _ in reversed(listed)}
    for found in history(repo, bucket):
        for size in (1, 2, 3, 7, 1000):
            entries = list(pages(found, size=size))
            assert [(e.version.key.decode(), e.version.id, e.version.marker) for e in entries] == listed  # type: ignore[union-attr]
            for entry in entries:
                assert isinstance(entry, Entry)
                assert entry.is_latest == (latest[entry.version.key.decode()] == entry.version.id)
            shown = [
                one if isinstance(one, bytes) else (one.version.key.decode(), one.version.id, one.version.marker)
                for one in pages(found, size=size, prefix=prefix, delimiter=delimiter)
            ]
            assert shown == rolled_up(listed, prefix, delimiter)
    check_reads(repo, bucket, model)


def check_reads(repo: Repo, bucket: str, model: Model, upto: str | None = None) -> None:
    """Every version that is listed can be read, with the index and without it; what was later cannot."""
    opened = open_bucket(repo.store, parse_bucket(bucket))
    there, old = True, dict[str, set[str | None]]()
    for commit, changes in model.events:
        for key, version in changes.items():
            if not there:
                if version not in old.get(key, set()):
                    with pytest.raises(S3Error, match="NoSuchVersion"):
                        find_object(opened, key.encode(), version or commit)
            elif version is None:
                with pytest.raises(S3Error, match="MethodNotAllowed"):
                    find_object(opened, key.encode(), commit)
            else:
                old.setdefault(key, set()).add(version)
                assert version_of(find_object(opened, key.encode(), version)) == version
        there = there and commit != upto
