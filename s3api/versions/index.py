"""The index of versions: for each key, in which commit what became of it. A cache, of what the commits say themselves.

A *line* of commits is a head and its first parents. Lines share what they have in common: a *segment* is a run of
commits, and begins where it leaves another one (its parent, behind commit number ``fork``). An event is a row
(segment, key, age); the age is the negative number of the commit, so rows are in the order in which S3 lists them.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain, islice
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from pfs.errors import RepoNotFoundError
from pfs.ids import CommitId
from pfs.trees.row import EMPTY_ROOT, Root
from s3api.errors import S3Error
from s3api.versions.step import Step
from s3api.versions.table import Table, transaction
from s3api.versions.tip import Tip
from s3api.versions.version import Event, decode_version, encode_version

if TYPE_CHECKING:
    from pfs.packs.commit_record import CommitRecord
    from pfs.store import Store

LARGE: Final = 10_000
"""Changes of a commit that is compared when it is asked for, instead of being taken into the index: a first import."""
MAX_LARGE: Final = 16
"""Such commits in one line: each costs every page a few look-ups."""
_BATCH: Final = 20_000
"""Events that are written together; a reader of another process sees them then."""
BEHIND_ALL: Final = 1 << 62
BEFORE_ALL: Final = -BEHIND_ALL


class Segment(NamedTuple):
    """A run of commits up to the number ``last``."""

    id: int
    last: int


@dataclass(frozen=True, slots=True)
class Line:
    """The commits of a head, newest segment first, and those of them that are compared when they are asked for."""

    segments: tuple[Segment, ...] = ()
    steps: tuple[Step, ...] = ()


class Start(NamedTuple):
    """Where a page begins: behind this event of the key; behind all of the key unless there is an ``age``."""

    key: bytes
    age: int = BEHIND_ALL


class Reader:
    """The index as it was at one moment; of one thread."""

    def __init__(self, store: Store, connection: sqlite3.Connection | None) -> None:
        self._store, self._connection = store, connection

    def line(self, tip: Tip) -> Line | None:
        """Return the line of a tip without its open commit; None: it is not indexed, see `VersionIndex.follow`."""
        if tip.head is None:
            return Line()
        found = None if self._connection is None else _find_step(self._connection, tip, tip.head)
        if found is None or self._connection is None:
            return None
        segments = tuple(_lineage(self._connection, found))
        return Line(segments, tuple(self._large(tip.repo, segments)))

    def _large(self, repo: str, segments: Iterable[Segment]) -> Iterator[Step]:
        for segment in segments:
            query = "SELECT number, commit_id, parent_id FROM large WHERE segment=? AND number<=?"
            for number, commit, parent in self._rows(query, segment.id, segment.last):
                record = self._store.history.get(repo, _id(commit))
                old = EMPTY_ROOT if parent is None else self._store.history.get(repo, _id(parent)).tree_root()
                yield Step(record.id, record.finished_ns, old, record.tree_root(), number)

    def events(self, segment: Segment, prefix: bytes, start: Start) -> Iterator[Event]:
        """Yield the events of keys with a prefix behind ``start``, in order, as they are asked for."""
        behind = start.key >= prefix
        bound = "(key, age) > (?, ?)" if behind else "key >= ?"
        low = start if behind else (prefix,)
        query = f"SELECT key, age, version, value FROM event WHERE segment=? AND {bound} AND key < ? AND age >= ?"
        for row in self._rows(f"{query} ORDER BY key, age", segment.id, *low, prefix + b"\xff", -segment.last):
            yield _event(*row)

    def event_of(self, segment: Segment, key: bytes, version: CommitId) -> Event | None:
        """Return where a key got a version, None if it did not in this segment."""
        query = "SELECT key, age, version, value FROM event WHERE segment=? AND key=? AND version=? AND age >= ?"
        row = next(self._rows(query, segment.id, key, bytes.fromhex(version), -segment.last), None)
        return None if row is None else _event(*row)

    def foreign(self, segment: Segment, start: Start) -> Iterator[str]:
        """Yield the versions of a key, there or later, that were made in another commit than brought them here."""
        query = "SELECT version FROM event WHERE segment=? AND key=? AND age BETWEEN ? AND ? AND NOT own"
        for (version,) in self._rows(query, segment.id, start.key, -segment.last, start.age):
            yield version.hex()

    def newest(self, segment: Segment, key: bytes) -> Event | None:
        """Return the last event of a key in a segment."""
        query = "SELECT key, age, version, value FROM event WHERE segment=? AND key=? AND age>=? ORDER BY age LIMIT 1"
        row = next(self._rows(query, segment.id, key, -segment.last), None)
        return None if row is None else _event(*row)

    def commit_of(self, segments: Sequence[Segment], event: Event) -> CommitId:
        """Return the commit that an event of a line is of."""
        query = "SELECT commit_id FROM step WHERE segment=? AND number=?"
        holder = [segment for segment in segments if segment.last >= -event.age][-1]
        return _id(next(self._rows(query, holder.id, -event.age))[0])

    def _rows(self, query: str, *values: int | bytes) -> Iterator[tuple[Any, ...]]:
        return iter(()) if self._connection is None else self._connection.execute(query, values)


class VersionIndex:
    """The index of a store; thread-safe, and shared by processes."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._table = Table(store.path / "versions.sqlite")
        self._stopped = threading.Event()

    def stop(self) -> None:
        """Let a `follow` that is under way end soon; what it has done stays."""
        self._stopped.set()

    @contextmanager
    def reading(self) -> Iterator[Reader]:
        """Give a view of the index as it is now; raises StorageError."""
        with self._table.reading() as connection:
            yield Reader(self._store, connection)

    def follow(self, tip: Tip) -> None:
        """Take in the commits of a line that are not there yet; O(their changes), once for all who share them.

        Memory: the ids of new commits. One thread of all processes works, others wait.

        Raises:
            S3Error: ServiceUnavailable; the server ends.
            StorageError: it cannot be written.
            MissingObjectError, CorruptionError: a commit cannot be read; those before it are there.
        """
        if tip.head is None:
            return
        with self._table.writing() as connection:
            space = self._space(connection, tip)
            new, base = self._new_commits(connection, tip)
            if new:
                _Follower(self._store, connection, tip.repo, space).take(new, base, self._check)

    def _check(self) -> None:
        if self._stopped.is_set():
            raise S3Error("ServiceUnavailable", "the server is being stopped")

    def _space(self, connection: sqlite3.Connection, tip: Tip) -> int:
        """Return the number of a repo's space, once nothing is left of what another mark was true of."""
        row = connection.execute("SELECT id, mark FROM space WHERE repo=?", (tip.repo,)).fetchone()
        if row is not None and row[1] == tip.mark:
            return int(row[0])
        with transaction(connection):
            for (gone,) in connection.execute("SELECT repo FROM space").fetchall():
                if gone == tip.repo or not self._has_repo(gone):
                    _forget(connection, gone)
            values = (tip.repo, tip.mark)
            return int(connection.execute("INSERT INTO space (repo, mark) VALUES (?, ?)", values).lastrowid or 0)

    def _has_repo(self, name: str) -> bool:
        try:
            self._store.refs.read(name)
        except RepoNotFoundError:
            return False
        return True

    def _new_commits(self, connection: sqlite3.Connection, tip: Tip) -> tuple[list[CommitId], _At | None]:
        """Return the commits that are not there, the oldest first, and what they come from."""
        new: list[CommitId] = []
        base = None
        for record in self._store.history.first_parents(tip.repo, tip.head or CommitId("")):
            base = _find_step(connection, tip, record.id)
            if base is not None:
                break
            new.append(record.id)
        return new[::-1], base


