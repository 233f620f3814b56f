"""The JSON records of the command contract, made from the values of the libraries: field names are fixed here."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from cli.output import Json, Record, timestamp
from pfs.model import BranchRef

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
    from pfs.provenance.dag import Dag


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
        "metadata": dict(info.metadata),
        **damage,
    }


def branch_record(info: BranchInfo, graph: Dag) -> Record:
    """Return the record of a branch; ``full_provenance`` and ``subvenance`` go through others too."""
    at = BranchRef(info.repo, info.name)
    trigger = info.trigger
    return {
        "name": info.name,
        "repo": info.repo,
        "head": info.head,
        "open_commit": info.open_commit,
        "provenance": _refs(info.provenance),
        "never": _refs(info.never),
        "full_provenance": _refs(graph.provenance(at)),
        "subvenance": _refs(graph.subvenance(at)),
        "pipeline": info.pipeline,
        "trigger": None
        if trigger is None
        else {
            "branch": trigger.branch,
            "size_bytes": trigger.size_bytes,
            "commits": trigger.commits,
            "rate": trigger.rate,
            "cron": trigger.cron,
            "all": trigger.all,
        },
        "metadata": dict(info.metadata),
        "created": timestamp(info.created_ns),
        "updated": timestamp(info.updated_ns),
    }


def _refs(branches: Iterable[BranchRef]) -> list[Json]:
    return [{"repo": repo, "branch": branch} for repo, branch in branches]


def branch_text(record: Record) -> Record:
    """Return the record of a branch as people read it: branches as ``repo@branch``, the trigger in words."""
    said = {name: _joined(value) if isinstance(value, list) else value for name, value in record.items()}
    return {**said, "trigger": trigger_text(record["trigger"])}


def _joined(branches: Iterable[Json]) -> str | None:
    return ", ".join(f"{one['repo']}@{one['branch']}" for one in branches if isinstance(one, dict)) or None


def trigger_text(trigger: Json) -> str | None:
    """Return a trigger's record in words: ``dev, when 3 commits came or 100 bytes were added``."""
    if not isinstance(trigger, dict):
        return None
    said = {
        "cron": f"at {trigger['cron']}",
        "size_bytes": f"when {trigger['size_bytes']} bytes were added",
        "commits": f"when {trigger['commits']} commits came",
        "rate": f"once per {trigger['rate']}",
    }
    conditions = [text for name, text in said.items() if trigger[name] not in (None, 0, "")]
    usual = "always" if trigger["all"] else "never"
    return f"{trigger['branch']}, {(' and ' if trigger['all'] else ' or ').join(conditions) or usual}"


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
        "metadata": dict(info.metadata),
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
