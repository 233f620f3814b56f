"""One page of versions: for any prefix and delimiter, in order of keys, the newest of each first; O(page)."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import chain, islice
from operator import attrgetter, itemgetter
from typing import NamedTuple, Self

from pfs.ids import CommitId, is_commit_id
from pfs.model import CommitInfo
from pfs.store import Store
from pfs.trees.diff import Behind
from pfs.trees.row import EMPTY_ROOT, PageSource
from s3api.objects.listing import Query
from s3api.versions.index import BEFORE_ALL, BEHIND_ALL, Line, Reader, Segment, Start
from s3api.versions.step import Step
from s3api.versions.tip import Tip
from s3api.versions.version import Event, Version

_AGE = attrgetter("age")


@dataclass(frozen=True, slots=True)
class Entry:
    """A version as it is listed."""

    version: Version
    is_latest: bool


@dataclass(frozen=True, slots=True)
class VersionPage:
    """A page: versions and common prefixes, each in order; ``last`` is what to go on behind when ``truncated``."""

    entries: tuple[Entry, ...]
    prefixes: tuple[bytes, ...]
    truncated: bool
    last: Entry | bytes | None


class _Scope(NamedTuple):
    """What is listed; what lies below a directory may come as one event where the delimiter is the slash."""

    prefix: bytes
    delimiter: bytes


@dataclass(frozen=True, slots=True)
class Marker:
    """The last key of the page before, or a common prefix; and the last version, if the page ended within a key."""

    key: bytes = b""
    version: str = ""


class History:
    """What happened to the keys of a bucket, at one moment."""

    def __init__(self, pages: PageSource, reader: Reader, line: Line) -> None:
        self._pages, self._reader, self._line = pages, reader, line

    @classmethod
    def of(cls, store: Store, reader: Reader, tip: Tip) -> Self | None:
        """Return the history of a tip; None: it is not indexed, see `VersionIndex.follow`."""
        line = reader.line(tip)
        if line is None:
            return None
        if tip.opened is not None:
            line = replace(line, steps=(*line.steps, _open_step(store, tip.opened, line)))
        return cls(store.objects, reader, line)

    def page(self, query: Query, marker: Marker) -> VersionPage:
        """Return the page behind a marker."""
        if not query.max_keys:
            return VersionPage((), (), False, None)
        found = list(islice(self._listed(query, marker), query.max_keys + 1))
        page = found[: query.max_keys]
        entries = tuple(one for one in page if isinstance(one, Entry))
        prefixes = tuple(one for one in page if isinstance(one, bytes))
        return VersionPage(entries, prefixes, len(found) > len(page), page[-1] if page else None)

    def find(self, key: bytes, version: CommitId) -> Event | None:
        """Return where a key got a version; None: never in these commits. O(log n), more for large commits."""
        indexed = (self._reader.event_of(segment, key, version) for segment in self._line.segments)
        compared = (step.event_of(self._pages, key) for step in self._line.steps)
        events = chain(indexed, compared)
        return next((event for event in events if event is not None and event.version.id == version), None)

    def newest(self, key: bytes) -> Event | None:
        """Return the last that happened to a key, None if nothing did; costs as `find`."""
        indexed = (self._reader.newest(segment, key) for segment in self._line.segments)
        compared = (step.event_of(self._pages, key) for step in self._line.steps)
        return min((event for event in chain(indexed, compared) if event is not None), default=None, key=_AGE)

    def commit_of(self, event: Event) -> CommitId:
        """Return the commit of an event: where it is a version from elsewhere, the one that brought it here."""
        step = next((step for step in self._line.steps if -step.number == event.age), None)
        return self._reader.commit_of(self._line.segments, event) if step is None else step.commit

    def _listed(self, query: Query, marker: Marker) -> Iterator[Entry | bytes]:
        prefix, delimiter = query.prefix.encode(), query.delimiter.encode()
        start: Start | None = self._start(marker, prefix, delimiter)
        last = None
        while start is not None:
            behind = Behind(start.key)
            entries, start = self._entries(_Scope(prefix, delimiter), start, behind), None
            for entry in entries:
                common = _common_prefix(entry.version.key, prefix, delimiter)
                if common is None:
                    yield entry
                elif common != last:  # a source may have had one more of it ready
                    yield (last := common)
                    if delimiter != b"/":  # keys with a common prefix are scattered: look up where they end
                        start = _behind(common)
                        break
                    behind.key = _behind(common).key

    def _start(self, marker: Marker, prefix: bytes, delimiter: bytes) -> Start:
        if _common_prefix(marker.key, prefix, delimiter) == marker.key:
            return _behind(marker.key)
        if not marker.version:
            return Start(marker.key)
        event = self.find(marker.key, CommitId(marker.version)) if is_commit_id(marker.version) else None
        # A version that is gone since the page before: those of its key come again, so that none is left out.
        return Start(marker.key, BEFORE_ALL if event is None else event.age)

    def _entries(self, scope: _Scope, start: Start, behind: Behind) -> Iterator[Entry]:
        """Yield versions behind ``start``; a version that a key had twice, as it was brought back, counts once."""
        key, seen = None, set[str]()
        if BEFORE_ALL < start.age < BEHIND_ALL:
            key, seen = start.key, self._brought_back(start)
        for event in self._events(scope, start, behind):
            is_latest = event.key != key
            if is_latest:
                key, seen = event.key, set()
            if event.version.id not in seen:
                seen.add(event.version.id)
                yield Entry(event.version, is_latest)

    def _brought_back(self, start: Start) -> set[str]:
        """Return what the key of ``start`` has from elsewhere, there or later: versions that it may have had before."""
        found = {id for segment in self._line.segments for id in self._reader.foreign(segment, start)}
        steps = [step for step in self._line.steps if -step.number <= start.age]
        for step in steps:
            event = step.event_of(self._pages, start.key)
            if event is not None and event.version.id != step.commit:
                found.add(event.version.id)
        return found

    def _events(self, scope: _Scope, start: Start, behind: Behind) -> Iterator[Event]:
        sources = [self._indexed(segment, scope.prefix, start, behind) for segment in self._line.segments]
        sources += [self._compared(step, scope, start, behind) for step in self._line.steps]
        return heapq.merge(*sources, key=itemgetter(0, 1))

    def _indexed(self, segment: Segment, prefix: bytes, start: Start, behind: Behind) -> Iterator[Event]:
        while True:
            for event in self._reader.events(segment, prefix, start):
                if event.key < behind.key:
                    break
                yield event
            else:
                return
            start = Start(behind.key)

    def _compared(self, step: Step, scope: _Scope, start: Start, behind: Behind) -> Iterator[Event]:
        own = step.event_of(self._pages, start.key) if -step.number > start.age else None
        if own is not None and start.key.startswith(scope.prefix):
            yield own
        if step.is_first and scope.delimiter == b"/":
            yield from step.delimited_events(self._pages, scope.prefix, start.key)
        else:
            yield from step.events(self._pages, scope.prefix, behind)


def _open_step(store: Store, info: CommitInfo, line: Line) -> Step:
    """Return an open commit, which may change, as the newest step; a marker in it has the time that it was begun."""
    old = store.history.get(info.repo, info.parents[0]).tree_root() if info.parents else EMPTY_ROOT
    number = 1 + (line.segments[0].last if line.segments else 0)
    return Step(info.id, info.started_ns, old, info.root, number)


def _behind(prefix: bytes) -> Start:
    """Return what is behind every key with this prefix: keys are UTF-8, which has no byte 0xff."""
    return Start(prefix + b"\xff")


def _common_prefix(key: bytes, prefix: bytes, delimiter: bytes) -> bytes | None:
    at = key.find(delimiter, len(prefix)) if delimiter and key.startswith(prefix) else -1
    return None if at < 0 else key[: at + len(delimiter)]
