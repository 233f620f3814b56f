"""The commits of a repo as its refs have them: squashed and dropped ones left out, parents through edges.

A value of one moment: it is made from a refs body, and costs nothing until it is asked. Thread-safe in so far as
threads may work the same thing out twice.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import TYPE_CHECKING

from pfs.errors import CommitNotFoundError
from pfs.ids import CommitId
from pfs.packs.commit_record import CommitRecord
from pfs.refs.body import DROPPED, is_hidden
from pfs.refs.edges import effective
from pfs.refs.swap import RefsState

if TYPE_CHECKING:
    from pfs.store import Store


class Lineage:
    """The finished commits of one repo."""

    def __init__(self, store: Store, state: RefsState) -> None:
        self._history, self._repo, self._body = store.history, state.repo, state.body

    def find(self, commit: CommitId, *, dropped_too: bool = False) -> CommitRecord | None:
        """Return the record of a commit that is there, with its present parents; None for any other."""
        if commit in self.squashed or (commit in self.dropped and not dropped_too):
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
        meant = self.squashed.get(commit, commit)
        return None if self.find(meant) is None else meant

    def records(self) -> Iterator[CommitRecord]:
        """Yield every commit that is there, in no order; hidden branches and failed commits included."""
        for record in self._history.records(self._repo):
            if record.id not in self.dropped and record.id not in self.squashed:
                yield effective(self._body, record)

    @cached_property
    def dropped(self) -> frozenset[CommitId]:
        """The commits that were dropped and not brought back."""
        trash = self._body.trash.values()
        return frozenset(e.branch.head for e in trash if e.kind == DROPPED and e.branch.head is not None)

    @cached_property
    def squashed(self) -> Mapping[CommitId, CommitId]:
        """The commits that edges pass over, each with the child that took it over."""
        found = dict[CommitId, CommitId]()
        for child, above in self._body.edges.items():
            found.update((passed, CommitId(child)) for passed in self._passed(CommitId(child), above))
        if not found:
            return found
        live = self._reachable()
        return {passed: child for passed, child in found.items() if passed not in live}

    def _passed(self, child: CommitId, above: str | None) -> Iterator[CommitId]:
        """Yield the commits between a child and the parent that edges give it, as far as their records are known."""
        record = self._history.find(self._repo, child)
        while record is not None and record.parents and record.parents[0] != above:
            yield record.parents[0]
            record = self._history.find(self._repo, record.parents[0])

    def _reachable(self) -> set[CommitId]:
        """Return what refs lead to, outputs that are held for hidden branches' sake not counted."""
        todo = [*self._body.heads(), *(entry.parent for entry in self._body.open.values() if entry.parent is not None)]
        seen = set[CommitId]()
        while todo:
            commit = todo.pop()
            record = None if commit in seen else self._history.find(self._repo, commit)
            seen.add(commit)
            if record is not None:
                parents = effective(self._body, record).parents
                todo += parents[:1] if is_hidden(record.branch) else parents
        return seen
