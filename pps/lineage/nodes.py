"""Nodes of a lineage as the store has them: files, datums and commits looked up and described."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pfs.ids import CommitId
from pfs.refs.body import is_hidden
from pfs.trees.page import Kind
from pps.lineage.model import CommitNode, CommitRef, DatumNode, DatumRef, FileNode, FileRef
from pps.model.records import SPEC_BRANCH

if TYPE_CHECKING:
    from pps.datums.table import Entry
    from pps.lineage.records import Found, Records
    from pps.model.records import JobRecord

_FEW = 3
_PURGED = "its content was purged"


def file_node(records: Records, ref: FileRef) -> FileNode:
    """Return what is known of a file or directory, also of one that is gone."""
    found = records.commit(ref.repo, ref.commit)
    if found is None:
        return FileNode(ref, "gone", made="gone", note=records.why_gone(ref.repo, ref.commit))
    tree = records.tree(ref.repo, ref.commit)
    row = None if tree is None else tree.stat(ref.key)
    if row is None:
        return FileNode(ref, "gone", made="gone", note="it is not in the commit any more")
    note = f"its commit was {found.gone}" if found.gone else ""
    if row.kind == Kind.REMOVED:
        return FileNode(ref, "removed", row.size, 1, row.tid.hex(), note=_PURGED)
    kind = "directory" if row.is_dir else "file"
    return FileNode(ref, "directory" if kind == "directory" else "file", row.size, row.count, row.tid.hex(), note=note)


def same_content(records: Records, ref: FileRef) -> list[str]:
    """Return the branches of users, some few of them, whose heads are other commits and have the same at a path."""
    state, tree = records.state(ref.repo), records.tree(ref.repo, ref.commit)
    row = None if tree is None else tree.stat(ref.key)
    found: list[str] = []
    for name, entry in sorted(() if state is None else state.body.branches.items()):
        if is_hidden(name) or entry.head in {None, ref.commit} or len(found) == _FEW:
            continue
        head = None if entry.head is None else records.tree(ref.repo, entry.head)
        other = None if head is None else head.stat(ref.key)
        if row is not None and other is not None and (row.kind, bytes(row.tid)) == (other.kind, bytes(other.tid)):
            found.append(name)
    return found


def datum_node(records: Records, job: JobRecord, entry: Entry) -> DatumNode:
    """Return what is known of a datum of a job."""
    ran_in = entry.result.ran_in or job.id
    ran = job if ran_in == job.id else records.job(job.pipeline, ran_in)
    ref = DatumRef(job.pipeline, job.id, entry.id.hex())
    if ran is None:
        return DatumNode(ref, entry.result.state, ran_in, note=f"of job {ran_in} no record is left")
    return DatumNode(
        ref,
        entry.result.state,
        ran_in,
        ran.version,
        ran.spec_commit,
        _code(records, job.pipeline, ran.spec_commit),
        entry.result.reason,
    )


def _code(records: Records, pipeline: str, spec_commit: CommitId) -> str:
    version = records.version(pipeline, spec_commit)
    return "" if version is None else version.transform


def commit_node(records: Records, ref: CommitRef) -> CommitNode:
    """Return what is known of a commit as a whole, also of one that is open or gone."""
    found = records.commit(ref.repo, ref.commit)
    if found is None:
        return _without_record(records, ref)
    record = found.record
    job, spec_commit = records.job(*ref), spec_of(found)
    code = "" if spec_commit is None else _code(records, ref.repo, spec_commit)
    return CommitNode(
        ref,
        "gone" if found.gone else "failed" if record.error is not None else "finished",
        record.branch,
        record.message,
        pipeline=ref.repo if job is not None or spec_commit is not None else None,
        job_state=None if job is None else job.state,
        version=_version(records, ref, job, spec_commit),
        spec_commit=spec_commit,
        code=code,
        note=found.gone or record.error or "",
    )


def _version(records: Records, ref: CommitRef, job: JobRecord | None, spec_commit: CommitId | None) -> int | None:
    if job is not None:
        return job.version
    version = None if spec_commit is None else records.version(ref.repo, spec_commit)
    return None if version is None else version.version


def _without_record(records: Records, ref: CommitRef) -> CommitNode:
    state = records.state(ref.repo)
    entry = None if state is None else state.body.open.get(ref.commit)
    if entry is not None:
        return CommitNode(ref, "open", entry.branch)
    return CommitNode(ref, "gone", note=records.why_gone(*ref))


def spec_of(found: Found) -> CommitId | None:
    """Return the commit of ``.spec`` that a pipeline's commit was made by, None for one of no pipeline."""
    record = found.record
    sources = (
        CommitId(commit) for repo, branch, commit in record.provenance if (repo, branch) == (record.repo, SPEC_BRANCH)
    )
    return next(sources, None)


def sources_of(found: Found) -> list[CommitRef]:
    """Return the commits that a commit was made from, without that of its spec."""
    record = found.record
    pairs = [(repo, CommitId(commit)) for repo, branch, commit in record.provenance if branch != SPEC_BRANCH]
    return [CommitRef(*pair) for pair in dict.fromkeys(pairs)]
