"""The JSON records of the command contract, made from the values of the libraries: field names are fixed here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cli.output import Json, Record, timestamp

if TYPE_CHECKING:
    from pfs.keys import Key
    from pfs.model import (
        BranchInfo,
        CommitInfo,
        CommitSetInfo,
        FileChange,
        FileInfo,
        Provenance,
        RepoInfo,
        TagInfo,
        TransactionInfo,
    )


def repo_record(info: RepoInfo) -> Record:
    """Return the record of a repo; sizes are those of the head of master; ``error`` is there for a damaged one."""
    damage = {} if info.error is None else {"error": info.error}
    return {
        "name": info.name,
        "description": info.description,
        "created": timestamp(info.created_ns if info.error is None else None),
        "branches": list(info.branches),
        "size_bytes": info.size_bytes,
        "file_count": info.file_count,
        **damage,
    }


def branch_record(info: BranchInfo) -> Record:
    """Return the record of a branch."""
    return {
        "name": info.name,
        "repo": info.repo,
        "head": info.head,
        "provenance": [{"repo": item.repo, "branch": item.branch} for item in info.provenance],
        "created": timestamp(info.created_ns),
    }


def tag_record(info: TagInfo) -> Record:
    """Return the record of a tag."""
    return {"name": info.name, "repo": info.repo, "commit": info.commit, "created": timestamp(info.created_ns)}


def transaction_record(info: TransactionInfo, *, active: str | None) -> Record:
    """Return the record of a transaction; ``active``: the id, or the beginning of it, of the user's active one."""
    return {
        "id": info.id,
        "state": info.state,
        "active": active is not None and info.id.startswith(active),
        "message": info.message,
        "created": timestamp(info.created_ns),
        "operations": list(info.operations),
        "commits": [provenance_record(item) for item in info.commits],
    }


def commit_set_record(info: CommitSetInfo) -> Record:
    """Return the record of a commit set; ``finished`` is null while one of its commits is open."""
    return {
        "id": info.id,
        "repos": [commit.repo for commit in info.commits],
        "created": timestamp(info.created_ns),
        "finished": timestamp(info.finished_ns),
        "errors": sum(commit.error is not None for commit in info.commits),
        "commits": [commit_record(commit) for commit in info.commits],
    }


def provenance_record(item: Provenance) -> Json:
    """Return one line of provenance."""
    return {"repo": item.repo, "branch": item.branch, "commit": item.commit}


def commit_record(info: CommitInfo) -> Record:
    """Return the record of a commit; ``finished`` is null while it is open."""
    return {
        "id": info.id,
        "repo": info.repo,
        "branch": info.branch,
        "parents": list(info.parents),
        "message": info.message,
        "started": timestamp(info.started_ns),
        "finished": timestamp(info.finished_ns),
        "size_bytes": info.size_bytes,
        "file_count": info.file_count,
        "hash": info.root.tid.hex(),
        "provenance": [provenance_record(item) for item in info.provenance],
        "error": info.error,
        "origin": info.origin,
    }


def file_record(info: FileInfo) -> Record:
    """Return the record of a file or directory; ``changed`` is when, ``commit`` in which commit it last changed."""
    return {
        "name": info.path.rstrip("/").rpartition("/")[2] or "/",
        "path": info.path,
        "type": info.type,
        "size_bytes": info.size_bytes,
        "file_count": info.file_count,
        "hash": info.hash,
        "commit": info.commit,
        "changed": timestamp(info.changed_ns),
        "executable": info.executable,
        "mime": info.mime,
        "metadata": dict(info.metadata or {}),
        "etag": info.etag,
    }


def change_record(change: FileChange) -> Record:
    """Return the record of a changed path: ``change`` is added, deleted or modified."""
    return {
        "name": change.path.rstrip("/").rpartition("/")[2] or "/",
        "path": change.path,
        "change": change.type,
        "old": file_record(change.old) if change.old is not None else None,
        "new": file_record(change.new) if change.new is not None else None,
    }


def key_record(key: Key) -> Record:
    """Return the record of a key, without its secret."""
    return {"name": key.name, "access_key": key.access_key, "role": key.role, "repos": list(key.repos)}
