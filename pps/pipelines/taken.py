"""Whether the name of a new pipeline is free."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pfs.errors import AlreadyExistsError
from pps.model.records import SPEC_BRANCH

if TYPE_CHECKING:
    from pfs.refs.body import RefsBody
    from pfs.store import Store


def refuse_taken(store: Store, name: str, *, description: str) -> bool:
    """Say whether the repo of a new pipeline is there, because an earlier create was interrupted.

    ``description``: what a repo says that was made for the pipeline; by that it is known until it is bound.

    Raises:
        AlreadyExistsError: a pipeline or another repo has the name.
    """
    state = store.refs.find(name)
    if state is None:
        return False
    if SPEC_BRANCH in state.body.branches:
        raise AlreadyExistsError("pipeline", name)
    if not (_is_interrupted(state.body) or _is_unbound(state.body, description)):
        raise AlreadyExistsError("repo", name)
    return True


def _is_unbound(body: RefsBody, description: str) -> bool:
    """Say whether a repo is what `create` makes first: nothing but a description, that of the pipeline."""
    return body.description == description and not (body.branches or body.open or body.tags)


def _is_interrupted(body: RefsBody) -> bool:
    """Say whether a repo is what `create` makes before the pipeline exists: bound branches, and no commit."""
    branches = body.branches.values()
    fresh = not body.open and not body.tags and all(entry.head is None for entry in branches)
    return fresh and any(entry.pipeline for entry in branches)
