"""One step up: from files of a commit to the datums that wrote them, and from a datum to what it read.

A file's own row says which commit put it. In a commit that a job made, the results of that job say which datum wrote
it, and the job's table in which job that datum ran. In any other commit a file is what a user put, or what came into
it from an older commit of the repo, which is asked instead.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from pfs.ids import CommitId
from pps.datums.readset import Read, decode_reads
from pps.datums.table import Entry, find
from pps.lineage.model import CommitRef, DatumNode, FileRef, How, Made
from pps.lineage.nodes import datum_node, sources_of, spec_of
from pps.lineage.owners import owners
from pps.model.state import DatumState, JobState
from pps.spec.task import BUCKETS

if TYPE_CHECKING:
    from pfs.trees.row import Row
    from pps.lineage.records import Found, Records
    from pps.model.infos import InputCommit
    from pps.model.records import JobRecord

Rows = Mapping[bytes, "Row"]
"""Files of one commit by their keys."""


@dataclass(frozen=True, slots=True)
class Origin:
    """What a file comes from; ``since`` and ``note`` as in `FileNode`; ``sources`` for ``made`` "commit"."""

    made: Made
    datum: DatumNode | None = None
    sources: tuple[CommitRef, ...] = ()
    since: CommitId | None = None
    note: str = ""


def origins(records: Records, repo: str, commit: CommitId, rows: Rows) -> dict[bytes, Origin]:
    """Return what each of these files of a commit comes from.

    Cost: a scan of the results of the job that made the commit, and of others that files are left from.
    """
    found, job = records.commit(repo, commit), records.job(repo, commit)
    if not rows:
        return {}
    before = _unchanged_since(records, found, job)
    if before is not None:
        return _older(records, repo, before, rows)
    made = {} if job is None else _by_datums(records, job, rows)
    left: dict[CommitId | None, dict[bytes, Row]] = {}
    for key, row in rows.items():
        if key not in made:
            left.setdefault(None if row.changed is None else CommitId(row.changed.commit.hex()), {})[key] = row
    for put_in, part in left.items():
        if put_in is None or put_in == commit:
            known = {} if job is not None else _by_merge(records, found, part) | _by_task(records, found, part)
            made |= dict.fromkeys(part, _as_a_whole(records, found, job)) | known
        else:
            made |= _older(records, repo, put_in, part)
    return made


def _unchanged_since(records: Records, found: Found | None, job: JobRecord | None) -> CommitId | None:
    """Return the parent of the commit of a job that did not succeed and left the output as it was."""
    if found is None or job is None or job.state == JobState.SUCCESS or not found.record.parents:
        return None
    parent = records.commit(job.pipeline, found.record.parents[0])
    same = parent is not None and parent.record.root == found.record.root
    return found.record.parents[0] if same else None


def _by_datums(records: Records, job: JobRecord, rows: Rows) -> dict[bytes, Origin]:
    table = records.table(job)
    made = {}
    for key, datums in owners(records.results(job), rows).items():
        entries = (find(table, bytes.fromhex(datum.decode())) for datum in datums)
        good = (one for one in entries if one is not None and one.result.state in _DONE)
        entry = next(good, None)
        if entry is not None:
            made[key] = Origin("datum", datum_node(records, job, entry))
    return made


_DONE = frozenset({DatumState.SUCCESS, DatumState.SKIPPED})


def _older(records: Records, repo: str, commit: CommitId, rows: Rows) -> dict[bytes, Origin]:
    """Return what files come from that are left from an older commit of the repo."""
    found = records.commit(repo, commit)
    if found is None and records.job(repo, commit) is None:
        return dict.fromkeys(rows, Origin("gone", since=commit, note=records.why_gone(repo, commit)))
    there = origins(records, repo, commit, rows)
    what = "" if found is None or not found.gone else f"commit {commit} was {found.gone}"
    return {key: _since(one, commit, what) for key, one in there.items()}


def _by_merge(records: Records, found: Found | None, rows: Rows) -> dict[bytes, Origin]:
    """Return what those files come from that a merge took from another parent as they are there."""
    made: dict[bytes, Origin] = {}
    if found is None:
        return made
    repo = found.record.repo
    for parent in found.record.parents[1:]:
        tree = records.tree(repo, parent)
        if tree is not None:
            there = {key: tree.stat(key, want="file") for key in rows.keys() - made.keys()}
            same = {key: row for key, row in there.items() if row is not None and _content(row) == _content(rows[key])}
            made |= _older(records, repo, parent, same)
    return made


def _by_task(records: Records, found: Found | None, rows: Rows) -> dict[bytes, Origin]:
    """Return what those objects of a bucket come from that a task wrote: the output of its job has them too."""
    sources = [] if found is None else sources_of(found)
    for source in sources:
        tree = None if records.job(source.repo, source.commit) is None else records.tree(source.repo, source.commit)
        if tree is not None and found is not None:
            top = f"{BUCKETS}/{found.record.repo}/".encode()
            there = {key: tree.stat(top + key, want="file") for key in rows}
            same = {top + key: row for key, row in there.items() if row and _content(row) == _content(rows[key])}
            if same:
                made = origins(records, source.repo, source.commit, same)
                return {key[len(top) :]: origin for key, origin in made.items()}
    return {}


def _content(row: Row) -> tuple[int, bytes]:
    return row.kind, bytes(row.tid)


def _since(origin: Origin, commit: CommitId, what: str) -> Origin:
    note = "; ".join(text for text in (what, origin.note) if text)
    return replace(origin, since=origin.since or commit, note=note)


def _as_a_whole(records: Records, found: Found | None, job: JobRecord | None) -> Origin:
    """Return what all files of a commit come from of which no datum is known."""
    if found is None:
        return Origin("gone")
    sources = tuple(sources_of(found))
    if job is not None:
        return Origin("commit", sources=sources, note=f"which datum of job {job.id} made it is not known any more")
    spec = spec_of(found)
    if spec is not None:
        return Origin("commit", sources=sources, note=_of_pipeline(records, found, spec))
    if sources:
        return Origin("commit", sources=sources, note=found.record.message)
    return Origin("user", note=found.record.message)


def _of_pipeline(records: Records, found: Found, spec: CommitId) -> str:
    repo, version = found.record.repo, records.version(found.record.repo, spec)
    known = f"version {version.version} of " if version is not None else ""
    return f"made by {known}pipeline {repo}, not by a datum"


def inputs_of(records: Records, node: DatumNode) -> Iterator[tuple[FileRef, How]]:
    """Yield what a datum read, as it was read: at the commits of the job that processed it.

    Of what it read over S3 the keys that it looked up and found, and the folders that it listed; the whole input where
    no record of that was kept.
    """
    for job, entry in _runs(records, node):
        reads = {} if entry.result.reads is None else decode_reads(entry.result.reads)
        sources = job.input_commits()
        for given in entry.inputs:
            if given.leaf < len(sources):
                source = sources[given.leaf]
                read = reads.get(given.name)
                if read is None or read.observed is None:
                    yield FileRef(source.repo, source.commit, given.path.encode()[1:]), "read"
                else:
                    yield from _read_over_s3(source, read)
        return


def _runs(records: Records, node: DatumNode) -> Iterator[tuple[JobRecord, Entry]]:
    """Yield the datum as the job has it that processed it, then as the job has it that was asked about."""
    for id in dict.fromkeys((node.ran_in, node.ref.job)):
        job = records.job(node.ref.pipeline, id)
        entry = None if job is None else find(records.table(job), bytes.fromhex(node.ref.datum))
        if job is not None and entry is not None:
            yield job, entry


def _read_over_s3(source: InputCommit, read: Read) -> Iterator[tuple[FileRef, How]]:
    if read.observed is None:
        return
    for key, content in read.observed.found.items():
        if content:
            yield FileRef(source.repo, source.commit, key), "looked-up"
    folders = (one.prefix[: max(one.prefix.rfind(b"/"), 0)] for one in read.observed.listings)
    for folder in dict.fromkeys(folders):
        yield FileRef(source.repo, source.commit, folder), "listed"
