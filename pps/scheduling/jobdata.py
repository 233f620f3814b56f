"""What one job brings about in the store: results as they come, checkpoints, and in the end one publication.

Two trees are kept in the making: ``.meta`` with results, logs and records, and at the end the output. All goes through
one write session, which takes over what the workers wrote; nothing of a unit counts before its session was taken over.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from itertools import takewhile
from pathlib import Path
from tempfile import TemporaryFile
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

from pfs.backends.durable import storage_errors
from pfs.errors import BranchMovedError
from pfs.files.ingest import put_stream
from pfs.ids import CommitId, new_commit_id
from pfs.model import CommitInfo, NewCommit, Provenance
from pfs.transactions.together import publish_together
from pfs.trees.edit import DeleteTree, Edit, Put, edit
from pfs.trees.page import Changed
from pfs.trees.row import EMPTY_ROOT, Root
from pfs.trees.tree import Tree
from pps.datums.ended import EndedDatums
from pps.datums.table import Result, empty_table, write_tables
from pps.executor import DatumDone, DatumTask
from pps.model.catalog import Catalog
from pps.model.records import (
    META_BRANCH,
    NOT_DUE,
    RESULTS,
    SPEC_BRANCH,
    JobRecord,
    encode_json,
    job_key,
    order_key,
    out_key,
    table_key,
)
from pps.model.state import DatumState, JobState
from pps.scheduling.buckets import BucketWrites, Outputs, make_repos
from pps.scheduling.forget import forgotten
from pps.scheduling.freed import give_back, share_arrow_memory
from pps.scheduling.gather import Before, Collisions, Way, gather
from pps.scheduling.jobplan import CommitMatches, JobPlan, make_plan, result_of
from pps.scheduling.jobtable import JobTable
from pps.scheduling.parts import AT_ONCE, edit_in_parts
from pps.scheduling.planchange import plan_by_change
from pps.scheduling.stored_table import laid_out, read_table
from pps.scheduling.waiting import Waiting

if TYPE_CHECKING:
    import pyarrow as pa

    from pfs.store import Store
    from pps.egress.delivered import Notes
    from pps.scheduling.jobtable import Tables
    from pps.scheduling.queue import Due
    from pps.spec import Spec


class Outcome(NamedTuple):
    """How a job ends: ``output`` is the tree of its commit, ``meta`` that of ``.meta`` without the job's own files."""

    output: Root
    meta: Root
    results: Tables


