"""One commit of a line of commits: what it made of its parent's tree, compared while it is asked for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pfs.ids import CommitId
from pfs.trees.diff import Behind, Change, diff
from pfs.trees.row import PageSource, Root
from pfs.trees.tree import Tree
from s3api.versions.version import Event, version_of_change


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

    def event_of(self, pages: PageSource, key: bytes) -> Event | None:
        """Return what it did to one key, None if nothing; O(depth)."""
        old, new = (Tree(pages, root).stat(key, want="file") for root in (self.old, self.new))
        return None if old == new else self._event(Change(key, old, new))

    def _event(self, change: Change) -> Event | None:
        version = version_of_change(change, self.commit, self.finished_ns)
        return None if version is None else Event(change.key, -self.number, version)
