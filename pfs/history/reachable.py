"""The commits that a refs body makes live: what its heads, tags, trash and open commits lead to, by all parents."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from pfs.errors import MissingObjectError
from pfs.history.linked import Found
from pfs.ids import CommitId
from pfs.packs.commit_record import RecordLink
from pfs.refs.edges import effective, record_homes
from pfs.refs.read import RefsState

if TYPE_CHECKING:
    from pfs.history.records import History


def live_commits(history: History, state: RefsState) -> Iterator[Found]:
    """Yield each finished commit once, in no order, with its record as it is stored; memory: their ids.

    Raises:
        MissingObjectError, CorruptionError: the record of one cannot be read.
        StorageError: a pack cannot be read.
    """
    body, linked, seen = state.body, history.linked(state.repo), set[CommitId]()
    homes = record_homes(body) | body.heads()
    links = [RecordLink(commit, pack) for commit, pack in body.heads().items()]
    # Bare ones last: of a deleted repo the index knows no commits, and mostly a head leads to them.
    todo: list[RecordLink | CommitId] = [*bare_heads(state), *links]
    while todo:
        item = todo.pop()
        commit = item.commit if isinstance(item, RecordLink) else item
        if commit in seen:
            continue
        seen.add(commit)
        found = history.known(state.repo, commit)
        if found is None or homes.get(commit, found.pack) != found.pack:
            if not isinstance(item, RecordLink):
                raise MissingObjectError(f"commit {state.repo}@{commit}", "refs name it, and its record is in no pack")
            found = linked.read(body, item)
        yield found
        todo += effective(body, found.record).parents_in(found.pack)


def bare_heads(state: RefsState) -> set[CommitId]:
    """Return the commits that a body names without the pack of their record."""
    body = state.body
    entries = [*body.branches.values(), *body.tags.values(), *(item.branch for item in body.trash.values())]
    named = {entry.head for entry in entries if entry.pack is None}
    named |= {commit for entry in body.open.values() for commit in (entry.parent, entry.onto)}
    return {commit for commit in named if commit is not None}
