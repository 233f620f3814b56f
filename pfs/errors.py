"""The one error tree of pfs, pps and s3api.

Grouped by what the caller does about it::

    PfsError
      InvalidInputError     fix the input               exit 2
      NotFoundError         name something that exists  exit 3
      ConflictError         look again, then retry      exit 4
      CorruptionError       stop, run `pfs fsck`        exit 5
      StorageError          free space, fix access      exit 5
      FailedError           the work itself failed      exit 1

Every concrete class has a stable ``kind`` (append only: scripts and the tables at the edges match on it). The
constructor's fields are the exception's ``args``, so errors pickle across processes. Messages are one line: what,
which, what to do; lower case, without a final period. The edges (cli/exits.py, s3api/errors.py) add codes and hints.
"""

from __future__ import annotations

from typing import ClassVar

from pfs.shorten import quoted, shorten


class PfsError(Exception):
    """Base of every error that is meant for the user."""

    kind: ClassVar[str] = "error"


class InvalidInputError(PfsError):
    """The input cannot be right, whatever the state of the store: ``InvalidInputError(message)``."""

    kind = "invalid-input"


_NAME_MAX = 255


class InvalidNameError(InvalidInputError):
    """A repo, branch, tag, pipeline or key name breaks the rules: ``(what, name)``."""

    kind = "invalid-name"

    def __init__(self, what: str, name: str) -> None:
        super().__init__(what, name)
        self.what, self.name = what, name

    def __str__(self) -> str:
        why = "use letters, digits, '-' and '_' only"
        if len(self.name) > _NAME_MAX:
            why = f"it has {len(self.name)} characters, {_NAME_MAX} are the most"
        return f"invalid {self.what} name {quoted(self.name)}: {why}"


class InvalidPathError(InvalidInputError):
    """A path is not one that the file API takes: ``(path, reason)``."""

    kind = "invalid-path"

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(path, reason)
        self.path, self.reason = path, reason

    def __str__(self) -> str:
        return f"invalid path {quoted(self.path)}: {self.reason}"


class InvalidAddressError(InvalidInputError):
    """An address is not ``repo@branch-or-commit[:/path]``: ``(address, reason)``."""

    kind = "invalid-address"

    def __init__(self, address: str, reason: str) -> None:
        super().__init__(address, reason)
        self.address, self.reason = address, reason

    def __str__(self) -> str:
        return f"invalid address {quoted(self.address)}: {self.reason}"


class InvalidParamsError(InvalidInputError):
    """Chunker or store parameters are out of range: ``(message)``."""

    kind = "invalid-params"


class KeyNeededError(InvalidInputError):
    """The store is encrypted, and nothing says what opens it: ``(place)``."""

    kind = "key-needed"

    def __init__(self, place: str) -> None:
        super().__init__(place)
        self.place = place

    def __str__(self) -> str:
        return (
            f"the store at {self.place} is encrypted: set PFS_PASSPHRASE_FILE or PFS_KEY_FILE to a file that opens it, "
            "or PFS_PASSPHRASE, or call it from a terminal"
        )


class NotFoundError(PfsError):
    """Something that was named does not exist: ``(message)``."""

    kind = "not-found"


class StoreNotFoundError(NotFoundError):
    """No store at or above a folder: ``(place)``."""

    kind = "store-not-found"

    def __init__(self, place: str) -> None:
        super().__init__(place)
        self.place = place

    def __str__(self) -> str:
        return f"no store found at {self.place}: make one with `pfs init`, or name one with --store or PFS_STORE"


class RepoNotFoundError(NotFoundError):
    """No repo of that name: ``(repo)``."""

    kind = "repo-not-found"

    def __init__(self, repo: str) -> None:
        super().__init__(repo)
        self.repo = repo

    def __str__(self) -> str:
        return f"repo {self.repo!r} not found: `pfs list-repo` shows what exists"


class BranchNotFoundError(NotFoundError):
    """No branch of that name in the repo: ``(repo, branch)``."""

    kind = "branch-not-found"

    def __init__(self, repo: str, branch: str) -> None:
        super().__init__(repo, branch)
        self.repo, self.branch = repo, branch

    def __str__(self) -> str:
        return f"branch {quoted(self.branch)} not found in repo {self.repo!r}"


class TagNotFoundError(NotFoundError):
    """No tag of that name in the repo: ``(repo, tag)``."""

    kind = "tag-not-found"

    def __init__(self, repo: str, tag: str) -> None:
        super().__init__(repo, tag)
        self.repo, self.tag = repo, tag

    def __str__(self) -> str:
        return f"tag {quoted(self.tag)} not found in repo {self.repo!r}"


class CommitNotFoundError(NotFoundError):
    """No such commit in the repo: ``(repo, ref, why)``."""

    kind = "commit-not-found"

    def __init__(self, repo: str, ref: str, why: str = "") -> None:
        super().__init__(repo, ref, why)
        self.repo, self.ref, self.why = repo, ref, why

    def __str__(self) -> str:
        return f"commit or branch {quoted(self.ref)} not found in repo {self.repo!r}{self.why and f': {self.why}'}"


