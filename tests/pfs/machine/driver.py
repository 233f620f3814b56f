"""The operations on a real store, by plain values, so that they can be sent to another process too."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import pfs
from pfs.changes import replay, squash, trash
from pfs.changes.apply import apply
from pfs.changes.landing import How
from pfs.changes.merge import Resolution
from pfs.changes.writer import CommitWriter
from pfs.files.ingest import put_stream
from pfs.gc.collect import collect
from pfs.history.commit_set import commit_sets
from pfs.history.touched import touching
from pfs.ids import CommitId
from pfs.intake.how import PutHow
from pfs.intake.intake import Intake
from pfs.lifecycle.purge import purge
from pfs.lifecycle.retention import apply_retention, set_retention
from pfs.model import BranchRef, Provenance, Trigger
from pfs.paths import to_key
from pfs.refs.retention import Keep, Retention
from pfs.repo import Repo
from pfs.store import Store
from pfs.trees.edit import Delete, Edit, Put
from pfs.upkeep.check import fsck
from tests.pfs.machine.writing import Step


class Seen(NamedTuple):
    """What a repo shows of itself."""

    branches: dict[str, str | None]
    tags: dict[str, str]
    opens: set[str]
    commits: list[str]
    """Finished ones, the newest first."""
    failed: set[str]


class Listed(NamedTuple):
    """A file or directory as a listing shows it."""

    path: str
    size: int
    hash: str


class Driver:
    """One process's hold on a store. Answers and arguments can be pickled."""

    def __init__(self, home: str) -> None:
        self._home = home
        self._store: Store | None = None
        self._writers: dict[int, CommitWriter] = {}

    @property
    def store(self) -> Store:
        """The store, opened when it is first used."""
        if self._store is None:
            self._store = pfs.open(self._home)
        return self._store

    def close(self) -> None:
        """Close the store; the next operation opens it again. Pending writers are dropped."""
        for number in list(self._writers):
            self.drop_writer(number)
        if self._store is not None:
            self._store.close()
            self._store = None

    def _repo(self, repo: str) -> Repo:
        return self.store.repo(repo)

    # writing

    def begin(self, number: int, repo: str, branch: str, parent: str | None, made_from: tuple[str, str, str]) -> str:
        """Begin a writer; ``made_from`` is repo, branch and commit of a source, or empty: its id is taken then."""
        source = (Provenance(made_from[0], made_from[1], CommitId(made_from[2])),) if made_from[0] else ()
        id = CommitId(made_from[2]) if made_from[0] else None
        writer = self._repo(repo).commit(branch, parent=parent, provenance=source, commit_id=id)
        self._writers[number] = writer
        return writer.id

    def stage(self, number: int, steps: list[Step]) -> None:
        """Stage changes; what raises leaves the writer as it was before that step."""
        for step in steps:
            self._stage(self._writers[number], step)

    def _stage(self, writer: CommitWriter, step: Step) -> None:
        match step.verb:
            case "put" | "append":
                writer.put_file(step.path, step.data, append=step.verb == "append")
            case "delete" | "delete_all":
                writer.delete_file(step.path, recursive=step.verb == "delete_all")
            case "tree" | "mirror":
                self._put_tree(writer, step)
            case "copy":
                repo, commit, path = step.source
                writer.copy(self._repo(repo)[commit], path, step.path)

    def _put_tree(self, writer: CommitWriter, step: Step) -> None:
        with tempfile.TemporaryDirectory() as folder:
            for name, data in step.files:
                file = Path(folder + name)
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(data)
            if step.verb == "tree":
                writer.put_tree(step.path, Path(folder), jobs=1)
                return
            intake = Intake(writer, PutHow(mirror=step.path, jobs=1))
            intake.tree(step.path, Path(folder))
            intake.finish()

    def finish_writer(self, number: int) -> str:
        """Finish a writer; its commit's id."""
        return self._writers.pop(number).finish().id

    def drop_writer(self, number: int) -> None:
        """Give a writer up."""
        self._writers.pop(number).drop()

    def apply(self, repo: str, branch: str, puts: dict[str, bytes], deletes: list[str]) -> str:
        """Write as the S3 front does; the commit's id."""
        session = self.store.session()
        edits: list[Edit] = [Delete(to_key(path)) for path in deletes]
        for path, data in puts.items():
            ref = put_stream(session, self.store.params, io.BytesIO(data), jobs=1)
            edits.append(Put(to_key(path), ref.kind, ref.size, ref.tid))
        info = apply(self._repo(repo), branch, lambda _: edits, session=session)
        assert info is not None
        return info.id

    def transact(self, writes: Sequence[tuple[str, str, dict[str, bytes]]], tag: tuple[str, str, str] | None) -> str:
        """Put files into branches of several repos, and perhaps tag a commit (repo, tag, commit), all at once."""
        with self.store.transaction() as transaction:
            for repo, branch, puts in writes:
                with transaction.repo(repo).commit(branch) as commit:
                    for path, data in puts.items():
                        commit.put_file(path, data)
            if tag is not None:
                transaction.repo(tag[0]).create_tag(*tag[1:])
        return transaction.id

    # names

    def create_repo(self, repo: str) -> None:
        """Create a repo."""
        self.store.create_repo(repo)

    def delete_repo(self, repo: str) -> None:
        """Delete a repo."""
        self.store.delete_repo(repo)

    def undelete_repo(self, repo: str) -> None:
        """Get a repo back."""
        trash.undelete_repo(self.store, repo)

    def create_branch(self, repo: str, branch: str, head: str | None) -> None:
        """Create or move a branch."""
        self._repo(repo).create_branch(branch, head=head)

    def follow(self, repo: str, branch: str, watched: str, commits: int) -> None:
        """Let a branch wait for so many commits of another."""
        self._repo(repo).create_branch(branch, trigger=Trigger(branch=watched, commits=commits))

    def bind(self, repo: str, branch: str, source: tuple[str, str]) -> None:
        """Make a branch that is computed from another."""
        self.store.create_repo(repo).create_branch(branch, provenance=[BranchRef(*source)])

    def delete_branch(self, repo: str, branch: str) -> None:
        """Delete a branch."""
        self._repo(repo).delete_branch(branch)

    def create_tag(self, repo: str, tag: str, commit: str) -> None:
        """Create a tag."""
        self._repo(repo).create_tag(tag, commit)

    def delete_tag(self, repo: str, tag: str) -> None:
        """Delete a tag."""
        self._repo(repo).delete_tag(tag)

    def undelete(self, repo: str, name: str) -> None:
        """Get a branch, tag, head or commit back."""
        self._repo(repo).undelete(name)

    # commits

    def start(self, repo: str, branch: str, parent: str | None) -> str:
        """Open a commit."""
        return self._repo(repo).start_commit(branch, parent=parent).id

    def finish(self, repo: str, ref: str, error: str | None) -> None:
        """Finish an open commit."""
        self._repo(repo).finish_commit(ref, error=error)

    def clear(self, repo: str, ref: str) -> None:
        """Take all changes out of an open commit."""
        self._repo(repo).clear_commit(ref)

    def drop_open(self, repo: str, ref: str) -> None:
        """Give an open commit up."""
        self._repo(repo).drop_open(ref)

    def squash(self, repo: str, commit: str) -> None:
        """Squash a commit."""
        squash.squash(self.store, self._repo(repo).name, commit)

    def drop(self, repo: str, commit: str) -> None:
        """Drop a commit."""
        squash.drop(self.store, self._repo(repo).name, commit)

    def end_set(self, commit: str, squashing: bool) -> None:
        """Squash or drop a commit set."""
        (squash.squash_set if squashing else squash.drop_set)(self.store, CommitId(commit))

    def replay(
        self, verb: str, repo: str, source: str, branch: str, side: Literal["ours", "theirs"] | None
    ) -> list[str]:
        """Merge, revert, cherry-pick or rebase; the new commits of the branch, oldest first."""
        how, known = How(Resolution(side)), set(self.show(repo).commits)
        self._repo(repo)
        if verb == "revert":
            replay.revert(self.store, repo, source, branch=branch, how=how)
        elif verb == "rebase":
            replay.rebase(self.store, repo, branch, source, how=how)
        else:
            (replay.merge if verb == "merge" else replay.cherry_pick)(self.store, repo, source, branch, how=how)
        return [id for id in reversed(self.show(repo).commits) if id not in known]

    # the store

    def gc(self) -> None:
        """Collect what nothing leads to."""
        collect(self.store)

    def purge(self, repo: str, path: str) -> None:
        """Purge a path from all history."""
        purge(self.store, repo, path)

    def retain(self, repo: str, last: int) -> list[str]:
        """Let go what is not among the last commits of a branch; the ids of what went."""
        set_retention(self.store, repo, Retention(keep=Keep(last=last)))
        gone = [id for effect in apply_retention(self.store) for id in effect.removed]
        set_retention(self.store, repo, None)
        return gone

    def fsck(self, deep: bool) -> list[str]:
        """Return what is damaged."""
        return [str(damage) for damage in fsck(self.store, deep=deep)]

    # reading

    def repos(self) -> list[str]:
        """Return the names of all repos."""
        return [info.name for info in self.store.list_repos()]

    def show(self, repo: str) -> Seen:
        """Return what a repo shows of itself."""
        where = self._repo(repo)
        commits = list(where.commits())
        return Seen(
            branches={info.name: info.head for info in where.branches()},
            tags={info.name: info.commit for info in where.tags()},
            opens={info.id for info in commits if info.open},
            commits=[info.id for info in commits if not info.open],
            failed={info.id for info in commits if info.error is not None},
        )

    def resolve(self, repo: str, ref: str) -> str:
        """Return the commit that a ref means."""
        return self._repo(repo).inspect(ref).id

    def log(self, repo: str, ref: str) -> list[str]:
        """Return the commits of a ref by first parents."""
        return [info.id for info in self._repo(repo).commits(ref)]

    def list(self, repo: str, ref: str) -> list[Listed]:
        """List all of a commit."""
        found = self._repo(repo)[ref].list(recursive=True)
        return [Listed(info.path, info.size_bytes, info.hash) for info in found]

    def totals(self, repo: str, ref: str) -> tuple[int, int]:
        """Return files and bytes of a commit."""
        info = self._repo(repo).inspect(ref)
        return info.file_count, info.size_bytes

    def read(self, repo: str, ref: str, path: str) -> bytes:
        """Read a file."""
        return self._repo(repo)[ref].read(path)

    def glob(self, repo: str, ref: str, pattern: str) -> list[str]:
        """Return what a pattern matches."""
        return [info.path for info in self._repo(repo)[ref].glob(pattern)]

    def diff(self, repo: str, new: str, old: str) -> dict[str, str]:
        """Return the paths that differ, and how."""
        where = self._repo(repo)
        return {change.path: change.type for change in where[new].diff(where[old])}

    def find_commit(self, repo: str, ref: str, path: str) -> set[str]:
        """Return the commits that changed a path."""
        where = self._repo(repo)
        found = touching(self.store, self.store.refs.read(repo), where.inspect(ref).id, to_key(path))
        return {info.id for info, _ in found}

    def commit_sets(self) -> dict[str, list[str]]:
        """Return the repos of every commit set."""
        return {one.id: [info.repo for info in one.commits] for one in commit_sets(self.store)}


def call(driver: Driver, verb: str, *words: object) -> object:
    """Do one operation by name."""
    act: Callable[..., object] = getattr(driver, verb)
    return act(*words)
