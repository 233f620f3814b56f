"""Bucket names and object keys: what they mean inside.

``repo`` is its branch master, ``branch.repo`` (or ``branch.repo.default``) a branch, ``<commit>.repo`` and
``<commit>.branch.repo`` a commit, read-only. Repo names have no dots, so the forms cannot be mixed up.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from pfs.errors import InvalidNameError
from pfs.ids import CommitId, is_commit_id
from pfs.paths import MAX_KEY_BYTES, check_name
from s3api.errors import S3Error

MASTER = "master"
MAX_BUCKET = 63
"""Characters of a new bucket's name; a longer one is no host name."""
_PART = re.compile(r"[A-Za-z0-9]([A-Za-z0-9_-]*[A-Za-z0-9])?")
_ADDRESS = re.compile(r"[0-9]+(\.[0-9]+){3}")


@dataclass(frozen=True, slots=True)
class BucketName:
    """What a bucket stands for; with a ``commit`` it is read-only, and of any branch if ``branch`` is empty."""

    repo: str
    branch: str = MASTER
    commit: CommitId | None = None

    def __str__(self) -> str:
        branch = "" if self.branch == ("" if self.commit else MASTER) else f"{self.branch}."
        return f"{self.commit}.{branch}{self.repo}" if self.commit else f"{branch}{self.repo}"


def parse_bucket(name: str) -> BucketName:
    """Return what a bucket name means; hidden branches have none.

    Raises:
        S3Error: InvalidBucketName.
    """
    parts = name.split(".")
    commit = None
    if len(parts) > 1 and is_commit_id(parts[0]):
        commit = CommitId(parts.pop(0))
    if len(parts) == 3 and parts[2] == "default":
        parts.pop()
    if len(parts) > 2:
        raise S3Error("InvalidBucketName", f"bucket {name!r} is not repo, branch.repo or commit.repo")
    try:
        repo = check_name("repo", parts[-1])
        branch = check_name("branch", parts[0]) if len(parts) == 2 else "" if commit else MASTER
    except InvalidNameError as error:
        raise S3Error("InvalidBucketName", f"bucket {name!r}: {error}") from error
    return BucketName(repo, branch, commit)


def check_new_bucket(name: str) -> None:
    """Refuse a name for a new bucket that S3 would not take, as far as repos have a say in it.

    Upper case, underscores and names of one or two characters are for repos, so they are taken; longer names than 63
    characters, parts that begin or end with a sign, and IP addresses are not.

    Raises:
        S3Error: InvalidBucketName.
    """
    fits = len(name) <= MAX_BUCKET and all(_PART.fullmatch(part) for part in name.split("."))
    if not fits or _ADDRESS.fullmatch(name):
        why = f"at most {MAX_BUCKET} characters, each part between dots with a letter or digit at both ends"
        raise S3Error("InvalidBucketName", f"a new bucket cannot be named {name!r}: {why}")


def parse_key(raw: bytes) -> bytes:
    """Return an object key if it may be one: UTF-8, 1 to 1024 bytes, no NUL.

    Raises:
        S3Error: KeyTooLongError, InvalidURI.
    """
    if len(raw) > MAX_KEY_BYTES:
        raise S3Error("KeyTooLongError", fields={"Size": str(len(raw)), "MaxSizeAllowed": str(MAX_KEY_BYTES)})
    if not raw or b"\0" in raw:
        raise S3Error("InvalidURI", "a key has 1 to 1024 bytes and no NUL")
    try:
        raw.decode()
    except UnicodeDecodeError as error:
        raise S3Error("InvalidURI", "a key must be UTF-8") from error
    return raw
