"""Merge, revert, cherry-pick and rebase, done to the model: three-way merges of dictionaries."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from pfs.errors import BranchNotFoundError, ConflictError, InvalidInputError, MergeConflictError
from tests.pfs.machine.following import fire, move
from tests.pfs.machine.state import Commit, Files, Refused, Repo, World, three_way, with_file
from tests.pfs.machine.verbs import Done, new_ids, nothing
from tests.pfs.machine.writing import add

Side = Literal["ours", "theirs"]


def _head(repo: Repo, branch: str) -> str | None:
    """Return the head of a branch that may be written to."""
    if branch in repo.tags:
        raise Refused(ConflictError)
    if branch not in repo.branches:
        raise Refused(BranchNotFoundError)
    if repo.open_on(branch) is not None:
        raise Refused(ConflictError)
    return repo.branches[branch]


def _source(repo: Repo, commit: str, *, failed: bool = False) -> Commit:
    if commit in repo.opens:
        raise Refused(ConflictError)
    found = repo.find(commit)
    if found.error and not failed:
        raise Refused(ConflictError)
    return found


def _merged(base: Files, ours: Files, theirs: Files, side: Side | None) -> Files:
    files, conflicts = three_way(base, ours, theirs)
    if conflicts and side is None:
        raise Refused(MergeConflictError)
    for path in conflicts if side == "theirs" else []:
        files = with_file(files, path, theirs.get(path))
    return files


def _one(world: World, repo: Repo, branch: str, files: Files, parents: tuple[str, ...]) -> Done:
    """Return what adds one new commit to a branch."""

    def done(answer: object) -> None:
        (id,) = new_ids(answer)
        add(world, repo, Commit(id, branch, files, 0, parents[0] if parents else None, parents[1:]))

    return done


def merge(world: World, name: str, source: str, branch: str, side: Side | None) -> Done:
    repo = world.repo(name)
    theirs = _source(repo, source)
    head = _head(repo, branch)
    if head is None:
        return _one(world, repo, branch, theirs.files, (theirs.id,))
    base = repo.merge_base(head, theirs.id)
    if base == theirs.id:
        return nothing
    files = _merged(repo.files(base), repo.files(head), theirs.files, side)
    return _one(world, repo, branch, files, (head, theirs.id))


def revert(world: World, name: str, commit: str, branch: str, side: Side | None) -> Done:
    repo = world.repo(name)
    undone = _source(repo, commit, failed=True)
    head = _head(repo, branch)
    if head is None or undone.id not in repo.ancestors(head):
        raise Refused(InvalidInputError)
    return _apply(world, repo, branch, (undone.files, _before(repo, undone)), side)


def cherry_pick(world: World, name: str, commit: str, branch: str, side: Side | None) -> Done:
    repo = world.repo(name)
    picked = _source(repo, commit)
    _head(repo, branch)
    return _apply(world, repo, branch, (_before(repo, picked), picked.files), side)


def _apply(world: World, repo: Repo, branch: str, change: tuple[Files, Files], side: Side | None) -> Done:
    head = repo.branches[branch]
    files = _merged(change[0], repo.files(head), change[1], side)
    if files == repo.files(head):
        return nothing
    return _one(world, repo, branch, files, () if head is None else (head,))


def rebase(world: World, name: str, onto: str, branch: str, side: Side | None) -> Done:
    repo = world.repo(name)
    base = _source(repo, onto)
    head = _head(repo, branch)
    if head is not None and base.id in repo.ancestors(head):
        return nothing
    made = _replayed(repo, head, base, side)
    if not made:
        return lambda _: move(repo, branch, base.id)

    def done(answer: object) -> None:
        above, old_head = base.id, repo.branches[branch]
        for id, (old, files) in zip(new_ids(answer), made, strict=True):
            commit = Commit(id, branch, files, world.next_order(), above, made_from=old.made_from)
            repo.commits[id], above = commit, id
            fire(repo, branch, id)
        repo.branches[branch] = old_head
        move(repo, branch, above)

    return done


def _replayed(repo: Repo, head: str | None, base: Commit, side: Side | None) -> list[tuple[Commit, Files]]:
    """Return the commits that are put on ``base``, each with its new files, oldest first."""
    there, own = repo.ancestors(base.id), list[Commit]()
    for commit in repo.chain(head):
        if commit.id in there:
            break
        own.append(commit)
    made, files = list[tuple[Commit, Files]](), base.files
    for old in reversed(own):
        after = _merged(_before(repo, old), files, old.files, side)
        if after != files:
            made.append((old, after))
            files = after
    return made


def _before(repo: Repo, commit: Commit) -> Files:
    """Return the files of a commit's parent."""
    return repo.files(commit.parents[0]) if commit.parents else {}


VERBS: dict[str, Callable[[World, str, str, str, Side | None], Done]] = {
    "merge": merge,
    "revert": revert,
    "cherry_pick": cherry_pick,
    "rebase": rebase,
}
"""Each takes the repo, the commit, the branch, and the side that wins."""
