"""What a store holds, as plain dictionaries, and the questions one may ask of it. No code of the library's."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

from pfs.errors import CommitNotFoundError, PfsError, RepoNotFoundError

Files = dict[str, bytes]
TrashKind = Literal["branch", "tag", "head", "dropped"]


SECRET = "/secret"
"""The path that is purged; what is put there is never put again."""


class Purged(bytes):
    """Content that was purged: names, sizes and hashes know it, and it is no longer what it was."""

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Purged) and bytes.__eq__(self, other)

    def __hash__(self) -> int:
        return bytes.__hash__(self)


class Refused(Exception):  # noqa: N818
    """An answer of the model: the store is to refuse, by an error of this class."""

    def __init__(self, kind: type[PfsError]) -> None:
        super().__init__(kind.__name__)
        self.kind = kind


@dataclass(slots=True)
class Commit:
    """A finished commit; ``first`` is its first parent as squashing leaves it, ``merged`` are its further ones."""

    id: str
    branch: str
    files: Files
    order: int
    first: str | None = None
    merged: tuple[str, ...] = ()
    error: bool = False
    made_from: tuple[tuple[str, str], ...] = ()
    """Commits of other repos, (repo, id)."""

    @property
    def parents(self) -> tuple[str, ...]:
        return self.merged if self.first is None else (self.first, *self.merged)


@dataclass(slots=True)
class Open:
    """An open commit; ``onto`` is the head that it was started on, ``base`` the files of its parent."""

    branch: str
    parent: str | None
    onto: str | None
    base: Files
    files: Files
    order: int
    made_from: tuple[tuple[str, str], ...] = ()
    auto: bool = False
    written: bool = False


@dataclass(slots=True)
class Trash:
    """What was taken away under a name."""

    name: str
    kind: TrashKind
    head: str | None
    onto: str | None = None


@dataclass
class Repo:
    """One repo.

    ``failed`` are the commits with an error that were not dropped, ``took`` says who took a squashed one over.
    """

    name: str
    commits: dict[str, Commit] = field(default_factory=dict)
    branches: dict[str, str | None] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    opens: dict[str, Open] = field(default_factory=dict)
    trash: list[Trash] = field(default_factory=list)
    failed: set[str] = field(default_factory=set)
    took: dict[str, str] = field(default_factory=dict)
    follows: tuple[str, int] | None = None
    """What the branch with a trigger waits for: commits of a branch, how many."""

    def files(self, commit: str | None) -> Files:
        """Return the files of a finished commit, none without one."""
        return {} if commit is None else self.commits[commit].files

    def open_on(self, branch: str) -> str | None:
        """Return the open commit of a branch."""
        return next((id for id, entry in self.opens.items() if entry.branch == branch), None)

    def current(self, branch: str) -> Files:
        """Return what a writer to the branch starts from."""
        opened = self.open_on(branch)
        return self.files(self.branches.get(branch)) if opened is None else self.opens[opened].files

    def dropped(self) -> set[str]:
        """Return the commits that were dropped and not brought back."""
        return {entry.head for entry in self.trash if entry.kind == "dropped" and entry.head is not None}

    def reachable(self) -> set[str]:
        """Return all that some name leads to."""
        heads = [*self.branches.values(), *self.tags.values(), *self.failed, *(entry.head for entry in self.trash)]
        heads += [entry.parent for entry in self.opens.values()]
        return set().union(*(self.ancestors(head) for head in heads if head is not None))

    def squashed(self) -> set[str]:
        """Return the commits that were squashed and that no name leads to."""
        return set(self.took) - self.reachable() if self.took else set()

    def visible(self) -> list[str]:
        """Return the finished commits that are listed, the newest first."""
        hidden = self.dropped() | self.squashed()
        return [id for id in sorted(self.commits, key=lambda id: -self.commits[id].order) if id not in hidden]

    def means(self, commit: str) -> str | None:
        """Return which commit an id stands for: itself, or the one that took it over; None if that is gone."""
        gone = self.squashed()
        while commit in gone:
            commit = self.took[commit]
        return None if commit in self.dropped() or commit not in self.commits else commit

    def find(self, commit: str) -> Commit:
        """Return a finished commit that is there."""
        if commit not in self.commits or commit in self.dropped() or commit in self.squashed():
            raise Refused(CommitNotFoundError)
        return self.commits[commit]

    def children(self, commit: str) -> list[Commit]:
        """Return what was put on a commit, dropped ones too."""
        gone = self.squashed()
        return [one for one in self.commits.values() if commit in one.parents and one.id not in gone]

    def chain(self, commit: str | None) -> Iterator[Commit]:
        """Yield a commit and what it comes from by first parents."""
        while commit is not None:
            found = self.commits[commit]
            yield found
            commit = found.parents[0] if found.parents else None

    def ancestors(self, commit: str | None) -> set[str]:
        """Return a commit and all it comes from."""
        todo, seen = [] if commit is None else [commit], set[str]()
        while todo:
            id = todo.pop()
            if id not in seen:
                seen.add(id)
                todo += self.commits[id].parents
        return seen

    def merge_base(self, ours: str, theirs: str) -> str | None:
        """Return the common ancestor that none of the others comes from; of several the last finished."""
        common = self.ancestors(ours) & self.ancestors(theirs)
        best = [id for id in common if not any(id in self.ancestors(other) for other in common - {id})]
        return max(best, key=lambda id: self.commits[id].order, default=None)

    def touching(self, commit: str, path: str) -> set[str]:
        """Return the commits from ``commit`` back that changed a file; a merge that took it over is passed by."""
        todo, seen, found = [commit], set[str](), set[str]()
        while todo:
            id = todo.pop()
            if id in seen:
                continue
            seen.add(id)
            here, parents = self.files(id).get(path), self.commits[id].parents
            same = [parent for parent in parents if self.files(parent).get(path) == here]
            if not same and (parents or here is not None):
                found.add(id)
            todo += same[:1] or parents
        return found


class World:
    """All repos, those deleted last too."""

    def __init__(self) -> None:
        self.repos: dict[str, Repo] = {}
        self.graves: dict[str, Repo] = {}
        self.source: str | None = None
        """The repo from whose branch master another one is computed."""
        self.seen: str | None = None
        """What that one was last computed from."""
        self._order = 0

    def repo(self, name: str) -> Repo:
        """Return a repo that exists."""
        if name not in self.repos:
            raise Refused(RepoNotFoundError)
        return self.repos[name]

    def next_order(self) -> int:
        """Return the number of the next commit: how they follow each other in time."""
        self._order += 1
        return self._order

    def made_from(self, repo: str, commit: str) -> set[str]:
        """Return the ids of commits of other repos that were made from a commit and are there."""
        found = set()
        for other in self.repos.values():
            named = {one.id for one in other.commits.values() if (repo, commit) in one.made_from}
            if named:
                found |= named - other.dropped() - other.squashed()
            held = (id for id, one in other.opens.items() if one.written or not one.auto)
            found |= {id for id in held if (repo, commit) in other.opens[id].made_from}
        return found

    def commit_set(self, commit: str) -> list[str]:
        """Return the repos that have a commit of an id, finished or open."""
        return [
            name
            for name, repo in sorted(self.repos.items())
            if commit in repo.opens
            or (commit in repo.commits and commit not in repo.dropped() and commit not in repo.squashed())
        ]


def three_way(base: Files, ours: Files, theirs: Files) -> tuple[Files, list[str]]:
    """Put what ``theirs`` did since ``base`` on ``ours``; also the paths that both changed, left as with us."""
    merged, conflicts = dict(ours), []
    for path in sorted({*base, *theirs}):
        old, new, here = base.get(path), theirs.get(path), ours.get(path)
        if old == new or here == new:
            continue
        if here != old:
            conflicts.append(path)
        else:
            merged = with_file(merged, path, new)
    return merged, conflicts


def with_file(files: Files, path: str, data: bytes | None) -> Files:
    """Return the files with one set, or without it."""
    rest = {name: content for name, content in files.items() if name != path}
    return rest if data is None else {**rest, path: data}


def below(files: Files, folder: str) -> list[str]:
    """Return the paths of the files below a directory."""
    return [path for path in files if path.startswith(folder.rstrip("/") + "/")]


def listing(files: Files) -> Sequence[tuple[str, int]]:
    """Return paths and sizes as a recursive listing shows them, directories with the sum of what is below."""
    found = {path: len(data) for path, data in files.items()}
    for path, data in files.items():
        parts = path.split("/")[1:-1]
        for depth in range(len(parts)):
            folder = "/" + "/".join(parts[: depth + 1]) + "/"
            found[folder] = found.get(folder, 0) + len(data)
    return sorted(found.items(), key=lambda item: item[0].rstrip("/").split("/"))