class _At(NamedTuple):
    """A commit that is there."""

    segment: int
    number: int
    commit: CommitId


class _Follower:
    """Takes commits of one line in."""

    def __init__(self, store: Store, connection: sqlite3.Connection, repo: str, space: int) -> None:
        self._store, self._connection, self._repo, self._space = store, connection, repo, space
        self._larges = 0

    def take(self, new: list[CommitId], base: _At | None, check: Callable[[], None]) -> None:
        """Take commits in, the oldest first, on top of ``base``; ``check`` may end it after each batch."""
        with transaction(self._connection):
            at = self._begin(base)
        commits = iter(new)
        root = EMPTY_ROOT if base is None else self._record(base.commit).tree_root()
        while at.commit != new[-1]:
            check()
            with transaction(self._connection):
                at, root = self._batch(commits, at, root)

    def _batch(self, commits: Iterator[CommitId], at: _At, root: Root) -> tuple[_At, Root]:
        before = self._connection.total_changes
        for commit in commits:
            record = self._record(commit)
            step = Step(commit, record.finished_ns, root, record.tree_root(), at.number + 1)
            self._take(step, at)
            at, root = _At(at.segment, step.number, commit), step.new
            if self._connection.total_changes - before >= _BATCH:
                break
        return at, root

    def _record(self, commit: CommitId) -> CommitRecord:
        return self._store.history.get(self._repo, commit)

    def _begin(self, base: _At | None) -> _At:
        """Return where to go on: in the segment of ``base`` if that is its end, else in a new one."""
        if base is not None:
            self._larges = sum(self._count_large(part) for part in _lineage(self._connection, base))
            (last,) = self._connection.execute(
                "SELECT MAX(number) FROM step WHERE segment=?", (base.segment,)
            ).fetchone()
            if last == base.number:
                return base
        parent, fork = (None, 0) if base is None else (base.segment, base.number)
        values = (self._space, parent, fork)
        made = self._connection.execute("INSERT INTO segment (space, parent, fork) VALUES (?, ?, ?)", values)
        return _At(int(made.lastrowid or 0), fork, CommitId("") if base is None else base.commit)

    def _count_large(self, part: Segment) -> int:
        query = "SELECT COUNT(*) FROM large WHERE segment=? AND number<=?"
        return int(self._connection.execute(query, part).fetchone()[0])

    def _take(self, step: Step, at: _At) -> None:
        commit = bytes.fromhex(step.commit)
        events = step.events(self._store.objects)
        first = list(islice(events, LARGE + 1)) if self._larges < MAX_LARGE else []
        if len(first) > LARGE:
            self._larges += 1
            parent = bytes.fromhex(at.commit) or None
            values = (at.segment, step.number, commit, parent)
            self._connection.execute("INSERT INTO large VALUES (?, ?, ?, ?)", values)
        else:
            rows = (_row(at.segment, event, step.commit) for event in chain(first, events))
            self._connection.executemany("INSERT INTO event VALUES (?, ?, ?, ?, ?, ?)", rows)
        self._connection.execute("INSERT INTO step VALUES (?, ?, ?, ?)", (self._space, commit, at.segment, step.number))


