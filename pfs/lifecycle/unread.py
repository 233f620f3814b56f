"""What pipelines have yet to read: no rule removes a commit for which a job is still due.

Where a pipeline stands only the layer above knows, which tells it as `Unread`. A pipeline of which nobody tells (it was
made since, it is damaged, or nobody was asked) may have to read all that there is of the branches it is made from.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple, TypeAlias

from pfs.ids import CommitId
from pfs.refs.read import RefsState


class Unread(NamedTuple):
    """The pipeline of the repo ``reader`` has read ``branch`` of ``repo`` up to ``since``; None: nothing of it."""

    reader: str
    repo: str
    branch: str
    since: CommitId | None


Readers: TypeAlias = Callable[[], Iterable[Unread]]
"""Says where pipelines stand. Asked before refs are read: what comes after that is unread then, and stays."""
Since: TypeAlias = tuple[str, CommitId | None]
"""A branch, and the commit up to which it was read."""


def nobody() -> tuple[Unread, ...]:
    """Tell of no pipeline."""
    return ()


def unread_in(states: Sequence[RefsState], told: Iterable[Unread]) -> Mapping[str, list[Since]]:
    """Return by repo which branches are read, and up to where they were; pure."""
    found, known = defaultdict[str, list[Since]](list), set[str]()
    for one in told:
        known.add(one.reader)
        found[one.repo].append((one.branch, one.since))
    for state in states:
        entries = state.body.branches.values() if state.repo not in known else ()
        for repo, branch in (source for entry in entries if entry.pipeline for source in entry.provenance):
            found[repo].append((branch, None))
    return found
