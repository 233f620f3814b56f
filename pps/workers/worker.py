"""One unit of datums, run to its end: stage, run the command, take the output; again up to the number of tries.

A worker is a thread of an executor with a scratch directory of its own. What it writes goes into the unit's session;
what happened goes to ``emit``. It reads no clock for decisions but the timeout's, and decides nothing about the job.
"""

from __future__ import annotations

import errno
import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from pfs.errors import FailedError, PfsError
from pfs.files.ingest import FileRef, put_stream
from pfs.packs.session import WriteSession
from pfs.store import Store
from pps.executor import (
    NO_BYTES,
    NO_SECONDS,
    Bytes,
    DatumDone,
    DatumOutcome,
    DatumTask,
    Event,
    OutputFile,
    Reads,
    Seconds,
    Started,
    WorkUnit,
)
from pps.job_gateway import JobGateway
from pps.sandbox import container
from pps.sandbox.isolation import Isolation
from pps.sandbox.spawner import Command, Exit, Running, Spawner, SpawnerLostError
from pps.secret_store import Secrets
from pps.workers.environment import environment
from pps.workers.layout import World, make_world
from pps.workers.logs import LogWriter, log_path
from pps.workers.outputs import Inputs, take_outputs
from pps.workers.over_s3 import S3Access, s3_access
from pps.workers.scratch import Scratch
from pps.workers.secrets import given_secrets, with_secrets
from pps.workers.staging import Staging

Emit = Callable[[Event], None]
_SPAWNER_TRIES: Final = 3


class CancelledError(FailedError):
    """The unit was cancelled: ``(reason)``."""

    kind = "cancelled"


