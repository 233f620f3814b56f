"""The protocol between the scheduler and the place where datums run, and the values that cross it.

Results carry digests and statistics, never data: workers write packs straight to the object store, and the
controller only commits them. A unit's attempt number is its fencing token: events of another attempt than the
scheduler waits for are refused, so a zombie worker commits nothing. No value assumes that the executor is on
this machine, but ``code_dir``, which an executor elsewhere gets from the store.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol

from pps.spec import Service, Transform
from pps.spec.resources import size_text
from pps.spec.types import NOTHING, Resources

if TYPE_CHECKING:
    from pfs.files.ingest import FileRef
    from pfs.packs.session import WriteSession
    from pfs.trees.tree import Row

DatumOutcome = Literal["success", "failed", "recovered"]
Reads = bytes
"""What a datum read over S3, as `pps.datums.readset` stores it."""


@dataclass(frozen=True, slots=True)
class DatumInput:
    """What one input gives to a datum: shown to the command as ``/pfs/<name>/<key of each file>``.

    ``rows`` are what matched: a row of kind DIR stands for everything below it in ``repo@commit`` (key
    ``b""``: the whole commit), so that a datum of a million files is one row here. ``path`` is the last
    match as a path, for messages and the environment, as are the texts it was joined and grouped by. With
    ``empty_files`` the files have their names and no bytes. ``s3``: nothing is shown, the command reads it from the
    gateway of its job. ``lazy``: the files are named pipes, whose bytes are fetched when the command opens them.
    """

    name: str
    repo: str
    branch: str
    commit: str
    path: str
    rows: tuple[Row, ...]
    empty_files: bool = False
    join_on: str = ""
    group_by: str = ""
    s3: bool = False
    lazy: bool = False

    @property
    def has_bytes(self) -> bool:
        """Whether the bytes of the files are staged before the command starts."""
        return not (self.empty_files or self.s3 or self.lazy)


@dataclass(frozen=True, slots=True)
class DatumTask:
    """One datum to run.

    ``tries``: attempts allowed in all, at least 1. ``env`` comes on top of the transform's.
    """

    id: str
    index: int
    inputs: tuple[DatumInput, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    tries: int = 3


class UnitId(NamedTuple):
    """Names one attempt at one unit of a job; also the handle of a submitted unit.

    Jobs of several pipelines share an id, and so may their datums: what is kept per job or datum (logs,
    staging) is kept under ``pipeline`` and ``job``.
    """

    pipeline: str
    job: str
    attempt: int
    number: int


Handle = UnitId


@dataclass(frozen=True, slots=True)
class WorkUnit:
    """A set of datums of one job that a worker takes in one go.

    ``attempt`` is the fencing token. ``timeout_s`` limits each attempt of a datum's command. ``code_dir``:
    the folder in which the command starts unless ``transform.working_dir`` names one, read-only for it. ``s3_out``:
    the output is what the command writes to the gateway of its job; there is no /pfs/out. ``requests`` must be free
    while it runs; the command of a datum that uses more than ``limits`` is killed. ``service``: where the command is
    reached; ``spout``: it commits to the output of its pipeline itself; ``job`` is the commit of its code.
    """

    job: str
    pipeline: str
    attempt: int
    number: int
    transform: Transform
    code_dir: Path | None
    datums: tuple[DatumTask, ...]
    timeout_s: float | None = None
    s3_out: bool = False
    requests: Resources = NOTHING
    limits: Resources = NOTHING
    service: Service | None = None
    spout: bool = False
    output_branch: str = "master"

    @property
    def stands(self) -> bool:
        """Whether it is one command that runs on (`Executor.stand`): of a service or a spout, with no /pfs/out."""
        return self.spout or self.service is not None

    @property
    def id(self) -> UnitId:
        """The name of this unit in events."""
        return UnitId(self.pipeline, self.job, self.attempt, self.number)


class OutputFile(NamedTuple):
    """One file that the command left in /pfs/out; ``key`` is relative to it, without a leading slash.

    Or an object that it wrote over S3: ``aux`` is what is kept beside its bytes.
    """

    key: bytes
    ref: FileRef
    executable: bool
    aux: Mapping[str, object] | None = None


class Seconds(NamedTuple):
    """How long the parts of a datum took, all attempts together."""

    download: float = 0.0
    process: float = 0.0
    upload: float = 0.0


class Bytes(NamedTuple):
    """Bytes staged in and taken out."""

    download: int = 0
    upload: int = 0


NO_SECONDS = Seconds()
NO_BYTES = Bytes()


@dataclass(frozen=True, slots=True)
class Started:
    """An attempt (1, 2, …) at a datum began."""

    unit: UnitId
    datum: str
    attempt_no: int


@dataclass(frozen=True, slots=True)
class DatumDone:
    """A datum reached its end; the packs of ``outputs`` are in the unit's session (`Executor.take_session`).

    ``outputs`` is empty unless ``state`` is success. ``exit_code`` is None when a signal ended the command or
    it never started; ``error`` says why a datum failed in one line. ``log_tail``: the end of its output, at
    most 4 KiB. ``log``: the bounded whole, as a file in the store, or None when it wrote nothing. ``reads``: what a
    datum that succeeded read over S3 (`pps.datums.readset`), None where it had nothing to read so.
    """

    unit: UnitId
    datum: str
    state: DatumOutcome
    outputs: tuple[OutputFile, ...] = ()
    tries: int = 1
    exit_code: int | None = None
    signal: int | None = None
    seconds: Seconds = NO_SECONDS
    bytes: Bytes = NO_BYTES
    log_tail: str = ""
    log: FileRef | None = None
    error: str | None = None
    reads: Reads | None = None


@dataclass(frozen=True, slots=True)
class UnitDone:
    """All datums of the unit are done; its session may be taken."""

    unit: UnitId


@dataclass(frozen=True, slots=True)
class Lost:
    """The worker is gone before the unit was done; nothing that it did counts.

    ``full``: the store has no room for what its datums put out; whoever gives it out again tries in vain until it has.
    ``archived``: an input of a datum is in an archive, and has to be restored first.
    """

    unit: UnitId
    reason: str
    full: bool = False
    archived: bool = False


Event = Started | DatumDone | UnitDone | Lost


@dataclass(frozen=True, slots=True)
class Capacity:
    """``slots``: datums that run at the same time. The rest, sizes in bytes, is all there is for them; 0: not known.

    ``gpus``: those that the executor was told of; where it was told of none, none are asked of it.
    """

    slots: int
    cpu: float = 0.0
    memory: int = 0
    disk: int = 0
    gpus: int = 0

    def lacks(self, wanted: Resources) -> str | None:
        """Say what a request asks beyond all there is, None if nothing: it would wait for ever."""
        rows = [
            ("cpu", wanted.cpu, self.cpu, f"{wanted.cpu:g}", f"{self.cpu:g}"),
            ("memory", wanted.memory, self.memory, size_text(wanted.memory), size_text(self.memory)),
            ("disk", wanted.disk, self.disk, size_text(wanted.disk), size_text(self.disk)),
            ("gpu.number", wanted.gpus, self.gpus, str(wanted.gpus), str(self.gpus)),
        ]
        for name, asked, there, asked_text, there_text in rows:
            if there and asked > there:
                return f"resource_requests.{name} asks for {asked_text}, and this machine has {there_text}"
        return None


class Standing(Protocol):
    """A command that runs on, one run after the other. One thread, but for `stop`; its log goes over all runs."""

    def ready(self) -> AbstractContextManager[Callable[[], str | None]]:
        """Put in place what one run needs; within, the call runs the command, once, and returns why it ended badly.

        Raises:
            PfsError, OSError: it cannot be put in place. CancelledError: it was stopped, then or while it ran.
        """
        ...

    def stop(self, grace_s: float) -> None:
        """End the command: SIGTERM, SIGKILL after ``grace_s``; and begin no other. Any thread."""
        ...

    def note(self, text: str) -> None:
        """Add a word to the log."""
        ...

    @property
    def tail(self) -> str:
        """The end of what the command wrote, at most 4 KiB."""
        ...

    def finish(self) -> Path | None:
        """End the log and return the file with the bounded whole of it, None if there is none."""
        ...


class Executor(Protocol):
    """Runs units of datums. Thread-safe; one consumer of `events`.

    Events of one unit come in order: for each datum Started (once per attempt) and DatumDone, then UnitDone;
    or Lost at any point, after which nothing more comes for that unit.
    """

    @property
    def isolation(self) -> str:
        """How commands see /pfs: ``namespace``, ``container`` or ``none``; where a spec names no image."""
        ...

    def isolation_for(self, transform: Transform) -> str:
        """Return how this command sees /pfs, as recorded with its job; may take long before a unit of it has run."""
        ...

    def capacity(self) -> Capacity:
        """Return what can run at once."""
        ...

    def submit(self, unit: WorkUnit) -> Handle:
        """Queue a unit; returns at once. The caller bounds what is in flight (a few units per slot)."""
        ...

    def events(self, timeout_s: float) -> Iterator[Event]:
        """Yield what happened, waiting at most ``timeout_s`` for the first event; ends when none is left."""
        ...

    def notify(self, wake: Callable[[], object]) -> None:
        """Call ``wake`` whenever `events` has something new, in any thread, so that nobody has to wait in `events`."""
        ...

    def take_session(self, unit: UnitId) -> WriteSession:
        """Hand over what the unit wrote; the caller adopts it into the session that it commits.

        Called once, after UnitDone: until then no DatumDone of the unit counts. After Lost there is nothing
        to take, and all of the unit's datums are given out again.
        """
        ...

    def cancel(self, handle: Handle, grace_s: float) -> None:
        """End the unit: SIGTERM to what runs, SIGKILL after ``grace_s``.

        A Lost event follows; unknown units do nothing.
        """
        ...

    def end_job(self, pipeline: str, job: str, attempt: int) -> None:
        """Let go of what is kept for an attempt at a job as a whole, such as its S3 gateway, before this returns.

        Nothing of it is waited for any more, and what of it still runs gets no new gateway. Unknown jobs do nothing.
        """
        ...

    def stand(self, unit: WorkUnit) -> Standing:
        """Return the only command of a unit that stands, not begun; it takes no slot, and ends before `close`.

        Whoever has it calls `end_job` in the end.
        """
        ...

    def close(self) -> None:
        """Cancel everything and leave no process behind. Idempotent."""
        ...
