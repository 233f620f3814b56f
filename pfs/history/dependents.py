"""Who depends on a commit: its children in the repo, and what other repos made from it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from pfs.errors import ConflictError
from pfs.history.lineage import Lineage
from pfs.history.untouched import is_untouched
from pfs.ids import CommitId
from pfs.packs.commit_record import CommitRecord
from pfs.refs.body import is_hidden
from pfs.refs.edges import edges_to
from pfs.refs.read import RefsState

if TYPE_CHECKING:
    from pfs.store import Store


def children(store: Store, state: RefsState, commit: CommitId) -> list[CommitRecord]:
    """Return the commits that have ``commit`` among their parents, dropped ones too, squashed ones not.

    Parents are those that edges leave. Commits of hidden branches hold a job's output as a further parent, the first
    parent where nothing is left of their own branch, and are no children of it. In no order.
    """
    lineage = Lineage(store, state)
    own = store.history.find(state.repo, commit)
    by_record = {found.id for found in store.history.mentioning(state.repo, commit)}
    by_edge = edges_to(state.body, commit)
    found = []
    for id in by_record.union(by_edge) - {commit}:
        record = lineage.find(id, dropped_too=True)
        if record is None or (is_hidden(record.branch) and (own is None or record.branch != own.branch)):
            continue
        if commit in (record.parents[:1] if is_hidden(record.branch) else record.parents):
            found.append(record)
    return found


def made_from(store: Store, repo: str, commit: CommitId) -> Iterator[tuple[str, CommitId]]:
    """Yield repo and id of each commit of another repo, open or finished, that was made from ``repo@commit``.

    Open ones that the system began, and of which nobody made anything, are left out: they go when their sources do.
    """
    states = list(store.refs.repos())
    bodies = {state.repo: state.body for state in states}
    for state in states:
        if state.repo == repo:
            continue
        for id, entry in state.body.open.items():
            named = any((source[0], source[2]) == (repo, commit) for source in entry.provenance)
            if named and not is_untouched(bodies.get, state.repo, id):
                yield state.repo, id
        lineage = Lineage(store, state)
        for record in store.history.mentioning(state.repo, commit):
            named = any((source[0], source[2]) == (repo, commit) for source in record.provenance)
            if named and lineage.find(record.id) is not None:
                yield state.repo, record.id


def refuse_made_from(store: Store, repo: str, commit: CommitId, *, within: CommitId | None) -> None:
    """Raise ConflictError if a commit of another repo was made from this one; the set ``within`` does not count."""
    for other, id in made_from(store, repo, commit):
        if id != within:
            hint = f"squash or drop the whole set by its id, {id}" if id == commit else "drop that first"
            raise ConflictError(f"{other}@{id} was made from commit {repo}@{commit}: {hint}")
