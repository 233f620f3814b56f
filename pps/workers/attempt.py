"""One attempt at a datum: its surroundings, cmd and where that failed err_cmd, and what is taken of the output."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

from pfs.errors import PfsError, StorageFullError
from pps.executor import (
    NO_BYTES,
    NO_SECONDS,
    Bytes,
    DatumOutcome,
    DatumTask,
    OutputFile,
    Reads,
    Seconds,
    WorkUnit,
)
from pps.sandbox.running import Exit
from pps.workers.command import run_command, why_failed
from pps.workers.feeder import feeding
from pps.workers.logs import LogWriter
from pps.workers.outputs import Inputs, take_outputs
from pps.workers.scratch import Scratch, Workplace
from pps.workers.sessions import Sessions
from pps.workers.setting import Setting
from pps.workers.stop import CancelledError, Stop
from pps.workers.surroundings import Surroundings, UnpreparedError, mount_places, surroundings
from pps.workers.why import is_full, why


@dataclass(frozen=True, slots=True)
class Datum:
    """A datum in the hands of a worker; ``workplace`` is for this worker alone."""

    setting: Setting
    unit: WorkUnit
    task: DatumTask
    sessions: Sessions
    workplace: Workplace
    stop: Stop


@dataclass(frozen=True, slots=True)
class Attempt:
    """How one attempt went; ``error`` says in one line why it is no success."""

    state: DatumOutcome
    outputs: tuple[OutputFile, ...] = ()
    exit: Exit | None = None
    error: str | None = None
    seconds: Seconds = NO_SECONDS
    bytes: Bytes = NO_BYTES
    reads: Reads | None = None


def attempt(datum: Datum, log: LogWriter) -> Attempt:
    """Try a datum once, from inputs to outputs; whatever is the datum's own fault is in the result.

    Raises:
        CancelledError: the unit was told to stop.
        StorageFullError: the store has no room for its output.
        PfsError: the store or the spawner failed, so that the unit cannot go on.
        OSError: there is no place to work in.
    """
    datum.stop.check()
    with datum.workplace.scratch(mount_places(datum.setting, datum.unit, datum.task)) as scratch:
        try:
            return _stage_and_run(datum, log, scratch)
        except OSError as error:
            return Attempt("failed", error=f"it cannot be run: {why(error)}")


def _stage_and_run(datum: Datum, log: LogWriter, scratch: Scratch) -> Attempt:
    started = time.monotonic()
    try:
        with surroundings(datum.setting, datum.unit, datum.task, scratch=scratch) as around:
            return _run_and_take(datum, log, around, started=started)
    except UnpreparedError as error:
        return Attempt("failed", error=str(error))


def _run_and_take(datum: Datum, log: LogWriter, around: Surroundings, *, started: float) -> Attempt:
    log.hide(around.mask)
    staged = time.monotonic()
    fed = partial(feeding, datum.setting.store, datum.setting.staging, datum.task, around.scratch)
    with fed(on_error=datum.stop.kill) as feeder:
        result = _commands(datum, log, around)
    if feeder.error is not None:
        result = replace(result, state="failed", error=feeder.error)
    ended = time.monotonic()
    if result.state == "success":
        result = take(datum, around, result)
    seconds = Seconds(staged - started, ended - staged, time.monotonic() - ended)
    reason = None if result.error is None else around.mask.text(result.error)
    taken_in = staged_bytes(datum.task) + feeder.bytes
    return replace(result, error=reason, seconds=seconds, bytes=Bytes(taken_in, result.bytes.upload))


def staged_bytes(task: DatumTask) -> int:
    """Return how many bytes of the inputs of a datum are staged before its command starts."""
    return sum(row.size for given in task.inputs if given.has_bytes for row in given.rows)


def _commands(datum: Datum, log: LogWriter, around: Surroundings) -> Attempt:
    """Run cmd and, where it failed by itself, err_cmd in the same place."""
    transform = datum.unit.transform
    ended = _run(datum, log, around, argv=transform.cmd, stdin=transform.stdin)
    unit = datum.unit
    error = why_failed(ended, transform.accept_return_code, timeout_s=unit.timeout_s, limits=unit.limits)
    if error is None:
        return Attempt("success", exit=ended)
    if transform.err_cmd and not (ended.timed_out or ended.killed or ended.exceeded or ended.error):
        second = _run(datum, log, around, argv=transform.err_cmd, stdin=transform.err_stdin)
        if second.code == 0:
            return Attempt("recovered", exit=ended, error=error)
    return Attempt("failed", exit=ended, error=error)


def _run(datum: Datum, log: LogWriter, around: Surroundings, *, argv: Sequence[str], stdin: Sequence[str]) -> Exit:
    ended = run_command(around, argv, stdin, on_output=log.write, stop=datum.stop, timeout_s=datum.unit.timeout_s)
    if ended.left:
        log.note(f"it left processes running, which were ended: {', '.join(sorted(set(ended.left)))}")
    return ended


def take(datum: Datum, around: Surroundings, result: Attempt) -> Attempt:
    """Return a success with its output, which goes to the unit's session; a failure where that cannot be taken.

    Raises:
        CancelledError: the unit was told to stop.
        PfsError: the session is broken, with results of other datums in it.
    """
    setting = datum.setting
    inputs = Inputs(around.world.places.pfs, datum.task.inputs, setting.staging)
    try:
        if datum.unit.s3_out:
            outputs = around.access.take(datum.sessions.now)
        else:
            around.scratch.open_up()
            session, check = datum.sessions.now, datum.stop.check
            outputs = take_outputs(setting.store, session, around.world.scene, inputs=inputs, check=check)
    except CancelledError:
        raise
    except StorageFullError:
        raise
    except (PfsError, OSError) as error:
        if isinstance(error, OSError) and is_full(error):
            raise StorageFullError("take the output of a datum", why(error)) from error
        datum.sessions.renew()
        reason = why(error) if isinstance(error, OSError) else str(error)
        return replace(result, state="failed", error=f"its output cannot be taken: {reason}")
    taken = Bytes(0, sum(output.ref.size for output in outputs))
    return replace(result, outputs=outputs, bytes=taken, reads=around.access.reads())
