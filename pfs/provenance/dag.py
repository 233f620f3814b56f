"""The graph of branches: which is computed from which, over all repos; pure.

Hidden branches take no part. Within one connected part at most one branch of a repo takes part, so that a commit set
has one commit a repo.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping
from typing import TypeVar

from pfs.errors import ConflictError
from pfs.model import BranchRef
from pfs.refs.body import RefsBody, is_hidden

T = TypeVar("T", bound=Hashable)
Edges = Mapping[BranchRef, tuple[BranchRef, ...]]
"""Per branch the branches that it is computed from."""
Step = Callable[[BranchRef], tuple[BranchRef, ...]]


class Dag:
    """A graph of one moment."""

    def __init__(self, edges: Edges) -> None:
        self._above: dict[BranchRef, tuple[BranchRef, ...]] = {}
        self._below: dict[BranchRef, list[BranchRef]] = {}
        for target, sources in edges.items():
            self._above[target] = tuple(sources)
            for source in sources:
                self._below.setdefault(source, []).append(target)

    @classmethod
    def of(cls, bodies: Iterable[tuple[str, RefsBody]]) -> Dag:
        """Return the graph of repos given by name and refs."""
        return cls(edges_of(bodies))

    def sources(self, branch: BranchRef) -> tuple[BranchRef, ...]:
        """Return the direct provenance of a branch, in its order."""
        return self._above.get(branch, ())

    def dependents(self, branch: BranchRef) -> tuple[BranchRef, ...]:
        """Return the branches that are directly computed from one."""
        return tuple(self._below.get(branch, ()))

    def provenance(self, branch: BranchRef) -> list[BranchRef]:
        """Return all branches that one is computed from, through others too; sorted."""
        return sorted(_reach([branch], self.sources) - {branch})

    def subvenance(self, branch: BranchRef) -> list[BranchRef]:
        """Return all branches that are computed from one, through others too; sorted."""
        return sorted(_reach([branch], self.dependents) - {branch})

    def part(self, branch: BranchRef) -> set[BranchRef]:
        """Return the connected part of the graph that a branch is in, itself too."""
        return _reach([branch], lambda one: (*self.sources(one), *self.dependents(one)))

    def ordered(self, branches: Iterable[BranchRef]) -> list[BranchRef]:
        """Return branches so that each comes after those that it is computed from; by name where that is free."""
        wanted = set(branches)
        return [one for one in sources_first(sorted(wanted), lambda one: sorted(self.sources(one))) if one in wanted]

    def refuse_faults(self, branch: BranchRef) -> None:
        """Raise ConflictError if a branch is computed from itself, or two of one repo are in its part of the graph."""
        fault = self.fault(branch)
        if fault is not None:
            raise ConflictError(fault)

    def fault(self, branch: BranchRef) -> str | None:
        """Return what `refuse_faults` would say, or None."""
        if branch in _reach(self.sources(branch), self.sources):
            return f"{shown(branch)} would be computed from itself"
        first: dict[str, BranchRef] = {}
        for one in sorted(self.part(branch)):
            other = first.setdefault(one.repo, one)
            if other != one:
                return (
                    f"{shown(other)} and {shown(one)} would be connected by provenance, through {shown(branch)}: "
                    "only one branch of a repo can be, so use another repo, or a trigger"
                )
        return None


def sources_first(start: Iterable[T], sources: Callable[[T], Iterable[T]]) -> list[T]:
    """Return things, and all that is reached from them through ``sources``, each after its sources.

    Depth first, in the order given; in a circle one comes before a source. Not by recursion: chains may be longer than
    Python's stack.
    """
    done, begun = dict[T, None](), set[T]()
    for first in start:
        path = [(first, iter(sources(first)))] if first not in begun else []
        begun.add(first)
        while path:
            one, above = path[-1]
            following = next((source for source in above if source not in begun), None)
            if following is None:
                path.pop()
                done[one] = None
            else:
                begun.add(following)
                path.append((following, iter(sources(following))))
    return list(done)


def edges_of(bodies: Iterable[tuple[str, RefsBody]]) -> dict[BranchRef, tuple[BranchRef, ...]]:
    """Return the provenance of all branches, as refs have it."""
    return {
        BranchRef(repo, name): tuple(BranchRef(*source) for source in entry.provenance)
        for repo, body in bodies
        for name, entry in body.branches.items()
        if entry.provenance and not is_hidden(name)
    }


def shown(branch: BranchRef) -> str:
    """Return ``repo@branch``."""
    return f"{branch.repo}@{branch.branch}"


def _reach(start: Iterable[BranchRef], step: Step) -> set[BranchRef]:
    todo, seen = list(start), set[BranchRef]()
    while todo:
        one = todo.pop()
        if one not in seen:
            seen.add(one)
            todo += step(one)
    return seen
