"""What the pipeline service tells about pipelines, jobs, datums and logs.

Frozen values; times in ns since the epoch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from pfs.ids import CommitId
from pps.model.standing import StandingState
from pps.model.state import Counters, DatumState, JobState
from pps.spec.node import Plain

PipelineState = Literal["idle", "pending", "running", "stopped", "replaced", "damaged", "failure"] | StandingState


class ProcessInfo(NamedTuple):
    """The command of a service or spout that a controller keeps.

    ``address``: host and port where it is reached, empty without a port. ``reason``: why it ended, where it is to be
    started again, at ``again_ns``. ``restarts``: how often it was, since the data or the version is new. ``log_tail``:
    the end of what it had written when it ended last.
    """

    state: StandingState
    since_ns: int
    address: str
    reason: str
    restarts: int
    again_ns: int | None
    log_tail: str


@dataclass(frozen=True, slots=True)
class PipelineInfo:
    """A pipeline. ``spec``: its normalised spec, as create-pipeline takes it; ``notes``: fields without effect.

    ``state``: ``running`` while a job of it runs, ``pending`` while one waits, ``stopped`` after
    stop-pipeline, else ``idle``; ``replaced`` is a version that another one followed; of a ``damaged`` one only
    the name is known, and ``description`` and ``notes`` say what is wrong. That of a service or spout is that of its
    command (``process``), ``pending`` while no controller keeps it, ``failure`` when its newest data cannot be served.
    ``trouble``: why the egress of its last job, which has not ended, fails; empty if it does not. ``unread``: which
    input is damaged, so that no job is due of it; empty if none is.
    ``input_text`` is the input in short, such as ``images:/*``. ``spec_commit`` is None for a pipeline that was only
    checked.
    """

    name: str
    version: int
    created_ns: int
    updated_ns: int
    state: PipelineState
    description: str
    spec: Mapping[str, Plain]
    spec_commit: CommitId | None
    input: Plain
    input_text: str
    output_branch: str
    last_job: CommitId | None
    last_job_state: JobState | None
    notes: tuple[str, ...]
    process: ProcessInfo | None = None
    trouble: str = ""
    unread: str = ""

    @property
    def alerts(self) -> tuple[str, ...]:
        """What somebody should look at, a sentence each.

        It or its input is damaged, it crashes, the egress of its job fails, or its last job did not succeed.

        Of a pipeline that was stopped there is nothing to tell.
        """
        if self.state == "damaged":
            return (self.description,)
        if self.unread and self.state not in {"replaced", "stopped"}:
            return (self.unread,)
        if self.state == "crashing" and self.process is not None:
            return (f"its command ends and is started again: {self.process.reason}",)
        if self.trouble and self.state not in {"replaced", "stopped"}:
            return (f"its job {self.last_job} is {self.last_job_state}: {self.trouble}",)
        if self.state in {"replaced", "stopped"} or self.last_job_state in {None, JobState.SUCCESS}:
            return ()
        ended = self.last_job_state is not None and self.last_job_state.is_final
        return (f"its last job, {self.last_job}, ended in {self.last_job_state}",) if ended else ()


class InputCommit(NamedTuple):
    """What a job reads through one input."""

    name: str
    repo: str
    branch: str
    commit: CommitId


class Times(NamedTuple):
    """Seconds of all attempts together."""

    download: float
    process: float
    upload: float


class Work(NamedTuple):
    """What the datums of a job took that it ran itself, all attempts together; bytes staged and put out."""

    seconds: Times
    input_bytes: int
    output_bytes: int

    def plus(self, seconds: Sequence[float], size: tuple[int, int]) -> Work:
        """Return this and what one more datum took: download, process, upload; bytes in and out."""
        times = Times(*map(sum, zip(self.seconds, seconds, strict=True)))
        return Work(times, self.input_bytes + size[0], self.output_bytes + size[1])


NO_WORK = Work(Times(0.0, 0.0, 0.0), 0, 0)


@dataclass(frozen=True, slots=True)
class JobInfo:
    """One run of a pipeline; its id is that of its output commit. ``restart``: how often it was taken up again.

    ``version`` and ``spec_commit`` say which spec ran, ``isolation`` how (``namespace``, ``container``, ``none``; empty
    when nothing had to run). ``reason`` is why it ended other than in success, in one line. ``work``: as far as it got.
    """

    id: CommitId
    pipeline: str
    state: JobState
    started_ns: int
    finished_ns: int | None
    counters: Counters
    reason: str
    output_commit: CommitId | None
    inputs: tuple[InputCommit, ...]
    spec_commit: CommitId
    version: int
    isolation: str
    restart: int
    work: Work = NO_WORK

    @property
    def data_total(self) -> int:
        """All datums of the job."""
        return self.counters.total

    @property
    def data_processed(self) -> int:
        """Datums that ran and succeeded."""
        return self.counters.processed

    @property
    def data_skipped(self) -> int:
        """Datums that were unchanged, their output taken over."""
        return self.counters.skipped

    @property
    def data_failed(self) -> int:
        """Datums whose every try failed."""
        return self.counters.failed

    @property
    def data_recovered(self) -> int:
        """Datums that failed and whose err_cmd succeeded."""
        return self.counters.recovered


class DatumFile(NamedTuple):
    """What a datum takes from one input: a file or directory of a commit."""

    name: str
    repo: str
    branch: str
    commit: CommitId
    path: str


@dataclass(frozen=True, slots=True)
class DatumInfo:
    """One datum of one job. ``ran_in`` is the job that processed it: an earlier one, if it was skipped.

    For a skipped datum, tries, times, bytes, exit code and log are those of ``ran_in``. ``reason``: why it failed.
    """

    id: str
    job: CommitId
    pipeline: str
    state: DatumState
    inputs: tuple[DatumFile, ...]
    hash: str
    tries: int
    exit_code: int | None
    signal: int | None
    seconds: Times
    input_bytes: int
    output_bytes: int
    log_tail: str
    reason: str
    ran_in: CommitId | None


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line that a datum's command wrote; ``time`` in RFC 3339, UTC; ``stream``: stdout, stderr or system."""

    pipeline: str
    job: CommitId
    datum: str
    time: str
    stream: Literal["stdout", "stderr", "system"]
    message: str
