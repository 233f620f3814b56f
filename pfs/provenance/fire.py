"""Firing triggers: the refs of a repo, with branches moved to a commit that their triggers make them follow."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice, takewhile
from typing import TYPE_CHECKING

from pfs.history.linked import Found
from pfs.ids import CommitId
from pfs.packs.commit_record import CommitRecord
from pfs.provenance.trigger import Step, fires, followers
from pfs.refs.body import HEAD, BranchEntry, RefsBody, TrashEntry, pointed, with_branch, with_trash

if TYPE_CHECKING:
    from pfs.store import Store


class Firing:
    """The triggers of one repo; ``new``: commits that are about to be published and that the index does not know."""

    def __init__(self, store: Store, repo: str, new: Sequence[Found] = ()) -> None:
        self._store, self._repo = store, repo
        self._new = {found.record.id: found.record for found in new}

    def after(self, body: RefsBody, branch: str, found: Found) -> RefsBody:
        """Return the body after a branch got a finished commit as head: followers move, then theirs, and so on.

        Costs nothing where no trigger watches the branch; else what its conditions ask for: commits are counted
        up to the number wanted.
        """
        for name in followers(body.branches, branch):
            entry = body.branches[name]
            trigger = entry.trigger
            if trigger is not None and entry.head != found.record.id and fires(trigger, self._step(entry, found)):
                body = self.after(self.moved(body, name, found), name, found)
        return body

    def moved(self, body: RefsBody, branch: str, found: Found) -> RefsBody:
        """Return the body with a branch at a commit; an old head that this leaves behind goes to the trash."""
        old, now_ns = body.branches[branch], self._store.clock_ns()
        target = BranchEntry(head=found.record.id, pack=found.pack.hex())
        body = with_branch(body, branch, pointed(old, target, now_ns=now_ns))
        if old.head is None or any(record.id == old.head for record in self._back_from(found.record)):
            return body
        return with_trash(body, branch, TrashEntry(branch=old, deleted=now_ns, kind=HEAD, onto=target.head))

    def _step(self, entry: BranchEntry, found: Found) -> Step:
        old = None if entry.head is None else self._record(entry.head)
        return Step(
            old_bytes=0 if old is None else old.root.size,
            new_bytes=found.record.root.size,
            old_finished_ns=entry.created if old is None else old.finished_ns,
            new_finished_ns=found.record.finished_ns,
            commits=lambda count: self._has(count, found.record, entry.head),
        )

    def _has(self, count: int, record: CommitRecord, head: CommitId | None) -> bool:
        """Say whether at least ``count`` commits lie between a commit, itself too, and a head."""
        since = takewhile(lambda one: one.id != head, self._back_from(record))
        return sum(1 for _ in islice(since, count)) == count

    def _record(self, commit: CommitId) -> CommitRecord:
        return self._new.get(commit) or self._store.history.get(self._repo, commit)

    def _back_from(self, record: CommitRecord) -> Iterator[CommitRecord]:
        """Yield a commit, its first parent, that one's, and so on."""
        yield record
        while record.parents and record.parents[0] in self._new:
            record = self._new[record.parents[0]]
            yield record
        if record.parents:
            yield from self._store.history.first_parents(self._repo, record.parents[0])