class TransactionNotFoundError(NotFoundError):
    """No transaction of that id is under way: ``(id)``."""

    kind = "transaction-not-found"

    def __init__(self, id: str) -> None:
        super().__init__(id)
        self.id = id

    def __str__(self) -> str:
        return f"transaction {quoted(self.id)} not found: it was finished or deleted, or never begun"


class BranchEmptyError(CommitNotFoundError):
    """The branch has no finished commit yet: ``(repo, branch)``."""

    kind = "branch-empty"

    def __str__(self) -> str:
        return f"branch {quoted(self.ref)} of repo {self.repo!r} has no finished commit yet"


class PathNotFoundError(NotFoundError):
    """No file or directory at the path: ``(address)`` such as ``repo@commit:/path``."""

    kind = "path-not-found"

    def __init__(self, address: str) -> None:
        super().__init__(address)
        self.address = address

    def __str__(self) -> str:
        place, colon, path = self.address.partition(":")
        return f"no file or directory at {shorten(place)}{colon}{shorten(path)}"


class PurgedError(NotFoundError):
    """The content of a file was purged from the history: ``(path)``, ``(path, what to do)``."""

    kind = "purged"

    def __init__(self, path: str, advice: str = "") -> None:
        super().__init__(path, advice)
        self.path, self.advice = path, advice

    def __str__(self) -> str:
        end = f"; {self.advice}" if self.advice else ""
        return f"{self.path} was purged from the history: only its size and hash are kept{end}"


class ConflictError(PfsError):
    """The state moved on or already holds the thing: ``(message)``."""

    kind = "conflict"


class CollectedError(ConflictError):
    """Collection deleted what a writer had found stored, before the writer could say that it needs it: ``(what)``."""

    kind = "collected"

    def __init__(self, what: str) -> None:
        super().__init__(what)
        self.what = what

    def __str__(self) -> str:
        return f"{self.what}, which was stored already, was collected meanwhile; nothing was changed: run it again"


class AlreadyExistsError(ConflictError):
    """The name is taken: ``(what, name)``."""

    kind = "already-exists"

    def __init__(self, what: str, name: str) -> None:
        super().__init__(what, name)
        self.what, self.name = what, name

    def __str__(self) -> str:
        return f"{self.what} {quoted(self.name)} already exists"


class BranchMovedError(ConflictError):
    """A compare-and-swap met another value than expected: ``(name)`` of the object or branch."""

    kind = "branch-moved"

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name

    def __str__(self) -> str:
        return f"{self.name} was changed by someone else in the meantime: look again and retry"


class PathConflictError(ConflictError):
    """Two writers changed one path: ``(repo, branch, path)``."""

    kind = "path-conflict"

    def __init__(self, repo: str, branch: str, path: str) -> None:
        super().__init__(repo, branch, path)
        self.repo, self.branch, self.path = repo, branch, path
        self.what = f"{path} was changed on {repo}@{branch} by another writer in the meantime"

    def __str__(self) -> str:
        return f"{self.what}: run it again"


class MergeConflictError(ConflictError):
    """Two sides changed the same paths: ``(what, conflicts, count)``; conflicts are the first, as (path, reason)."""

    kind = "merge-conflict"

    def __init__(self, what: str, conflicts: tuple[tuple[str, str], ...], count: int) -> None:
        super().__init__(what, conflicts, count)
        self.what, self.conflicts, self.count = what, conflicts, count

    def __str__(self) -> str:
        named = ", ".join(f"{path} ({reason})" for path, reason in self.conflicts[:3])
        more = f" and {self.count - 3} more" if self.count > 3 else ""
        return f"cannot {self.what}: conflict at {named}{more}; choose with --ours, --theirs or --resolve PATH=ours"


class FileCollisionError(ConflictError):
    """A path would be both a file and a directory: ``(path, existing)``."""

    kind = "file-collision"

    def __init__(self, path: str, existing: str) -> None:
        super().__init__(path, existing)
        self.path, self.existing = path, existing

    def __str__(self) -> str:
        return f"cannot write {self.path}: {self.existing} exists, and a path is either a file or a directory"


class CommitClosedError(ConflictError):
    """The commit is finished and takes no more changes: ``(repo, commit)``."""

    kind = "commit-closed"

    def __init__(self, repo: str, commit: str) -> None:
        super().__init__(repo, commit)
        self.repo, self.commit = repo, commit

    def __str__(self) -> str:
        return f"commit {self.repo}@{self.commit} is finished: commits are immutable, write to a branch instead"


class PreconditionFailedError(ConflictError):
    """A conditional write (If-Match and the like) met another state: ``(path)``."""

    kind = "precondition-failed"

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.path = path

    def __str__(self) -> str:
        return f"precondition failed for {self.path}"


class CorruptionError(PfsError):
    """Bytes do not match their checksum or id: ``(where, detail)``."""

    kind = "corruption"

    def __init__(self, where: str, detail: str) -> None:
        super().__init__(where, detail)
        self.where, self.detail = where, detail

    def __str__(self) -> str:
        return f"damaged data in {self.where}: {self.detail}; run `pfs fsck` to see what is affected"