class Stop:
    """How a unit is told to end, from any thread; the worker puts what it runs under it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._grace_s: float | None = None
        self._running: Running | None = None

    @property
    def is_set(self) -> bool:
        """Whether the unit is to end."""
        return self._grace_s is not None

    def set(self, grace_s: float) -> None:
        """End what runs now: SIGTERM, and SIGKILL after ``grace_s``; and begin nothing new."""
        with self._lock:
            self._grace_s = grace_s
            if self._running is not None:
                self._running.stop(grace_s)

    def cover(self, running: Running | None) -> None:
        """Put a command under this stop; None when it ended."""
        with self._lock:
            self._running = running
            if running is not None and self._grace_s is not None:
                running.stop(self._grace_s)


@dataclass(frozen=True, slots=True)
class Setting:
    """What all workers of an executor share. ``engine``: the container program where a container is used.

    ``gateway`` gives the S3 gateway of a unit's job, None if it needs none; raises PfsError.
    """

    store: Store
    spawner: Spawner
    staging: Staging
    isolation: Isolation
    base_env: Mapping[str, str]
    log_dir: Path
    gateway: Callable[[WorkUnit], JobGateway | None]
    engine: str | None = None


@dataclass(frozen=True, slots=True)
class _Attempt:
    """How one attempt went; ``retry`` says whether another may help."""

    state: DatumOutcome
    outputs: tuple[OutputFile, ...] = ()
    exit: Exit | None = None
    error: str | None = None
    seconds: Seconds = NO_SECONDS
    bytes: Bytes = NO_BYTES
    reads: Reads | None = None


class _Sessions:
    """The session of a unit. One that failed takes nothing any more, and nothing in it counts."""

    def __init__(self, store: Store, *, alone: bool) -> None:
        self._store, self._alone = store, alone
        self.now = store.session()

    def renew(self) -> None:
        """After an error: if it ended the session, begin a new one for the only datum of the unit.

        Raises:
            PfsError: what ended it, when other datums have their results in there.
        """
        try:
            self.now.holds([])
        except PfsError:
            if not self._alone:
                raise
            self.now.abandon()
            self.now = self._store.session()


def run_unit(setting: Setting, unit: WorkUnit, *, scratch: Path, emit: Emit, stop: Stop) -> WriteSession:
    """Run the datums of ``unit`` in order and return what they wrote; ``scratch`` is a directory for this worker alone.

    When the store does not take what a datum puts out (a full disk), a unit of several is given up, so that each is
    tried again in a unit of its own; a datum that is alone has failed, and keeps its log if there is room for that.

    Raises:
        CancelledError: ``stop`` was set; the datum that ran has no DatumDone.
        PfsError: the store or the spawner failed, so that no datum of the unit can count.
        OSError: there is no place to work in.
    """
    sessions = _Sessions(setting.store, alone=len(unit.datums) == 1)
    try:
        for task in unit.datums:
            _run_datum(_Datum(setting, unit, task, sessions, scratch, stop), emit)
    except BaseException:
        sessions.now.abandon()
        raise
    return sessions.now


@dataclass(frozen=True, slots=True)
class _Datum:
    setting: Setting
    unit: WorkUnit
    task: DatumTask
    sessions: _Sessions
    scratch: Path
    stop: Stop


def _run_datum(datum: _Datum, emit: Emit) -> None:
    unit, task = datum.unit, datum.task
    log = LogWriter(log_path(datum.setting.log_dir, unit.pipeline, unit.job, datum=task.id))
    last, tries = _Attempt("failed"), 0
    try:
        while last.state != "success" and tries < max(1, task.tries):
            tries += 1
            emit(Started(unit.id, task.id, tries))
            this = _attempt(datum, log)
            _note(log, this, tries=tries, of=task.tries)
            if log.error is not None and this.error is not None:
                this = replace(this, error=f"{this.error}; its log is cut: {why(log.error)}")
            last = replace(this, seconds=_plus(last.seconds, this.seconds), bytes=_sum(last.bytes, this.bytes))
        tail = log.tail
    finally:
        whole = log.finish()
    emit(
        DatumDone(
            unit.id,
            task.id,
            last.state,
            last.outputs,
            tries=tries,
            exit_code=last.exit.code if last.exit else None,
            signal=last.exit.signal if last.exit else None,
            seconds=last.seconds,
            bytes=last.bytes,
            log_tail=tail,
            log=_store_log(datum, log, whole),
            error=last.error,
            reads=last.reads,
        )
    )


def _note(log: LogWriter, attempt: _Attempt, *, tries: int, of: int) -> None:
    if attempt.state != "success":
        log.note(f"attempt {tries} of {max(1, of)}: {attempt.state}: {attempt.error}")


def _plus(one: Seconds, two: Seconds) -> Seconds:
    return Seconds(one.download + two.download, one.process + two.process, one.upload + two.upload)


def _sum(one: Bytes, two: Bytes) -> Bytes:
    return Bytes(one.download + two.download, one.upload + two.upload)


def _store_log(datum: _Datum, log: LogWriter, whole: Path | None) -> FileRef | None:
    if whole is None:
        return None
    try:
        with whole.open("rb") as file:
            return put_stream(datum.sessions.now, datum.setting.store.params, file, jobs=1)
    except (PfsError, OSError):
        datum.sessions.renew()
        return None
    finally:
        if whole != log.path:
            with suppress(OSError):
                whole.unlink()


def _attempt(datum: _Datum, log: LogWriter) -> _Attempt:
    if datum.stop.is_set:
        raise CancelledError("cancelled")
    scratch = Scratch.make(datum.scratch)
    try:
        with ExitStack() as uses:
            return _stage_and_run(datum, log, scratch, uses)
    except OSError as error:
        return _Attempt("failed", error=f"it cannot be run: {why(error)}")
    finally:
        # What cannot be cleared stays behind, and the next attempt works beside it.
        with suppress(OSError):
            scratch.clear()


def why(error: OSError) -> str:
    """Return the reason of an error of the system in words, with the file if there is one."""
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return "no space left on the device"
    reason = error.strerror or str(error)
    return f"{reason}: {error.filename}" if error.filename else reason


def _stage_and_run(datum: _Datum, log: LogWriter, scratch: Scratch, uses: ExitStack) -> _Attempt:
    setting, started = datum.setting, time.monotonic()
    try:
        secrets = given_secrets(Secrets(setting.store), datum.unit.transform.secrets)
    except PfsError as error:
        return _Attempt("failed", error=f"its secrets cannot be given: {error}")
    log.hide(secrets.mask)
    try:
        world = make_world(
            datum.unit,
            datum.task,
            scratch,
            isolation=setting.isolation,
            staging=setting.staging,
            uses=uses,
            path=datum.unit.transform.env.get("PATH", setting.base_env["PATH"]),
        )
        world = with_secrets(world, secrets, scratch, setting.isolation)
    except PfsError as error:
        return _Attempt("failed", error=f"its input cannot be staged: {error}")
    except OSError as error:
        return _Attempt("failed", error=f"its input cannot be staged: {why(error)}")
    try:
        gateway = setting.gateway(datum.unit)
    except PfsError as error:
        return _Attempt("failed", error=f"its S3 gateway cannot be had: {error}")
    staged = time.monotonic()
    taken_in = sum(row.size for given in datum.task.inputs if given.has_bytes for row in given.rows)
    with s3_access(gateway, datum.task, scratch.home, home_seen=world.places.home) as access:
        result = _commands(datum, log, scratch, world, access)
        ended = time.monotonic()
        if result.state == "success":
            result = _take(datum, scratch, world, result, access)
    seconds = Seconds(staged - started, ended - staged, time.monotonic() - ended)
    reason = None if result.error is None else secrets.mask.text(result.error)
    return replace(result, error=reason, seconds=seconds, bytes=Bytes(taken_in, result.bytes.upload))


def _commands(datum: _Datum, log: LogWriter, scratch: Scratch, world: World, access: S3Access) -> _Attempt:
    """Run cmd and, where it failed by itself, err_cmd in the same place."""
    transform = datum.unit.transform
    _show_variables(datum, scratch, world, access)
    ended = _run(datum, log, scratch, world, access, argv=transform.cmd, stdin=transform.stdin)
    error = _why_failed(ended, transform.accept_return_code, timeout_s=datum.unit.timeout_s)
    if error is None:
        return _Attempt("success", exit=ended)
    if transform.err_cmd and not ended.timed_out and ended.error is None:
        second = _run(datum, log, scratch, world, access, argv=transform.err_cmd, stdin=transform.err_stdin)
        if second.code == 0:
            return _Attempt("recovered", exit=ended, error=error)
    return _Attempt("failed", exit=ended, error=error)


def _why_failed(ended: Exit, accepted: Sequence[int], *, timeout_s: float | None) -> str | None:
    if ended.timed_out:
        return f"the command ran longer than datum_timeout ({timeout_s:g} s) and was killed"
    if ended.error is not None:
        return f"the command could not be started: {ended.error}"
    if ended.signal is not None:
        return f"the command was ended by signal {ended.signal}"
    return None if ended.code == 0 or ended.code in accepted else f"the command ended with exit code {ended.code}"


def _run(
    datum: _Datum,
    log: LogWriter,
    scratch: Scratch,
    world: World,
    access: S3Access,
    *,
    argv: Sequence[str],
    stdin: Sequence[str],
) -> Exit:
    command, name = _command(datum, world, access, argv)
    fd = _stdin(scratch, stdin)
    try:
        ended = _follow(datum, log, command, fd)
    finally:
        os.close(fd)
    if name is not None and (ended.timed_out or ended.cancelled):
        container.kill(datum.setting.engine or "", name)
    if ended.cancelled or datum.stop.is_set:
        raise CancelledError("cancelled")
    return ended


def _follow(datum: _Datum, log: LogWriter, command: Command, stdin: int) -> Exit:
    for _ in range(_SPAWNER_TRIES):
        running = datum.setting.spawner.start(command, stdin=stdin)
        datum.stop.cover(running)
        try:
            ended = running.wait(log.write, timeout_s=datum.unit.timeout_s)
        finally:
            datum.stop.cover(None)
        if ended is not None:
            return ended
        os.lseek(stdin, 0, os.SEEK_SET)
    raise SpawnerLostError("the process that starts commands ends again and again")


def _command(datum: _Datum, world: World, access: S3Access, argv: Sequence[str]) -> tuple[Command, str | None]:
    """Return what the spawner is to run, and the name of the container if it is one."""
    setting, unit, task = datum.setting, datum.unit, datum.task
    env = environment(unit, task, base=setting.base_env, places=world.places, s3=access.env)
    if setting.isolation.kind != "container":
        return Command(tuple(argv), {**world.secret_env, **env}, world.cwd, world.mounts), None
    name = f"pps-{os.getpid()}-{os.urandom(4).hex()}"
    engine, image = setting.engine or "", unit.transform.image or ""
    outer = container.run_argv(
        engine,
        image,
        argv,
        name=name,
        env=env,
        cwd=world.cwd or None,
        volumes=world.volumes,
        user=unit.transform.user,
        on_host_network=bool(access.env),
        passed=[name for name in world.secret_env if name not in env],
    )
    return Command(outer, {**setting.base_env, **world.secret_env}, "/"), name


def _show_variables(datum: _Datum, scratch: Scratch, world: World, access: S3Access) -> None:
    """Write /pfs/.env, the datum's variables as Pachyderm shows them: a line each, a value as it is."""
    env = environment(datum.unit, datum.task, base={}, places=world.places, s3=access.env)
    lines = "".join(f"{name}={value}\n" for name, value in env.items())
    (scratch.pfs / ".env").write_bytes(os.fsencode(lines))


def _stdin(scratch: Scratch, lines: Sequence[str]) -> int:
    if not lines:
        return os.open(os.devnull, os.O_RDONLY)
    path = scratch.top / "stdin"
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return os.open(path, os.O_RDONLY)


def _take(datum: _Datum, scratch: Scratch, world: World, result: _Attempt, access: S3Access) -> _Attempt:
    setting = datum.setting
    inputs = Inputs(world.places.pfs, datum.task.inputs, setting.staging)
    try:
        if datum.unit.s3_out:
            outputs = access.take(datum.sessions.now)
        else:
            scratch.open_up()
            outputs = take_outputs(setting.store, datum.sessions.now, world.scene, inputs=inputs)
    except (PfsError, OSError) as error:
        datum.sessions.renew()
        reason = why(error) if isinstance(error, OSError) else str(error)
        return replace(result, state="failed", error=f"its output cannot be taken: {reason}")
    taken = Bytes(0, sum(output.ref.size for output in outputs))
    return replace(result, outputs=outputs, bytes=taken, reads=access.reads())