def _find_step(connection: sqlite3.Connection, tip: Tip, commit: CommitId) -> _At | None:
    query = "SELECT segment, number FROM step JOIN space ON space=id WHERE repo=? AND mark=? AND commit_id=?"
    row = connection.execute(query, (tip.repo, tip.mark, bytes.fromhex(commit))).fetchone()
    return None if row is None else _At(row[0], row[1], commit)


def _lineage(connection: sqlite3.Connection, at: _At) -> Iterator[Segment]:
    """Yield the segments of a commit's line, the newest first."""
    segment: int | None = at.segment
    last = at.number
    while segment is not None:
        yield Segment(segment, last)
        segment, last = connection.execute("SELECT parent, fork FROM segment WHERE id=?", (segment,)).fetchone()


def _forget(connection: sqlite3.Connection, repo: str) -> None:
    within = "(SELECT segment.id FROM segment JOIN space ON space=space.id WHERE repo=?)"
    for table in ("event", "large"):
        connection.execute(f"DELETE FROM {table} WHERE segment IN {within}", (repo,))
    for table in ("step", "segment"):
        connection.execute(f"DELETE FROM {table} WHERE space=(SELECT id FROM space WHERE repo=?)", (repo,))
    connection.execute("DELETE FROM space WHERE repo=?", (repo,))


def _row(segment: int, event: Event, commit: CommitId) -> tuple[int, bytes, int, bool, bytes, bytes]:
    version = event.version
    own = version.id == commit
    return segment, event.key, event.age, own, bytes.fromhex(version.id), encode_version(version)


def _event(key: bytes, age: int, version: bytes, value: bytes) -> Event:
    return Event(key, age, decode_version(key, version.hex(), value))


def _id(commit: bytes) -> CommitId:
    return CommitId(commit.hex())