class OtherRootKeyError(CorruptionError):
    """What was sealed does not open with this root key: made on another machine, or changed: ``(what, how)``."""

    kind = "other-root-key"

    def __str__(self) -> str:
        return (
            f"{self.where} is not of this root key: copy the file .pfs/root-key from the machine that made it, or"
            f" make it again{self.detail and f' by {self.detail}'}"
        )


class MissingObjectError(CorruptionError):
    """An object that a live reference needs is not there: ``(where, detail)``."""

    kind = "missing-object"

    def __str__(self) -> str:
        return f"missing data: {self.where}: {self.detail}; run `pfs fsck`, or `pfs recover` if the index was removed"


class ConfigDamagedError(CorruptionError):
    """A store's config cannot be read, and so nothing of the store: ``(where, detail)``."""

    kind = "config-damaged"

    def __str__(self) -> str:
        return f"the store's config {self.where} is damaged: {self.detail}; bring the file back from a copy"


class CollectionLostError(CorruptionError):
    """The state of collection is missing, old or damaged, so nothing new can be written: ``(where, detail)``."""

    kind = "collection-lost"

    def __str__(self) -> str:
        return f"the state of collection {self.where} is missing, old or damaged: {self.detail}; run `pfs recover`"


class IndexDamagedError(CorruptionError):
    """The local index cannot be used; nothing is lost, it is rebuilt from the packs: ``(where, detail)``."""

    kind = "index-damaged"

    def __str__(self) -> str:
        return f"the index in {self.where} cannot be used: {self.detail}; `pfs recover` builds it anew, no data is lost"


class StorageError(PfsError):
    """The disk or the object store failed: ``(action, reason)``."""

    kind = "storage"

    def __init__(self, action: str, reason: str) -> None:
        super().__init__(action, reason)
        self.action, self.reason = action, reason

    def __str__(self) -> str:
        return f"cannot {self.action}: {self.reason}"


class StorageFullError(StorageError):
    """No space left: ``(action, reason)``."""

    kind = "storage-full"

    def __str__(self) -> str:
        if self.reason == "File too large":  # EFBIG, of `ulimit -f` or the file system
            return (
                f"cannot {self.action}: no space left under a limit of file sizes (`ulimit -f`); the store is as it was"
            )
        return f"cannot {self.action}: no space left on the device; the store is as it was, free space and try again"


class BucketFullError(StorageFullError):
    """The bucket takes no more, by its quota or for want of disks: ``(action, reason)``."""

    kind = "bucket-full"

    def __str__(self) -> str:
        return (
            f"cannot {self.action}: the bucket is full: {self.reason}; the store is as it was, make room and try again"
        )


class AccessRefusedError(StorageError):
    """The object store does not take our credentials, or there are none: ``(action, reason)``, or with ``advice``."""

    kind = "access-refused"

    def __init__(self, action: str, reason: str, advice: str = "check the credentials and what they may do") -> None:
        super().__init__(action, reason)
        self.args, self.advice = (action, reason, advice), advice

    def __str__(self) -> str:
        return f"cannot {self.action}: {self.reason}; {self.advice}"


class ArchivedError(StorageError):
    """The object is in an archive of the bucket, and must be restored before it can be read: ``(action, class)``."""

    kind = "archived"

    def __str__(self) -> str:
        return f"cannot {self.action}: it is archived as {self.reason}; `pfs thaw` has it restored, which takes hours"


class ThawingError(ArchivedError):
    """What is in an archive was asked for, and is being restored: ``(what, detail)``."""

    kind = "thawing"

    def __str__(self) -> str:
        return f"{self.action} is being restored from an archive ({self.reason}): try again later, or `pfs thaw --wait`"


class UnreachableError(StorageError):
    """The object store cannot be reached: ``(action, place)``, or with ``problem``: what is wrong, what to check."""

    kind = "unreachable"

    def __init__(
        self, action: str, place: str, problem: str = "cannot be reached; check the network, --endpoint and --region"
    ) -> None:
        super().__init__(action, place)
        self.args, self.problem = (action, place, problem), problem

    def __str__(self) -> str:
        return f"cannot {self.action}: {self.reason} {self.problem}"


class BucketNotFoundError(StorageError):
    """The bucket of the object store does not exist: ``(bucket, place)``."""

    kind = "bucket-not-found"

    def __str__(self) -> str:
        return f"there is no bucket {quoted(self.action)} at {self.reason}: make it, or correct the name"


class ConditionsIgnoredError(StorageError):
    """The object store does not keep the conditions of writes: ``(place, what)``."""

    kind = "conditions-ignored"

    def __str__(self) -> str:
        return f"{self.action} cannot hold a store that several may write to: {self.reason}; use another S3 server"


class WrongKeyError(StorageError):
    """A passphrase or key file does not open the store: ``(what, place)``."""

    kind = "wrong-key"

    def __str__(self) -> str:
        return f"this {self.action} does not open the store at {self.reason}; nothing was read or written"


class FailedError(PfsError):
    """The command was right, but what it was to do failed: ``(message)``."""

    kind = "failed"
