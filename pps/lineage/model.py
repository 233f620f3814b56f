"""A piece of provenance as a graph: files and commits, the datums between them, and what leads to what."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

from pfs.ids import CommitId
from pfs.paths import from_key

Direction = Literal["up", "down", "both"]
Made = Literal["datum", "user", "commit", "holds", "gone", ""]
"""What a file comes from: a datum; a user, who put it; other commits, as a whole (of a spout, or of a branch that
somebody fills by hand); the files that a directory holds; something that is gone. Empty: nobody asked."""
How = Literal["read", "looked-up", "listed", "wrote", "holds", "made-from"]
"""What an edge says. ``read``: staged for a datum; ``looked-up`` and ``listed``: by a datum over S3; ``made-from``:
between commits, where no datum is known."""
CommitState = Literal["finished", "failed", "open", "gone"]


class FileRef(NamedTuple):
    """Names a node: a file or directory of a commit by its key in the tree."""

    repo: str
    commit: CommitId
    key: bytes

    @property
    def path(self) -> str:
        """The path as people write it, without a slash behind a directory."""
        return from_key(self.key)

    def __str__(self) -> str:
        return f"{self.repo}@{self.commit}:{self.path}"


class DatumRef(NamedTuple):
    """Names a node: a datum in a job, which may have taken its result over from an earlier one."""

    pipeline: str
    job: CommitId
    datum: str

    def __str__(self) -> str:
        return f"{self.pipeline}@{self.job}/{self.datum}"


class CommitRef(NamedTuple):
    """Names a node: a commit as a whole."""

    repo: str
    commit: CommitId

    def __str__(self) -> str:
        return f"{self.repo}@{self.commit}"


Ref = FileRef | DatumRef | CommitRef


@dataclass(frozen=True, slots=True)
class FileNode:
    """A file or directory of a commit.

    ``type``: ``gone`` where it cannot be looked at any more. ``since``: the commit that put it, where that is an older
    one of its repo. ``made``: what it comes from, as far as that was asked; ``note``: what there is to say beside.
    """

    ref: FileRef
    type: Literal["file", "directory", "removed", "gone"]
    size_bytes: int = 0
    file_count: int = 0
    hash: str = ""
    made: Made = ""
    since: CommitId | None = None
    note: str = ""


@dataclass(frozen=True, slots=True)
class DatumNode:
    """A datum of a job, in a state of `pps.model.state.DatumState`.

    ``ran_in``: the job that processed it, an earlier one if ``state`` is ``skipped``; ``version``, ``spec_commit`` and
    ``code`` (the digest of the command with all its files, in hex; empty if unknown) are those of that job.
    """

    ref: DatumRef
    state: str
    ran_in: CommitId
    version: int | None = None
    spec_commit: CommitId | None = None
    code: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True)
class CommitNode:
    """A commit as a whole; of one that a job made, also that job's pipeline, version and state."""

    ref: CommitRef
    state: CommitState
    branch: str = ""
    message: str = ""
    pipeline: str | None = None
    job_state: str | None = None
    version: int | None = None
    spec_commit: CommitId | None = None
    code: str = ""
    note: str = ""


Node = FileNode | DatumNode | CommitNode


class Edge(NamedTuple):
    """``source`` led to ``target``."""

    source: Ref
    target: Ref
    how: How


class LeftOut(NamedTuple):
    """So many more edges lead to (``up``) or from a node than the graph has; None: nobody counted them."""

    ref: Ref
    up: bool
    more: int | None


@dataclass(frozen=True, slots=True)
class Lineage:
    """What was found from ``roots`` on; nodes in the order in which they were reached, edges in that of the trees.

    ``left_out``: where the limits cut. Nodes at ``depth`` are there, what is behind them is not.
    """

    roots: tuple[Ref, ...]
    direction: Direction
    nodes: dict[Ref, Node]
    edges: tuple[Edge, ...]
    left_out: tuple[LeftOut, ...]
