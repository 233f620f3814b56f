"""What retention may take from the model: what is old, and nothing that anything still needs."""

from __future__ import annotations

from itertools import islice

from tests.pfs.machine.state import SECRET, Files, Purged, Repo, World


def beyond(world: World, repo: Repo, last: int) -> set[str]:
    """Return the commits that a rule to keep the last ones of each branch may remove."""
    chains = {branch: [commit.id for commit in repo.chain(head)] for branch, head in repo.branches.items()}
    recent = {id for chain in chains.values() for id in islice(chain, last)}
    old = {id for chain in chains.values() for id in chain} | {id for id in repo.failed if _below(repo, id)}
    named = {*repo.branches.values(), *repo.tags.values(), *(entry.head for entry in repo.trash)}
    based = {id for entry in repo.opens.values() for id in (entry.parent, entry.onto)}
    needed = {id for id in old if world.made_from(repo.name, id)}
    return old - recent - named - based - needed


def _below(repo: Repo, failed: str) -> bool:
    """Say whether a failed commit is older than its branch's head."""
    head = repo.branches.get(repo.commits[failed].branch)
    return head is not None and repo.commits[failed].order < repo.commits[head].order


def is_plain(world: World, repo: Repo) -> bool:
    """Say whether nothing but the chains of branches counts in a repo."""
    merged = any(commit.merged for commit in repo.commits.values())
    return not (repo.trash or repo.opens or repo.failed or merged or repo.took)


def let_go(repo: Repo, gone: set[str]) -> None:
    """Take commits out of the model; what stood on them stands on the next that is left."""
    for commit in repo.commits.values():
        while commit.first in gone:
            above = repo.commits[commit.first]
            commit.first = above.parents[0] if above.parents else None
    forgotten = {id for id, taker in repo.took.items() if taker in gone and id in repo.squashed()}
    for id in gone | forgotten:
        repo.commits.pop(id, None)
        repo.took.pop(id, None)
        repo.failed.discard(id)


def holds_secret(repo: Repo) -> bool:
    """Say whether there is anything to purge."""
    seen = [repo.files(id) for id in repo.reachable()] + [entry.files for entry in repo.opens.values()]
    return any(not isinstance(files.get(SECRET, Purged()), Purged) for files in seen)


def purge(repo: Repo) -> None:
    """Purge the secret from every commit, open ones too."""
    for commit in repo.commits.values():
        commit.files = _purged(commit.files)
    for entry in repo.opens.values():
        entry.base, entry.files = _purged(entry.base), _purged(entry.files)


def _purged(files: Files) -> Files:
    data = files.get(SECRET)
    return files if data is None else {**files, SECRET: Purged(data)}
