"""What each operation does to the model. A verb says first whether the store refuses; else it gives what is to be done.

What it gives is called with the answer of the store, which brings the ids of new commits.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pfs.errors import (
    AlreadyExistsError,
    BranchNotFoundError,
    ConflictError,
    NotFoundError,
    RepoNotFoundError,
    TagNotFoundError,
)
from tests.pfs.machine.following import FOLLOWER, move
from tests.pfs.machine.state import Refused, Repo, Trash, World

Done = Callable[[object], None]


def nothing(_: object) -> None:
    """What is to be done where nothing changes."""


# repos


def create_repo(world: World, name: str) -> Done:
    if name in world.repos:
        raise Refused(AlreadyExistsError)
    return lambda _: world.repos.update({name: Repo(name)})


def delete_repo(world: World, name: str) -> Done:
    repo = world.repo(name)
    if name == world.source:
        raise Refused(ConflictError)

    def done(_: object) -> None:
        world.graves[name] = repo
        del world.repos[name]

    return done


def undelete_repo(world: World, name: str) -> Done:
    if name in world.repos:
        raise Refused(AlreadyExistsError)
    if name not in world.graves:
        raise Refused(RepoNotFoundError)
    return lambda _: world.repos.update({name: world.graves.pop(name)})


# branches and tags


def movable(repo: Repo, commit: str) -> str:
    if commit in repo.opens or repo.find(commit).error:
        raise Refused(ConflictError)
    return commit


def create_branch(world: World, name: str, branch: str, head: str | None) -> Done:
    repo = world.repo(name)
    target = None if head is None else movable(repo, head)
    if branch in repo.tags:
        raise Refused(ConflictError)

    def done(_: object) -> None:
        if target is None:
            repo.branches.setdefault(branch, None)
        else:
            move(repo, branch, target)

    return done


def delete_branch(world: World, name: str, branch: str) -> Done:
    repo = world.repo(name)
    if branch not in repo.branches:
        raise Refused(BranchNotFoundError)
    followed = repo.follows is not None and repo.follows[0] == branch and FOLLOWER in repo.branches
    if repo.open_on(branch) is not None or followed or (name, branch) == (world.source, "master"):
        raise Refused(ConflictError)
    return lambda _: repo.trash.append(Trash(branch, "branch", repo.branches.pop(branch)))


def create_tag(world: World, name: str, tag: str, commit: str) -> Done:
    repo = world.repo(name)
    movable(repo, commit)
    if tag in repo.branches or repo.tags.get(tag, commit) != commit:
        raise Refused(AlreadyExistsError)
    return lambda _: repo.tags.update({tag: commit})


def delete_tag(world: World, name: str, tag: str) -> Done:
    repo = world.repo(name)
    if tag not in repo.tags:
        raise Refused(TagNotFoundError)
    return lambda _: repo.trash.append(Trash(tag, "tag", repo.tags.pop(tag)))


def undelete(world: World, name: str, wanted: str) -> Done:
    """Put back what was last taken away under a name, or a dropped commit by id."""
    repo = world.repo(name)
    named = [entry for entry in repo.trash if entry.name == wanted][-1:]
    found = named or [entry for entry in repo.trash if entry.kind == "dropped" and entry.head == wanted]
    if not found:
        raise Refused(NotFoundError)
    if named:
        _refuse_put_back(repo, named[0])

    def done(_: object) -> None:
        for entry in found:
            _put_back(repo, entry)

    return done


def _refuse_put_back(repo: Repo, entry: Trash) -> None:
    if entry.kind in ("branch", "tag"):
        if entry.name in repo.branches or entry.name in repo.tags:
            raise Refused(AlreadyExistsError)
    elif repo.branches.get(entry.name) != entry.onto and entry.name != entry.head:
        raise Refused(ConflictError)


def _put_back(repo: Repo, entry: Trash) -> None:
    for other in repo.trash:
        if other.kind == "dropped" and other.head == entry.head:
            other.kind = "head"
    if entry.kind == "tag" and entry.head is not None:
        repo.tags[entry.name] = entry.head
    elif entry.name.startswith(".failed-") and entry.head is not None:
        repo.failed.add(entry.head)
    elif entry.kind == "branch":
        repo.branches[entry.name] = entry.head
    elif entry.name == entry.head or repo.branches.get(entry.name) != entry.onto:
        return  # it is found by its id again, and stays in the trash
    else:
        left, repo.branches[entry.name] = repo.branches.get(entry.name), entry.head
        if left is not None and left not in [commit.id for commit in repo.chain(entry.head)]:
            repo.trash.append(Trash(left, "head", left))
    repo.trash.remove(entry)


def follow(world: World, name: str, watched: str, commits: int) -> Done:
    """Let a branch wait for so many commits of another."""
    repo = world.repo(name)

    def done(_: object) -> None:
        repo.follows = (watched, commits)
        repo.branches.setdefault(FOLLOWER, None)

    return done


# history


def squash(world: World, name: str, commit: str) -> Done:
    repo = world.repo(name)
    refuse_squash(world, repo, commit, within=None)
    return lambda _: take_out(repo, commit)


def refuse_squash(world: World, repo: Repo, commit: str, *, within: str | None) -> None:
    _refuse_held(repo, commit)
    found, children = repo.commits[commit], repo.children(commit)
    based = any(commit in (entry.parent, entry.onto) for entry in repo.opens.values())
    heads = commit in repo.branches.values()
    merged = any(commit in child.merged for child in children)
    if found.error or heads or based or merged or not children or world.made_from(repo.name, commit) - {within}:
        raise Refused(ConflictError)


def take_out(repo: Repo, commit: str) -> None:
    """Give the children of a commit its first parent."""
    children, parents = repo.children(commit), repo.commits[commit].parents
    for child in children:
        child.first = parents[0] if parents else None
    dropped, branch = repo.dropped(), repo.commits[commit].branch
    repo.took[commit] = max(children, key=lambda one: (one.id not in dropped, one.branch == branch, one.id)).id


def _refuse_held(repo: Repo, commit: str) -> None:
    if commit in repo.opens:
        raise Refused(ConflictError)
    repo.find(commit)
    if commit in repo.tags.values():
        raise Refused(ConflictError)


def drop(world: World, name: str, commit: str) -> Done:
    repo = world.repo(name)
    if commit in repo.opens:
        return lambda _: nothing(repo.opens.pop(commit))
    refuse_drop(world, repo, commit, within=None)
    return lambda _: take_away(repo, commit)


def refuse_drop(world: World, repo: Repo, commit: str, *, within: str | None) -> None:
    _refuse_held(repo, commit)
    dropped = repo.dropped()
    children = any(child.id not in dropped for child in repo.children(commit))
    based = any(commit in (entry.parent, entry.onto) for entry in repo.opens.values())
    if children or based or world.made_from(repo.name, commit) - {within}:
        raise Refused(ConflictError)


def take_away(repo: Repo, commit: str) -> None:
    """Move every head off a commit, to its parent."""
    parents = repo.commits[commit].parents
    above = parents[0] if parents else None
    heads = [branch for branch, head in repo.branches.items() if head == commit]
    for branch in heads:
        repo.branches[branch] = above
        repo.trash.append(Trash(branch, "dropped", commit, above))
    if commit in repo.failed:
        repo.failed.remove(commit)
        repo.trash.append(Trash(f".failed-{commit}", "dropped", commit))
    elif not heads:
        repo.trash.append(Trash(commit, "dropped", commit))


def end_set(world: World, commit: str, *, squashing: bool) -> Done:
    """Squash or drop the commits of all repos that have an id."""
    names = world.commit_set(commit)
    if not names:
        raise Refused(NotFoundError)
    for repo in (world.repos[name] for name in names):
        failed = commit in repo.commits and repo.commits[commit].error
        if squashing and not failed:
            refuse_squash(world, repo, commit, within=commit)
        elif squashing or commit not in repo.opens:
            refuse_drop(world, repo, commit, within=commit)

    def done(_: object) -> None:
        for repo in (world.repos[name] for name in names):
            if commit in repo.opens:
                del repo.opens[commit]
            elif squashing and not repo.commits[commit].error:
                take_out(repo, commit)
            else:
                take_away(repo, commit)

    return done


def new_ids(answer: object) -> Sequence[str]:
    """Return the ids of the commits that the store says are new, oldest first."""
    assert isinstance(answer, list)
    return [str(id) for id in answer]
