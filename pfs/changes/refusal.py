"""Branches that a writer must leave alone; for every write, so this needs nothing but a refs body."""

from __future__ import annotations

from pfs.errors import ConflictError
from pfs.refs.body import RefsBody


def refuse_output(repo: str, body: RefsBody, branch: str) -> None:
    """Raise ConflictError if the branch is computed from others: only its pipeline writes to it.

    One without a pipeline is written to in the commits that are opened when its sources move.
    """
    entry = body.branches.get(branch)
    if entry is not None and entry.pipeline:
        raise ConflictError(f"{repo}@{branch} is the output of a pipeline: write to another branch or repo")
    if entry is not None and entry.provenance:
        sources = ", ".join(f"{source[0]}@{source[1]}" for source in entry.provenance)
        raise ConflictError(f"{repo}@{branch} is computed from {sources}: it takes files when that gets a new commit")


def refuse_tag(repo: str, body: RefsBody, name: str) -> None:
    """Raise ConflictError if the name is that of a tag: tags do not move, and take no writes."""
    if name in body.tags:
        raise ConflictError(f"{repo}@{name} is a tag, which never moves: name a branch")
