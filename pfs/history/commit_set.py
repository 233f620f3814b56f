"""Commit sets: the commits of all repos with one id, the one that a user made and all that it caused."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from pfs.errors import InvalidInputError, NotFoundError
from pfs.history.lineage import Lineage
from pfs.history.resolve import MIN_PREFIX, open_info
from pfs.ids import CommitId, is_commit_id
from pfs.model import CommitInfo, CommitSetInfo
from pfs.refs.body import is_hidden
from pfs.refs.read import RefsState
from pfs.shorten import quoted

if TYPE_CHECKING:
    from pfs.store import Store

_PREFIX = rf"[0-9a-f]{{{MIN_PREFIX},32}}"


def members(store: Store, commit: CommitId) -> Iterator[tuple[RefsState, CommitInfo]]:
    """Yield the commits of an id, open and failed ones included, each with the refs of its repo; by repo name."""
    for state in store.refs.repos():
        entry = state.body.open.get(commit)
        record = None if entry is not None else Lineage(store, state).find(commit)
        if entry is not None:
            yield state, open_info(state.repo, commit, entry)
        elif record is not None:
            yield state, record.info()


def commit_set(store: Store, text: str) -> CommitSetInfo:
    """Return the set that an id, or an unambiguous prefix of 6 or more digits, names.

    Raises:
        InvalidInputError: it is no id, or several start with it. NotFoundError: no repo has such a commit.
    """
    commit = find_id(store, text)
    found = [info for _, info in members(store, commit)]
    if not found:
        raise NotFoundError(f"no repo has a commit {text}")
    return _info(commit, found)


def commit_sets(store: Store) -> list[CommitSetInfo]:
    """Return every set, the newest first; commits of hidden branches left out. Memory: all commits of the store."""
    found: dict[CommitId, list[CommitInfo]] = {}
    for info in _all(store):
        found.setdefault(info.id, []).append(info)
    sets = (_info(commit, commits) for commit, commits in found.items())
    return sorted(sets, key=lambda one: (-one.created_ns, one.id))


def find_id(store: Store, text: str) -> CommitId:
    """Return the full id of a set; a full id is taken as it is. Errors as `commit_set`."""
    if not re.fullmatch(_PREFIX, text):
        raise InvalidInputError(f"{quoted(text)} is no commit id: write 6 or more of its hex digits, or repo@commit")
    if is_commit_id(text):
        return CommitId(text)
    fitting = sorted({info.id for info in _all(store) if info.id.startswith(text)})
    if not fitting:
        raise NotFoundError(f"no repo has a commit {text}")
    if len(fitting) > 1:
        raise InvalidInputError(f"{text} is ambiguous: it starts {', '.join(id[:12] for id in fitting)}")
    return fitting[0]


def _all(store: Store) -> Iterator[CommitInfo]:
    for state in store.refs.repos():
        yield from (open_info(state.repo, commit, entry) for commit, entry in state.body.open.items())
        yield from (record.info() for record in Lineage(store, state).records() if not is_hidden(record.branch))


def _info(commit: CommitId, found: list[CommitInfo]) -> CommitSetInfo:
    ends = [info.finished_ns for info in found if info.finished_ns is not None]
    finished_ns = max(ends) if len(ends) == len(found) else None
    return CommitSetInfo(commit, tuple(found), min(info.started_ns for info in found), finished_ns)
