"""The live commits of one repo as a graph in memory: what retention decides on. Some 300 bytes a commit."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

from pfs.history.reachable import live_commits
from pfs.ids import CommitId
from pfs.packs.commit_record import CommitRecord
from pfs.refs.body import is_hidden
from pfs.refs.edges import effective
from pfs.refs.read import RefsState

if TYPE_CHECKING:
    from pfs.store import Store


class Source(NamedTuple):
    """A commit that another was made from."""

    repo: str
    commit: CommitId


class Node(NamedTuple):
    """A live commit; ``parents`` are those that refs leave it."""

    id: CommitId
    branch: str
    parents: tuple[CommitId, ...]
    finished_ns: int
    provenance: tuple[Source, ...]


class Commits:
    """The finished commits that the refs of a repo lead to, at one moment."""

    def __init__(self, state: RefsState, nodes: Mapping[CommitId, Node]) -> None:
        self.state, self.nodes = state, nodes

    @classmethod
    def read(cls, store: Store, state: RefsState) -> Commits:
        """Return what refs lead to; one look-up in the index a commit.

        Raises:
            CorruptionError, MissingObjectError: a record cannot be read.
        """
        records = (found.record for found in live_commits(store.history, state))
        return cls(state, {record.id: _node(state, record) for record in records})

    @cached_property
    def children(self) -> Mapping[CommitId, list[CommitId]]:
        """The live commits that have a commit among their parents."""
        found = defaultdict[CommitId, list[CommitId]](list)
        for node in self.nodes.values():
            for parent in node.parents:
                found[parent].append(node.id)
        return found

    def chain(self, head: CommitId | None) -> Iterator[Node]:
        """Yield a commit, its first parent, that one's, and so on."""
        while head is not None:
            node = self.nodes[head]
            yield node
            head = self.first(node)

    def first(self, node: Node) -> CommitId | None:
        """Return the first parent, None without one; of a hidden commit just one of its own branch counts as that."""
        first = node.parents[0] if node.parents else None
        if first is not None and is_hidden(node.branch) and self.nodes[first].branch != node.branch:
            return None
        return first

    def others(self, node: Node) -> tuple[CommitId, ...]:
        """Return the parents but the first: what was merged, and the outputs that hidden commits hold."""
        return node.parents if self.first(node) is None else node.parents[1:]

    def above(self, commit: CommitId, gone: Collection[CommitId]) -> CommitId | None:
        """Return the next commit on the first-parent chain of ``commit``, itself not, that is not ``gone``."""
        return next((node.id for node in self.chain(commit) if node.id != commit and node.id not in gone), None)

    def reached(self, starts: Iterable[CommitId], gone: Collection[CommitId]) -> set[CommitId]:
        """Return what the starts lead to when the commits ``gone`` are passed over, as first parents."""
        todo, seen = list(starts), set[CommitId]()
        while todo:
            commit = todo.pop()
            if commit in seen:
                continue
            seen.add(commit)
            node = self.nodes[commit]
            first = self.first(node)
            if first in gone:
                first = self.above(commit, gone)
            todo += self.others(node) if first is None else (first, *self.others(node))
        return seen


def _node(state: RefsState, record: CommitRecord) -> Node:
    parents = effective(state.body, record).parents
    sources = tuple(Source(repo, CommitId(id)) for repo, _, id in record.provenance)
    return Node(record.id, record.branch, parents, record.finished_ns, sources)


def anchored_by_open(state: RefsState) -> list[CommitId]:
    """Return the commits that open ones stand on."""
    named = (commit for entry in state.body.open.values() for commit in (entry.parent, entry.onto))
    return [commit for commit in named if commit is not None]
