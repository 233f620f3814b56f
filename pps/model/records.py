"""What is kept of pipelines and jobs, and where: the hidden branches ``.spec`` and ``.meta`` of the output repo.

``.spec`` has one commit a version: ``/pipeline.json``, ``/spec.json`` (normalised), ``/given.json`` (as it was given),
``/effective.json`` (that laid over defaults) and ``/code/<path>`` (the files that the command is made of). ``.meta``
has what jobs leave: ``/jobs/<job>/job.json`` and ``datums.arrow``, ``/order/<number>.<job>``,
``/logs/<job>/<datum>``, and the results that can be taken over: ``/datums.arrow`` with one row for each result,
``/out/<datum>/<path>`` with its files, which share their chunks with the output commits; and of a task
``/buckets/<bucket>``: the head of each bucket that it wrote to at which nothing of it was missing there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from pfs.errors import CorruptionError
from pfs.ids import CommitId
from pfs.spout import CODE_BRANCH
from pfs.structs import ready
from pps.model.infos import NO_WORK, InputCommit, JobInfo, Work
from pps.model.state import NO_COUNTERS, Counters, JobState

if TYPE_CHECKING:
    from pfs.trees.row import Row

SPEC_BRANCH = CODE_BRANCH
META_BRANCH = ".meta"
PIPELINE_JSON = "/pipeline.json"
SPEC_JSON = "/spec.json"
GIVEN_JSON = "/given.json"
EFFECTIVE_JSON = "/effective.json"
CODE_DIR = "/code"
RESULTS = b"datums.arrow"
OUT_DIR = b"out"
JOBS_DIR = b"jobs"
LOGS_DIR = b"logs"
ORDER_DIR = b"order"
MARKS_DIR = b"buckets"
DELETED_DIR = b"deleted"
FORMAT = 1
NOT_DUE = "it was interrupted, and is not due any more"
"""The reason of a job that ends as killed without a controller that could end it."""


def job_key(job: CommitId) -> bytes:
    """Return the key of a job's record in the ``.meta`` tree."""
    return b"%s/%s/job.json" % (JOBS_DIR, job.encode())


def table_key(job: CommitId) -> bytes:
    """Return the key of a job's datum table."""
    return b"%s/%s/datums.arrow" % (JOBS_DIR, job.encode())


def log_key(job: CommitId, datum: str) -> bytes:
    """Return the key of the log of one datum of a job."""
    return b"%s/%s/%s" % (LOGS_DIR, job.encode(), datum.encode())


def order_key(number: int, job: CommitId) -> bytes:
    """Return the key of the empty file that says which job has a number."""
    return b"%s/%010d.%s" % (ORDER_DIR, number, job.encode())


def deleted_key(job: CommitId) -> bytes:
    """Return where it stands that a job was deleted whose record is still needed."""
    return b"%s/%s" % (DELETED_DIR, job.encode())


def folder_of(job: CommitId) -> bytes:
    """Return the key of the directory with a job's record and datum table."""
    return b"%s/%s" % (JOBS_DIR, job.encode())


def logs_of(job: CommitId) -> bytes:
    """Return the key of the directory with the logs of what a job ran."""
    return b"%s/%s" % (LOGS_DIR, job.encode())


def id_of(row: Row) -> CommitId:
    """Return the job that a row of ``/order`` names."""
    return CommitId(row.key.rpartition(b".")[2].decode())


def out_key(datum: str) -> bytes:
    """Return the key of the directory with a datum's results."""
    return b"%s/%s" % (OUT_DIR, datum.encode())


class Head(msgspec.Struct, frozen=True, array_like=True):
    """The commit of a branch, or None while it has none."""

    repo: str
    branch: str
    commit: CommitId | None


class PipelineRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One version of a pipeline. Times in ns; digests in hex.

    ``baseline``: the heads of the input branches when the version was made; the version's first job reads them.
    ``code``: digest of each file in ``/code``. ``transform``: digest of the command as it is; ``counts_as``: the digest
    that datum hashes are made with, an older one after an update that was not to run anything again.
    ``stopped``: it has no jobs until it is started. ``waits``: its first job is that of the next commit, there is none
    for the baseline.
    """

    v: int = FORMAT
    version: int
    created_ns: int
    updated_ns: int
    base_dir: str
    notes: tuple[str, ...] = ()
    code: dict[str, str] = {}
    transform: str
    counts_as: str
    salt: str = ""
    baseline: tuple[Head, ...] = ()
    stopped: bool = False
    waits: bool = False


class JobRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A job. ``number`` counts the pipeline's jobs; ``cause``: the commit that it is there for.

    ``position``: per input branch, the last commit that was taken notice of and is no failed one. ``meta_commit``: the
    commit of ``.meta`` with which it ended. ``events``: what happened, as (ns since its start, event), the first
    and the last of them if they are many. ``pages``: for each of ``inputs`` the root page of the tree that was read, in
    hex, as a later purge leaves the commit and takes the page; of a job that has ended, and none in older records.
    ``work``: what its datums took; nothing in older records.
    """

    v: int = FORMAT
    id: CommitId
    pipeline: str
    number: int
    cause: CommitId
    state: JobState
    reason: str = ""
    started_ns: int
    finished_ns: int | None = None
    counters: Counters = NO_COUNTERS
    inputs: tuple[tuple[str, str, str, str], ...]
    position: tuple[Head, ...]
    spec_commit: CommitId
    version: int
    output_branch: str
    has_output: bool = False
    meta_commit: CommitId | None = None
    isolation: str = ""
    restart: int = 0
    events: tuple[tuple[int, str], ...] = ()
    pages: tuple[str, ...] = ()
    work: Work = NO_WORK

    def info(self) -> JobInfo:
        """Return the public value."""
        return JobInfo(
            id=self.id,
            pipeline=self.pipeline,
            state=self.state,
            started_ns=self.started_ns,
            finished_ns=self.finished_ns,
            counters=self.counters,
            reason=self.reason,
            output_commit=self.id if self.has_output else None,
            inputs=self.input_commits(),
            spec_commit=self.spec_commit,
            version=self.version,
            isolation=self.isolation,
            restart=self.restart,
            work=self.work,
        )

    def input_commits(self) -> tuple[InputCommit, ...]:
        """Return what the job reads."""
        return tuple(InputCommit(name, repo, branch, CommitId(commit)) for name, repo, branch, commit in self.inputs)


def encode_json(record: PipelineRecord | JobRecord) -> bytes:
    """Return the stored JSON of a record."""
    return msgspec.json.encode(record)


def decode_pipeline(data: bytes, *, where: str) -> PipelineRecord:
    """Parse a stored record.

    Raises:
        CorruptionError: it is none; ``where`` names its place.
    """
    try:
        return msgspec.json.decode(data, type=ready(PipelineRecord))
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise CorruptionError(where, f"not a pipeline record ({error})") from error


def decode_job(data: bytes, *, where: str) -> JobRecord:
    """Parse a stored record.

    Raises:
        CorruptionError: it is none; ``where`` names its place.
    """
    try:
        return msgspec.json.decode(data, type=ready(JobRecord))
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise CorruptionError(where, f"not a job record ({error})") from error
