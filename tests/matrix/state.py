"""What a user can see of a store, in a form that two runs of the same work share: new ids have names by their order."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from itertools import count

from pfs.errors import NotFoundError
from pfs.model import CommitInfo
from pfs.repo import Repo
from pfs.store import Store
from pfs.transactions.transaction import list_transactions

State = dict[str, object]
"""By repo; what belongs to none is under names in brackets."""


def known_ids(store: Store) -> frozenset[str]:
    """Return the ids of all commits that there are."""
    found = set[str]()
    for info in store.list_repos():
        repo = store.repo(info.name)
        found |= {commit.id for commit in repo.commits()}
        found |= {branch.head for branch in repo.branches() if branch.head is not None}
    return frozenset(found)


def visible(store: Store, known: Collection[str]) -> State:
    """Return everything that can be seen; ids that are not ``known`` are numbered as they are met."""
    names = _Names(known)
    found: State = {info.name: _repo(store, info.name, names) for info in store.list_repos()}
    found["(transactions)"] = len(list_transactions(store))
    return found


class _Names:
    def __init__(self, known: Collection[str]) -> None:
        self._known, self._numbers = known, count(1)
        self._new: dict[str, str] = {}
        self.files: dict[tuple[str, str], dict[str, tuple[str, str]]] = {}
        """Of commits that were met, as they are met more than once."""

    def of(self, id: str | None) -> str | None:
        if id is None or id in self._known:
            return id
        return self._new.setdefault(id, f"new {next(self._numbers)}") if id not in self._new else self._new[id]


def _repo(store: Store, name: str, names: _Names) -> State:
    repo = store.repo(name)
    info, body = repo.info(), store.refs.read(name).body
    branches = {one.name: one for one in sorted(repo.branches(), key=lambda one: one.name)}
    chains = {branch: [_commit(repo, one, names) for one in _chain(repo, branch)] for branch in branches}
    return {
        "description": (info.description, dict(info.metadata)),
        "branches": {
            one.name: (names.of(one.head), names.of(one.open_commit), one.provenance, chains[one.name])
            for one in branches.values()
        },
        "others": sorted(str(_commit(repo, one, names)) for one in repo.commits()),
        "tags": sorted((tag.name, names.of(tag.commit)) for tag in repo.tags()),
        "trash": sorted((entry.kind, str(names.of(entry.branch.head))) for entry in body.trash.values()),
        "retention": repr(repo.retention()),
    }


def _chain(repo: Repo, branch: str) -> Iterator[CommitInfo]:
    try:
        yield from repo.commits(branch)
    except NotFoundError:
        return


def _commit(repo: Repo, info: CommitInfo, names: _Names) -> tuple[object, ...]:
    origins = [(one.repo, one.branch, names.of(one.commit)) for one in info.provenance]
    parents = [names.of(parent) for parent in info.parents]
    files = names.files.get((repo.name, info.id)) or contents(repo, info)
    names.files[repo.name, info.id] = files
    return names.of(info.id), info.branch, parents, info.message, info.error, info.open, origins, files


def contents(repo: Repo, info: CommitInfo) -> dict[str, tuple[str, str]]:
    """Return the files of a commit, with their hashes: that they are those of the bytes, a deep check sees to."""
    files = repo.view(info.id).list(recursive=True)
    return {one.path: (one.type, one.hash) for one in files if one.type != "directory"}


def differences(found: object, wanted: object, where: str = "") -> list[str]:
    """Return what differs, by its place, each in a line that is not too long."""
    if isinstance(found, dict) and isinstance(wanted, dict):
        names = dict.fromkeys((*found, *wanted))
        return [one for n in names for one in differences(found.get(n), wanted.get(n), f"{where}/{n}")]
    if isinstance(found, tuple | list) and isinstance(wanted, tuple | list) and len(found) == len(wanted):
        pairs = enumerate(zip(found, wanted, strict=True))
        return [one for at, (mine, other) in pairs for one in differences(mine, other, f"{where}[{at}]")]
    return [] if found == wanted else [f"{where}: {found!r:.300} and not {wanted!r:.300}"]
