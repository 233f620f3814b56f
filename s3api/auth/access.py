"""Who may do what: a key has one role, for all repos or some; anonymous callers read where it was allowed."""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from enum import IntEnum

from pfs.keys import Key
from s3api.errors import S3Error


class Permission(IntEnum):
    """What an operation needs, ascending: a role that allows one allows those before it."""

    READ = 1
    WRITE = 2
    OWN = 3


_ROLES = {"reader": Permission.READ, "writer": Permission.WRITE, "owner": Permission.OWN}


def may(key: Key | None, permission: Permission, repo: str, *, anonymous_read: AbstractSet[str]) -> bool:
    """Say whether a key (None: nobody's) may do this in a repo."""
    if permission is Permission.READ and repo in anonymous_read:
        return True
    return key is not None and _ROLES[key.role] >= permission and (not key.repos or repo in key.repos)


def authorize(key: Key | None, permission: Permission, repo: str, *, anonymous_read: AbstractSet[str]) -> None:
    """Refuse what `may` does not allow.

    Raises:
        S3Error: AccessDenied, with the key's name and role.
    """
    if may(key, permission, repo, anonymous_read=anonymous_read):
        return
    if key is None:
        raise S3Error("AccessDenied", "this needs a signed request")
    raise S3Error("AccessDenied", f"key {key.name!r} ({key.role}) may not {permission.name.lower()} repo {repo!r}")


def require_same_repo(key: Key | None, repo: str, created_ns: int | None) -> None:
    """Refuse a key that was made for an earlier repo of that name; ``created_ns`` None: there is none now.

    Raises:
        S3Error: AccessDenied.
    """
    if key is not None and key.is_outlived(repo, created_ns):
        raise S3Error("AccessDenied", f"key {key.name!r} is for an earlier repo {repo!r}: make a new key for this one")
