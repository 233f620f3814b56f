"""Who may write to the output of a pipeline by hand: its own spout; and what that writes is made from its code.

A spout is a command that runs on and commits what it receives; a store that it opens writes as that spout
(pfs/spout.py). The commit of the code fences it: what is left of one whose pipeline was updated or stopped writes
nothing any more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pfs.changes.refusal import refuse_output
from pfs.model import Provenance
from pfs.refs.body import BranchEntry, RefsBody
from pfs.spout import CODE_BRANCH

if TYPE_CHECKING:
    from pfs.store import Store


def provenance_by_hand(store: Store, repo: str, body: RefsBody, branch: str) -> tuple[Provenance, ...]:
    """Return what a commit that is made by hand on a branch is made from: nothing, but for that of a spout.

    Raises:
        ConflictError: the branch is computed from others, or is the output of a pipeline, and this is not its spout.
    """
    entry, spout = body.branches.get(branch, BranchEntry()), store.spout
    if entry.spout and spout is not None and spout.repo == repo:
        code = body.branches.get(CODE_BRANCH, BranchEntry()).head
        if code == spout.code:
            return (Provenance(repo, CODE_BRANCH, spout.code),)
    refuse_output(repo, body, branch)
    return ()


def require_spout(store: Store, repo: str, body: RefsBody, branch: str) -> None:
    """Raise ConflictError if the branch is a spout's, and this is not that spout, or not any more."""
    if body.branches.get(branch, BranchEntry()).spout:
        provenance_by_hand(store, repo, body, branch)
