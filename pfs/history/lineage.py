"""The commits of a repo as its refs have them: squashed and dropped ones left out, parents through edges.

A value of one moment: it is made from a refs body, and costs nothing until it is asked. Thread-safe in so far as
threads may work the same thing out twice.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import TYPE_CHECKING

from pfs.errors import CommitNotFoundError
from pfs.history.live import live_names
from pfs.history.reachable import bare_heads
from pfs.ids import CommitId
from pfs.packs.commit_record import CommitRecord
from pfs.refs.body import DROPPED
from pfs.refs.edges import effective, squashed, squashed_into
from pfs.refs.read import RefsState

if TYPE_CHECKING:
    from pfs.store import Store


class Lineage:
    """The finished commits of one repo."""

    def __init__(self, store: Store, state: RefsState) -> None:
        self._history, self._repo, self._state, self._body = store.history, state.repo, state, state.body

    def find(self, commit: CommitId, *, dropped_too: bool = False) -> CommitRecord | None:
        """Return the record of a commit that is there, with its present parents; None for any other."""
        if (commit in self.dropped and not dropped_too) or self._taken_over(commit) is not None:
            return None
        record = self._history.find(self._repo, commit)
        return None if record is None else effective(self._body, record)

    def get(self, commit: CommitId) -> CommitRecord:
        """Return the record of a commit that is there; raises CommitNotFoundError."""
        record = self.find(commit)
        if record is None:
            raise CommitNotFoundError(self._repo, commit)
        return record

    def survivor(self, commit: CommitId) -> CommitId | None:
        """Return the commit that an id means: itself, the child that took it over, or None."""
        commit = self.heir(commit) or commit
        return None if self.find(commit) is None else commit

    def heir(self, commit: CommitId) -> CommitId | None:
        """Return the child that took a squashed commit over in the end, dropped since or not; None if it is there."""
        heir = self._taken_over(commit)
        while heir is not None and (child := self._taken_over(heir)) is not None:
            heir = child
        return heir

    def records(self) -> Iterator[CommitRecord]:
        """Yield every commit that is there, in no order; hidden branches and failed commits included."""
        for record in self._history.records(self._repo):
            if record.id not in self.dropped and record.id not in self.squashed:
                yield effective(self._body, record)

    def led_to(self) -> Iterator[CommitRecord]:
        """Yield, of `records`, what something leads to; all, where a record on the way is lost.

        An index may know more: what retention took away by another machine, or by a process that died right then, goes
        from it with the next collection. Memory: all records.
        """
        known = {record.id: effective(self._body, record) for record in self._history.records(self._repo)}
        todo, seen = [*live_names(self._body), *bare_heads(self._state)], set[CommitId]()
        while todo:
            commit = todo.pop()
            if commit not in seen:
                seen.add(commit)
                todo += known[commit].parents if commit in known else ()
        shown = known if seen - known.keys() else seen
        for commit in shown:
            if commit not in self.dropped and commit not in self.squashed:
                yield known[commit]

    @cached_property
    def dropped(self) -> frozenset[CommitId]:
        """The commits that were dropped and not brought back."""
        trash = self._body.trash.values()
        return frozenset(e.branch.head for e in trash if e.kind == DROPPED and e.branch.head is not None)

    @cached_property
    def squashed(self) -> Mapping[CommitId, CommitId]:
        """The commits that were squashed, each with the child that took it over; what a name leads to again is none."""
        return {commit: child for commit, child in squashed(self._body).items() if commit not in self._named}

    @cached_property
    def _named(self) -> frozenset[CommitId]:
        opened = (commit for entry in self._body.open.values() for commit in (entry.parent, entry.onto))
        return frozenset({*self._body.heads(), *(commit for commit in opened if commit is not None)})

    def _taken_over(self, commit: CommitId) -> CommitId | None:
        """Return the child that took a commit over, None if the commit is there itself; O(log n)."""
        return None if commit in self._named else squashed_into(self._body, commit)
