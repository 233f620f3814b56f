"""Branches that follow others: triggers inside a repo, and one branch that is computed from that of another repo."""

from __future__ import annotations

from itertools import takewhile

from tests.pfs.machine.state import Open, Repo, Trash, World

OUT = "p"
"""The repo of the computed branch; no other rule writes to it."""
BRANCH = "out"
FOLLOWER = "follow"
"""The branch with a trigger, in any repo; no other rule writes to it."""


def move(repo: Repo, branch: str, target: str) -> None:
    """Set a head; what it leaves behind goes to the trash."""
    old = repo.branches.get(branch)
    repo.branches[branch] = target
    if old is not None and old not in [commit.id for commit in repo.chain(target)]:
        repo.trash.append(Trash(branch, "head", old, target))


def fire(repo: Repo, branch: str, commit: str) -> None:
    """Move the branch that waits for so many commits of another, once they came."""
    if repo.follows is None or repo.follows[0] != branch or repo.branches[FOLLOWER] == commit:
        return
    since = takewhile(lambda one: one.id != repo.branches[FOLLOWER], repo.chain(commit))
    if len(list(since)) >= repo.follows[1]:
        move(repo, FOLLOWER, commit)


def untouched(repo: Repo) -> list[str]:
    """Return the open commits that make room for newer ones."""
    return [id for id, entry in repo.opens.items() if entry.auto and not entry.written]


def pull(world: World, opened: list[str]) -> None:
    """Bring the computed branch up to date; ``opened`` are the open commits that the store shows on it."""
    if world.source is None:
        return
    out, at = world.repos[OUT], world.repos[world.source].branches.get("master")
    if at == world.seen:
        return
    world.seen = at
    for id in untouched(out):
        del out.opens[id]
    made_from = () if at is None else ((world.source, at),)
    head = out.branches[BRANCH]
    newest = next(reversed(out.opens.values()), None) or (None if head is None else out.commits[head])
    if not made_from or (newest is not None and newest.made_from == made_from):
        return
    (id,) = set(opened) - set(out.opens)
    files = out.files(head)
    out.opens[id] = Open(BRANCH, head, head, files, files, world.next_order(), made_from, auto=True)
