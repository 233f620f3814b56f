"""What a controller tells while it works: for a live view, or for a log."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pps.model.infos import JobInfo
from pps.model.standing import StandingState
from pps.model.state import Counters, DatumState


@dataclass(frozen=True, slots=True)
class JobStarted:
    """A job began, or was taken up again (``job.restart`` > 0)."""

    job: JobInfo


@dataclass(frozen=True, slots=True)
class JobPlanned:
    """It is known how many datums the job has, and how many of them are skipped."""

    job: JobInfo


@dataclass(frozen=True, slots=True)
class DatumFinished:
    """A datum reached its end; ``counters`` are those of the job after it, ``reason`` is why it failed."""

    pipeline: str
    job: str
    datum: str
    state: DatumState
    counters: Counters
    reason: str


@dataclass(frozen=True, slots=True)
class JobFinished:
    """A job ended and its outcome is in the store."""

    job: JobInfo


@dataclass(frozen=True, slots=True)
class PipelineUpdated:
    """A changed code file was noticed, and the pipeline has a new version."""

    pipeline: str
    version: int
    files: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Attached:
    """Another controller runs on this store; its progress is shown."""


@dataclass(frozen=True, slots=True)
class Trouble:
    """A pipeline's job could not go on; a controller that serves tries again later. ``message`` is one line."""

    pipeline: str
    message: str


@dataclass(frozen=True, slots=True)
class NothingToSend:
    """The output of a job has nothing at a path that its pipeline's egress sends."""

    pipeline: str
    job: str
    path: str


@dataclass(frozen=True, slots=True)
class CodeGone:
    """Code files of a pipeline are not in their folder any more: the copies in the store run."""

    pipeline: str
    files: tuple[str, ...]
    folder: str


@dataclass(frozen=True, slots=True)
class StandingBy:
    """Another controller has the store: this one waits until that is gone. ``holder`` says which."""

    holder: str


@dataclass(frozen=True, slots=True)
class TookOver:
    """This is the controller of the store now, after one that ended without a word or was silent for too long."""


@dataclass(frozen=True, slots=True)
class Stands:
    """The command of a service or spout came into a state; ``again_s``: after this it is started again."""

    pipeline: str
    state: StandingState
    address: str = ""
    reason: str = ""
    again_s: float | None = None


@dataclass(frozen=True, slots=True)
class LeftToServe:
    """These services and spouts are not run: that takes a controller that stays."""

    pipelines: tuple[str, ...]


RunEvent = (
    JobStarted
    | JobPlanned
    | DatumFinished
    | JobFinished
    | PipelineUpdated
    | CodeGone
    | NothingToSend
    | Attached
    | Trouble
    | StandingBy
    | TookOver
    | Stands
    | LeftToServe
)
OnEvent = Callable[[RunEvent], None]


def ignore(_event: RunEvent) -> None:
    """Take an event and do nothing."""


@dataclass(frozen=True, slots=True)
class RunReport:
    """The jobs that ended in a run, in that order; ``damaged``: pipelines that were passed over as they are damaged."""

    jobs: tuple[JobInfo, ...]
    damaged: tuple[str, ...] = ()

    @property
    def failed(self) -> tuple[JobInfo, ...]:
        """The jobs among them that did not succeed."""
        return tuple(job for job in self.jobs if job.state != "success")
