"""Finding one object: as it is now, or in one version; and what S3 says of one that is not there.

The index of versions is asked where it knows the commits, and never filled from here: a read must not wait for that.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice, pairwise
from typing import Final

from pfs.errors import CommitNotFoundError
from pfs.ids import CommitId, is_commit_id
from pfs.model import CommitInfo
from pfs.trees.row import EMPTY_ROOT, Root, Row
from pfs.trees.tree import Tree
from s3api.errors import S3Error, invalid_argument, not_implemented
from s3api.http.times import http_date
from s3api.objects.buckets import Bucket
from s3api.objects.metadata import is_object, version_of
from s3api.versions.index import VersionIndex
from s3api.versions.page import History
from s3api.versions.tip import Tip, tip_of

NEAR: Final = 16
"""Commits that are looked at for the deletion of a key that is not there, before the index is asked."""


@dataclass(frozen=True, slots=True)
class Marker:
    """A delete marker: the commit that deleted a key."""

    commit: CommitId
    finished_ns: int

    def headers(self) -> tuple[tuple[str, str], ...]:
        """Return the headers that say so."""
        return (("x-amz-delete-marker", "true"), ("x-amz-version-id", self.commit))


@dataclass(frozen=True, slots=True)
class _State:
    """The files as a commit left them."""

    root: Root
    commit: CommitId
    finished_ns: int


_NOTHING = _State(EMPTY_ROOT, CommitId(""), 0)
"""Before the first commit."""


def parse_version(text: str) -> CommitId | None:
    """Return a version id; None for ``null``, which is well-formed and never there.

    Raises:
        S3Error: InvalidArgument; it is none of ours.
    """
    if not text:
        raise invalid_argument("versionId", "", "Version id cannot be the empty string")
    if text == "null":
        return None
    if not is_commit_id(text):
        raise invalid_argument("versionId", text, "Invalid version id specified")
    return CommitId(text)


def find_object(bucket: Bucket, key: bytes, version: str | None = None) -> Row:
    """Return the row of an object, as it is now or in one version.

    The present version, and those made on the bucket's branch, are found at once; others by the index, without it by a
    walk through the history.

    Raises:
        S3Error: NoSuchKey, NoSuchVersion, InvalidArgument; MethodNotAllowed for a delete marker; NotImplemented for any
            version in a bucket without versions.
    """
    if version is not None and not bucket.versioned:
        raise not_implemented("versionId in a bucket without versions")
    if version is None:
        return _find_present(bucket, key)
    commit = parse_version(version)
    found = None if commit is None else _find_version(bucket, key, commit)
    if found is None:
        raise S3Error("NoSuchVersion", fields={"Key": key.decode(), "VersionId": version})
    if isinstance(found, Marker):
        modified = ("last-modified", http_date(found.finished_ns))
        headers = (*found.headers(), ("allow", "DELETE"), modified)
        raise S3Error("MethodNotAllowed", fields={"ResourceType": "DeleteMarker"}, headers=headers)
    return found


def _find_present(bucket: Bucket, key: bytes) -> Row:
    row = bucket.tree().stat(key, want="file")
    if row is not None and is_object(row):
        return row
    marker = _find_marker(bucket, key) if bucket.versioned else None
    raise S3Error("NoSuchKey", fields={"Key": key.decode()}, headers=() if marker is None else marker.headers())


def _find_marker(bucket: Bucket, key: bytes) -> Marker | None:
    """Return the deletion of a key that is not there, if it is among the last commits or the index knows it."""
    tip = tip_of(bucket)
    near = list(islice(_states(bucket, tip), NEAR + 1))
    for new, old in pairwise(near):
        if _object_in(bucket, old, key) is not None:
            return Marker(new.commit, new.finished_ns)
    if len(near) <= NEAR:
        return None
    store = bucket.repo.store
    with VersionIndex(store).reading() as reader:
        history = History.of(store, reader, replace(tip, head=near[-1].commit, opened=None))
        event = None if history is None else history.newest(key)
    if event is None or not event.version.marker:
        return None
    return Marker(CommitId(event.version.id), event.version.modified_ns)


def _find_version(bucket: Bucket, key: bytes, version: CommitId) -> Row | Marker | None:
    present = bucket.tree().stat(key, want="file")
    if is_object(present) and present is not None and version_of(present) == version:
        return present
    return _made_here(bucket, key, version) or _in_line(bucket, key, version)


def _made_here(bucket: Bucket, key: bytes, version: CommitId) -> Row | Marker | None:
    """Return what a commit did to a key, if it was made on the bucket's branch."""
    try:
        info = bucket.repo.inspect(version)
    except CommitNotFoundError:
        return None
    if not bucket.made(info):
        return None
    state = _state_of(info)
    row = _object_in(bucket, state, key)
    if row is not None:
        return row if version_of(row) == version else None
    parent = _NOTHING if not info.parents else _state_of(bucket.repo.inspect(info.parents[0]))
    deleted = info.id == version and _object_in(bucket, parent, key) is not None
    return Marker(state.commit, state.finished_ns) if deleted else None


def _in_line(bucket: Bucket, key: bytes, version: CommitId) -> Row | Marker | None:
    """Return a version that a key had in the commits of the bucket, wherever it was made."""
    tip, store = tip_of(bucket), bucket.repo.store
    with VersionIndex(store).reading() as reader:
        history = History.of(store, reader, tip)
        found = None if history is None else history.find(key, version)
        if history is not None and (found is None or found.version.marker):
            return None if found is None else Marker(version, found.version.modified_ns)
        if history is not None and found is not None:
            state = _state_of(bucket.repo.inspect(history.commit_of(found)))
            return _object_in(bucket, state, key)
    return _walk(bucket, tip, key, version)


def _walk(bucket: Bucket, tip: Tip, key: bytes, version: CommitId) -> Row | Marker | None:
    """Look through all commits of a bucket, O(depth) each."""
    states = ((state, _object_in(bucket, state, key)) for state in _states(bucket, tip))
    for (new, row), (_, older) in pairwise(states):
        if row is not None and version_of(row) == version:
            return row
        if new.commit == version and row is None and older is not None:
            return Marker(new.commit, new.finished_ns)
    return None


def _states(bucket: Bucket, tip: Tip) -> Iterator[_State]:
    """Yield the states of a bucket, the newest first, and at the end the one without files."""
    if tip.opened is not None:
        yield _state_of(tip.opened)
    if tip.head is not None:
        for record in bucket.repo.store.history.first_parents(tip.repo, tip.head):
            yield _State(record.tree_root(), record.id, record.finished_ns)
    yield _NOTHING


def _state_of(info: CommitInfo) -> _State:
    return _State(info.root, info.id, info.started_ns if info.finished_ns is None else info.finished_ns)


def _object_in(bucket: Bucket, state: _State, key: bytes) -> Row | None:
    row = Tree(bucket.repo.store.objects, state.root).stat(key, want="file")
    return row if is_object(row) else None
