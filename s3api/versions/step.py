"""One commit of a line of commits: what it made of its parent's tree, compared while it is asked for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pfs.ids import CommitId
from pfs.trees.diff import Behind, Change, diff
from pfs.trees.row import EMPTY_ROOT, PageSource, Root
from pfs.trees.tree import Tree
from s3api.objects.metadata import is_object
from s3api.versions.version import Event, Version, version_of_change, version_of_row


@dataclass(frozen=True, slots=True)
class Step:
    """A commit with its tree and that of its parent; ``number`` counts the commits of the line from its first."""

    commit: CommitId
    finished_ns: int
    old: Root
    new: Root
    number: int

    def events(self, pages: PageSource, prefix: bytes = b"", behind: Behind | None = None) -> Iterator[Event]:
        """Yield what it did to keys with ``prefix``, behind a key, in their order; O(changes), memory O(depth)."""
        for change in diff(pages, self.old, pages, self.new, prefix=prefix, behind=behind, versions=True):
            event = self._event(change)
            if event is not None:
                yield event

    @property
    def is_first(self) -> bool:
        """Whether there was nothing before it."""
        return self.old == EMPTY_ROOT

    def delimited_events(self, pages: PageSource, prefix: bytes, start_after: bytes) -> Iterator[Event]:
        """Yield what the first commit did, with one event for all below each directory, as a listing shows them.

        Its key is the directory's with the slash; what it says of a version is not to be shown. O(page).
        """
        for row in Tree(pages, self.new).list_delimited(prefix, start_after=start_after):
            if row.is_dir:
                yield Event(row.order_key, -self.number, Version(row.order_key, self.commit, self.finished_ns))
            elif is_object(row):
                yield Event(row.key, -self.number, version_of_row(row, self.commit))

    def event_of(self, pages: PageSource, key: bytes) -> Event | None:
        """Return what it did to one key, None if nothing; O(depth)."""
        old, new = (Tree(pages, root).stat(key, want="file") for root in (self.old, self.new))
        return None if old == new else self._event(Change(key, old, new))

    def _event(self, change: Change) -> Event | None:
        version = version_of_change(change, self.commit, self.finished_ns)
        return None if version is None else Event(change.key, -self.number, version)