class JobData:
    """The store's side of one job. One thread."""

    def __init__(self, store: Store, due: Due, job: CommitId) -> None:
        share_arrow_memory()
        self._store, self._due, self._job = store, due, job
        self._pipeline = due.pipeline
        self._repo = store.repo(due.pipeline.name)
        self._matches = CommitMatches(store, due.inputs)
        self._changed = Changed(bytes.fromhex(job), store.clock_ns())
        self._collisions: Collisions = "allow" if _over_s3(self._pipeline.spec) else "refuse"
        """Whether a path may be both a file and a directory, as keys of S3 may."""
        self.session = store.session()
        self._meta_head, self._meta = due.pipeline.meta, due.pipeline.meta_root
        self._saved = self._meta
        self._table = JobTable(None, self._read_results(), EndedDatums(0))
        self.pages: tuple[str, ...] = ()
        """The root page of each input, in hex, once the datums were listed."""
        self._waiting = Waiting(job)
        self._has_news = False
        self._notes: list[list[Edit]] = []

    @property
    def matches(self) -> CommitMatches:
        """The commits that the job reads."""
        return self._matches

    @property
    def results(self) -> pa.Table:
        """The results that could be taken over when the job began."""
        return self._table.base

    def plan(self) -> JobPlan:
        """List the datums and compare them with the results there are; once, first."""
        base = self._table.base
        # Noted before it is listed: what is purged in between is then known to be something else.
        self.pages = self._matches.pages(self._pipeline.leaves)
        plan = plan_by_change(self._store, self._pipeline, self._matches, base)
        if plan is None:
            plan = make_plan(self._pipeline, self._matches, base, job=self._job)
            plan = replace(plan, table=laid_out(plan.table, self._store.path / "tmp"))
        self._table = JobTable(plan, base, EndedDatums(plan.total))
        give_back()
        return plan

    def add(self, task: DatumTask, done: DatumDone) -> None:
        """Take the end of a datum; its bytes are in the session already."""
        state, result = DatumState(done.state), result_of(task, done, self._job)
        self._end(task.index, result)
        is_news = state == DatumState.SUCCESS
        self._waiting.add(done.datum, log=done.log, outputs=done.outputs if is_news else None)
        self._has_news |= is_news
        if self._waiting.is_full:
            self._apply()

    def keep_log(self, datum: str, path: Path) -> None:
        """Store the log of a datum that has no end of its own."""
        with path.open("rb") as file:
            self._waiting.add(datum, log=put_stream(self.session, self._store.params, file, jobs=1))

    def fail(self, place: int, reason: str) -> None:
        """Take the end of a datum that no worker could tell of."""
        self._end(place, Result(DatumState.FAILED, reason=reason, ran_in=self._job))

    def _end(self, place: int, result: Result) -> None:
        assert self._table.plan is not None, "datums end after they were planned"
        self._table.ended.add(int(self._table.plan.row_of[place]), result)

    def _apply(self) -> None:
        for part in self._waiting.parts(AT_ONCE):
            self._meta = edit(self.session, self._meta, part, changed=self._changed, collisions=self._collisions)
        self._waiting.clear()
        give_back()

    def _read_results(self) -> pa.Table:
        row = Tree(self._store.objects, self._meta).stat(RESULTS, want="file")
        if row is None:
            return empty_table()
        where = f"{self._pipeline.name}@{META_BRANCH}:/{RESULTS.decode()}"
        return read_table(self._store, row, where=where)

    @property
    def has_news(self) -> bool:
        """Whether a checkpoint would save anything."""
        return self._has_news

    def checkpoint(self, record: JobRecord) -> None:
        """Save the datums that are done, so that a controller that takes the job up again need not run them."""
        self._apply()
        meta = self._with_files(self._meta, record, self._table.results, None)
        self._publish_meta(meta, record)
        self._meta, self._has_news = meta, False
        # A session remembers all that it wrote; what is published needs no remembering.
        self.session = self._store.session()

    def note(self, record: JobRecord) -> None:
        """Save the record alone, on what was saved last; what is under way stays in the session that it is in."""
        working, self.session = self.session, self._store.session()
        try:
            self._publish_meta(self._with_files(self._saved, record, None, None), record)
        except BaseException:
            self.session.abandon()
            raise
        finally:
            self.session = working

    def _publish_meta(self, root: Root, record: JobRecord) -> None:
        commit = NewCommit(
            branch=META_BRANCH,
            root=root,
            id=new_commit_id(),
            started_ns=record.started_ns,
            parents=() if self._meta_head is None else (self._meta_head,),
            message=f"checkpoint of job {record.id}",
            rewrites=self._pipeline.rewrites,
        )
        (info,) = self._repo.publish([commit], self.session)
        self._meta_head, self._saved = info.id, root

    def _with_files(
        self,
        meta: Root,
        record: JobRecord,
        results: Tables | None,
        datums: Tables | None,
        marks: Mapping[bytes, bytes] = MappingProxyType({}),
    ) -> Root:
        """Return the tree with the job's record, the results and, at its end, its datum table and what it notes."""
        tables = {RESULTS: results, table_key(record.id): datums}
        puts = [self._table_file(key, table()) for key, table in tables.items() if table is not None]
        files = {job_key(record.id): encode_json(record), **marks}
        files |= {job_key(old.id): encode_json(old) for old in self._abandoned(record)}
        files |= {order_key(job.number, job.id): b"" for job in self._without_order(record)}
        puts += [self._file(key, data) for key, data in files.items()]
        drops = forgotten(Tree(self.session, meta), head=self._output_head())
        return edit(self.session, meta, [*puts, *drops], changed=self._changed)

    def _without_order(self, record: JobRecord) -> list[JobRecord]:
        """Return the jobs that have no name in ``/order`` yet: this one, and all where an older release wrote them."""
        jobs = self._pipeline.jobs
        return [record] if jobs.is_ordered else [record, *jobs]

    def _abandoned(self, record: JobRecord) -> list[JobRecord]:
        """Return the records of interrupted jobs that are not taken up again, as killed."""
        from msgspec import structs

        service = self._pipeline.spec.service is not None
        if service and record.state == JobState.UNRUNNABLE:
            return []  # it is recorded beside the job that goes on
        passed = {JobState.UNRUNNABLE} if service else set()
        recent = takewhile(lambda job: not job.state.is_final or job.state in passed, reversed(self._pipeline.jobs))
        old = [job for job in recent if not job.state.is_final and job.id != record.id]
        now_ns = self._store.clock_ns()
        return [structs.replace(job, state=JobState.KILLED, reason=NOT_DUE, finished_ns=now_ns) for job in old]

    def _file(self, key: bytes, data: bytes) -> Edit:
        import io

        ref = put_stream(self.session, self._store.params, io.BytesIO(data), jobs=1)
        return Put(key, ref.kind, ref.size, ref.tid)

    def _table_file(self, key: bytes, table: Iterator[pa.Table]) -> Edit:
        """Store a table by way of a file: of a million datums, it would take hundreds of megabytes once more."""
        place = self._store.path / "tmp"
        with ExitStack() as stack:
            with storage_errors(f"write a table of datums in {place}"):
                place.mkdir(exist_ok=True)
                file = stack.enter_context(TemporaryFile(dir=place))
                write_tables(table, file)
                file.seek(0)
            ref = put_stream(self.session, self._store.params, file, jobs=1)
        return Put(key, ref.kind, ref.size, ref.tid)

    def gather(self, *, success: bool) -> Outcome:
        """Put the outputs together.

        Raises:
            FailedError: they do not fit together; see `gather.gather`. Or a bucket is none that a task may write to.
        """
        self._apply()
        drops = (DeleteTree(out_key(one.hex())) for one in self._table.gone())
        kept = edit_in_parts(self.session, self._meta, drops, changed=self._changed)
        way = Way(self._changed, self._collisions, self._store.path / "tmp")
        output = gather(self.session, self._before(), kept, way)
        if not success:
            return Outcome(output, self._meta, self._table.results)
        outcome = Outcome(output, kept, self._table.taken_over)
        if self._pipeline.spec.transform.task is not None:
            self._buckets(outcome).refuse(self._store, {leaf.repo for leaf in self._pipeline.leaves})
        return outcome

    def _buckets(self, outcome: Outcome) -> BucketWrites:
        outputs = Outputs(self._before().output, outcome.output, self._meta)
        return BucketWrites(self.session, outputs, self._job, changed=self._changed)

    def take_notes(self, notes: Sequence[Notes]) -> None:
        """Take what was delivered; the commit of the job will say so, however the job ends."""
        for one in notes:
            edits = one.edits()
            self.session.adopt(one.session)
            self._notes.append(edits)

    def nothing(self) -> Outcome:
        """Return the outcome of a job that leaves the output as it is; what succeeded stays to be taken over."""
        self._apply()
        head = self._output_head()
        return Outcome(self._root_of(head), self._meta, self._table.results)

    def _before(self) -> Before:
        """Return what the output is made from: the job whose commit is its head, or nothing at all."""
        head = self._output_head()
        job = None if head is None else self._pipeline.jobs.find(head)
        if job is None or job.state != JobState.SUCCESS or job.meta_commit is None:
            return Before(EMPTY_ROOT, EMPTY_ROOT)
        return Before(self._root_of(head), self._root_of(job.meta_commit))

    def _output_head(self) -> CommitId | None:
        return self._pipeline.output

    def _root_of(self, commit: CommitId | None) -> Root:
        if commit is None:
            return EMPTY_ROOT
        return self._store.history.get(self._pipeline.name, commit).tree_root()

    def planned(self) -> Iterator[pa.Table]:
        """Yield the job's datums as they were planned; see `JobTable.planned`."""
        return self._table.planned()

    def finish(self, record: JobRecord, outcome: Outcome) -> CommitInfo:
        """Commit the job: its output commit and the ``.meta`` commit that knows of it appear together.

        What a task wrote to buckets appears with them.

        Raises:
            BranchMovedError: somebody moved the output branch; nothing was published.
            FailedError: a bucket cannot be written any more; nothing was published.
        """
        if record.state != JobState.SUCCESS or self._pipeline.spec.transform.task is None:
            return self._publish_end(self._store, record, outcome)
        buckets = self._buckets(outcome)
        if not buckets.due(self._store):
            return self._publish_end(self._store, record, outcome, marks=buckets.marks(self._store, ()))
        assert record.meta_commit is not None, "a job that ends knows the commit that says so"
        work = partial(self._publish_with_buckets, record, outcome, buckets)
        return publish_together(self._store, work, repos=(record.pipeline, *buckets.names), id=record.meta_commit)

    def _publish_with_buckets(
        self, record: JobRecord, outcome: Outcome, buckets: BucketWrites, staged: Store
    ) -> CommitInfo:
        make_repos(staged, buckets.names)
        due = buckets.due(staged)
        info = self._publish_end(staged, record, outcome, marks=buckets.marks(staged, due))
        made = Provenance(record.pipeline, record.output_branch, record.id)
        buckets.publish(staged, due, record, (*self._provenance(record), made))
        return info

    def _publish_end(
        self, store: Store, record: JobRecord, outcome: Outcome, *, marks: Mapping[bytes, bytes] = MappingProxyType({})
    ) -> CommitInfo:
        meta = self._with_files(outcome.meta, record, outcome.results, self._table.datums, marks)
        for edits in self._notes:
            meta = edit(self.session, meta, edits, changed=self._changed)
        assert record.meta_commit is not None, "a job that ends knows the commit that says so"
        head = self._output_head()
        output = NewCommit(
            branch=record.output_branch,
            root=outcome.output,
            id=record.id,
            started_ns=record.started_ns,
            parents=() if head is None else (head,),
            message=f"job of pipeline {record.pipeline}",
            provenance=self._provenance(record),
            error=None if record.state == JobState.SUCCESS else record.reason or record.state.value,
            rewrites=self._pipeline.rewrites,
            origin="auto",
        )
        known = NewCommit(
            branch=META_BRANCH,
            root=meta,
            id=record.meta_commit,
            started_ns=record.started_ns,
            parents=(record.id,) if self._meta_head is None else (self._meta_head, record.id),
            message=f"job {record.id}: {record.state.value}",
            forked=True,
            onto=self._meta_head,
            origin="auto",
        )
        return store.repo(record.pipeline).publish([output, known], self.session)[0]

    def _provenance(self, record: JobRecord) -> tuple[Provenance, ...]:
        sources = dict.fromkeys((repo, branch, CommitId(commit)) for _, repo, branch, commit in record.inputs)
        spec = (record.pipeline, SPEC_BRANCH, record.spec_commit)
        return tuple(Provenance(*source) for source in (*sources, spec))

    def look_again(self) -> None:
        """Read the output branch again, after somebody moved it.

        Raises:
            BranchMovedError: ``.meta`` was moved too, which only another controller can have done; or something was
                purged from the repo, and what the job has may hold it.
        """
        present = Catalog(self._store).get(self._pipeline.name)
        if present.meta != self._meta_head or present.rewrites != self._pipeline.rewrites:
            raise BranchMovedError(f"{self._pipeline.name}@{META_BRANCH}")
        self._pipeline = present


def _over_s3(spec: Spec) -> bool:
    """Say whether keys of S3 may be in the output."""
    return spec.s3_out or spec.transform.task is not None
