"""What the public face hands out: plain frozen values without a way back to the store.

Times are nanoseconds since the epoch (UTC), sizes are bytes, hashes are lower-case hex.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal, NamedTuple

from msgspec import Struct, field

from pfs.ids import CommitId

if TYPE_CHECKING:
    from pfs.trees.tree import Root

FileType = Literal["file", "directory", "symlink", "removed", "external"]
ChangeType = Literal["added", "modified", "deleted"]
Origin = Literal["user", "auto"]
"""Who began a commit: a user, or the system (outputs of jobs, commits opened since a source of the branch moved)."""


class Provenance(NamedTuple):
    """A commit that another one was made from; a tuple, as callers take it apart."""

    repo: str
    branch: str
    commit: CommitId


class BranchRef(NamedTuple):
    """A branch that another branch is computed from."""

    repo: str
    branch: str


class RepoInfo(Struct, frozen=True):
    """A repo; ``size_bytes`` and ``file_count`` are those of the head of ``master`` (0 without one).

    ``error``: in listings, why it cannot be read; all but the name is empty then.
    """

    name: str
    description: str
    created_ns: int
    branches: tuple[str, ...]
    size_bytes: int
    file_count: int
    error: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)


class Trigger(Struct, frozen=True, kw_only=True):
    """When a branch is moved to a commit that was just finished on another ``branch`` of its repo.

    ``size_bytes``: when it is that much larger than the head. ``commits``: when so many came since the head.
    ``rate``: when a tick of this schedule lies between the two. With ``all`` every condition must hold, else one.
    ``cron``: at each tick of this schedule instead, and none of the others counts. Schedules: `pfs.provenance.cron`.
    """

    branch: str
    size_bytes: int | None = None
    commits: int = 0
    rate: str = ""
    cron: str = ""
    all: bool = False


class BranchInfo(Struct, frozen=True):
    """A branch; ``head`` is the last finished commit, None before the first; ``open_commit`` the one being written.

    ``never``: those of its provenance whose moves open nothing here. ``updated_ns``: when the head last moved, or what
    the branch is computed from changed. ``pipeline``: its commits are made by jobs.
    """

    name: str
    repo: str
    head: CommitId | None
    provenance: tuple[BranchRef, ...]
    created_ns: int
    open_commit: CommitId | None = None
    updated_ns: int = 0
    never: tuple[BranchRef, ...] = ()
    trigger: Trigger | None = None
    pipeline: bool = False
    metadata: Mapping[str, str] = field(default_factory=dict)


class TagInfo(Struct, frozen=True):
    """A tag: a name that means ``commit`` for good."""

    name: str
    repo: str
    commit: CommitId
    created_ns: int


class CommitInfo(Struct, frozen=True):
    """A commit: finished, finished with an ``error`` (never a head), or open (``finished_ns`` is None)."""

    id: CommitId
    repo: str
    branch: str
    parents: tuple[CommitId, ...]
    root: Root
    size_bytes: int
    file_count: int
    started_ns: int
    finished_ns: int | None
    message: str
    provenance: tuple[Provenance, ...]
    error: str | None
    open: bool
    origin: Origin = "user"
    metadata: Mapping[str, str] = field(default_factory=dict)


class CommitSetInfo(Struct, frozen=True):
    """The commits of all repos with one id, by repo name; ``finished_ns`` is None while one of them is open."""

    id: CommitId
    commits: tuple[CommitInfo, ...]
    created_ns: int
    finished_ns: int | None


class TransactionInfo(Struct, frozen=True):
    """A transaction that is under way; ``operations`` are lines for people, ``commits`` what it starts or changes.

    ``state``: ``open``, or ``pending`` while it is being finished.
    """

    id: CommitId
    state: Literal["open", "pending"]
    message: str
    created_ns: int
    operations: tuple[str, ...]
    commits: tuple[Provenance, ...]


class FileInfo(Struct, frozen=True, gc=False):
    """A file or directory of a commit.

    ``path`` ends in ``/`` for directories (the root is ``/``). ``hash`` is the logical content id. ``commit``
    is where it last changed (of a directory: the newest below). ``etag`` is the one S3 shows: the stored MD5,
    else 32 hex of ``hash`` and ``-1``.
    """

    path: str
    type: FileType
    size_bytes: int
    hash: str
    file_count: int
    commit: CommitId | None
    changed_ns: int | None
    mime: str | None
    metadata: Mapping[str, str]
    etag: str
    executable: bool


class FileChange(Struct, frozen=True):
    """One path that differs between two commits; ``content_same``: only its metadata changed."""

    path: str
    type: ChangeType
    old: FileInfo | None
    new: FileInfo | None
    content_same: bool = False


class NewCommit(Struct, frozen=True, kw_only=True):
    """A finished commit to publish: its tree is in the session that `Repo.publish` gets.

    ``parents[0]`` must be the head of the branch when it is swapped in (no parents: the branch has no head
    yet), else BranchMovedError; a commit with an ``error`` never becomes a head, so its parents are free.
    Further parents are commits of the repo or of an earlier one of the same call. ``forked``: the head that it
    replaces is ``onto``, not its parent. ``rewrites``: that number of refs when the tree was made; where records were
    rewritten since, something may have been purged that the tree has, so that counts as a moved head (None: it is made
    from the present state).
    """

    branch: str
    root: Root
    id: CommitId
    started_ns: int
    parents: tuple[CommitId, ...] = ()
    message: str = ""
    provenance: tuple[Provenance, ...] = ()
    error: str | None = None
    forked: bool = False
    onto: CommitId | None = None
    origin: Origin = "user"
    rewrites: int | None = None

    @property
    def replaces(self) -> CommitId | None:
        """The head that the branch must have when this commit becomes its head."""
        if self.forked:
            return self.onto
        return self.parents[0] if self.parents else None


class ChangeToken(Struct, frozen=True):
    """A state of all refs objects: per object its time, size and etag; compare with ``==``."""

    refs: tuple[tuple[str, int, int, str], ...]

    def __repr__(self) -> str:
        return f"ChangeToken(of {len(self.refs)} objects)"
