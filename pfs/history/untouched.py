"""Open commits that the system began and nobody made anything of: they make room for newer ones."""

from __future__ import annotations

from collections.abc import Callable

from pfs.ids import CommitId
from pfs.refs.body import RefsBody

Read = Callable[[str], RefsBody | None]
"""Returns the refs of a repo; None: there is no such repo."""


def is_untouched(read: Read, repo: str, commit: CommitId) -> bool:
    """Say whether an open commit was opened by the system, was not written to, and nothing that was is made from it.

    Whatever is made from it is found through ``feeds`` of its branch: one read of refs for each repo downstream.
    """
    body = read(repo)
    entry = None if body is None else body.open.get(commit)
    if body is None or entry is None or entry.origin != "auto" or entry.written:
        return False
    branch = body.branches.get(entry.branch)
    feeds = () if branch is None else branch.feeds
    below = ((other, id) for other, name in feeds for id in _made_from(read(other), name, (repo, entry.branch, commit)))
    return all(is_untouched(read, other, id) for other, id in below)


def _made_from(body: RefsBody | None, branch: str, source: tuple[str, str, str]) -> list[CommitId]:
    """Return the open commits of a branch that are made from a commit."""
    if body is None:
        return []
    return [commit for commit in body.all_open_on(branch) if source in body.open[commit].provenance]
