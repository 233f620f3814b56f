"""Ids of what one move brings about: everywhere the same, whoever works it out, and again after a crash."""

from __future__ import annotations

from blake3 import blake3
from msgspec import Struct

from pfs.ids import CommitId
from pfs.refs.body import BranchEntry, RefsBody


class Cause(Struct, frozen=True):
    """Why a branch has to be made anew: ``id`` for the commits of it, ``spare`` where a repo has that id already."""

    id: CommitId
    spare: CommitId
    at_ns: int


def position(body: RefsBody | None, branch: str) -> CommitId | None:
    """Return where a branch stands for others: at the newest commit that the system opened on it, or at its head."""
    if body is None or branch not in body.branches:
        return None
    opened = [commit for commit in body.all_open_on(branch) if body.open[commit].origin == "auto"]
    return opened[-1] if opened else body.branches[branch].head


def cause(repo: str, body: RefsBody, branch: str) -> Cause | None:
    """Return what brought a branch to its `position`; None: it has none."""
    at = position(body, branch)
    opened = None if at is None else body.open.get(at)
    if at is not None and opened is not None:
        return Cause(at, spare_id(repo, branch, at, at_ns=0), opened.started)
    return head_cause(repo, branch, body.branches[branch])


def head_cause(repo: str, branch: str, entry: BranchEntry) -> Cause | None:
    """Return what brought a branch to its head: the commit, or a move that has a name. None: no head."""
    if entry.head is None:
        return None
    spare = spare_id(repo, branch, entry.head, at_ns=entry.updated)
    return Cause(entry.move or entry.head, spare, entry.updated)


def spare_id(repo: str, branch: str, commit: CommitId, *, at_ns: int) -> CommitId:
    """Return the id for what a branch coming to a commit at a time brings about, where the commit's own is taken."""
    text = f"{repo}@{branch}={commit} {at_ns}"
    return CommitId(blake3(text.encode(), derive_key_context="pfs move v1").hexdigest()[:32])
