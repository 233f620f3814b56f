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
from pps.workers.artifacts import Artifacts, artifacts_of
from pps.workers.artifacts_take import NotMadeError, take_artifacts
from pps.workers.command import run_command, why_failed
from pps.workers.feeder import feeding
from pps.workers.logs import LogWriter
from pps.workers.outputs import Inputs, take_outputs
from pps.workers.scratch import Scratch, Workplace
from pps.workers.sessions import Sessions
from pps.workers.setting import Setting
from pps.workers.stop import CancelledError, Stop
from pps.workers.surroundings import Surroundings, UnpreparedError, mount_places, surroundings
from pps.workers.why import is_full, refuse_full, why


@dataclass(frozen=True, slots=True)
class Datum:
    """A datum in the hands of a worker; ``workplace`` is for this worker alone.

    ``artifacts``: of a task whose templates are rendered.
    """

    setting: Setting
    unit: WorkUnit
    task: DatumTask
    sessions: Sessions
    workplace: Workplace
    stop: Stop
    artifacts: Artifacts | None = None


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
        StorageFullError: there is no room for its input, or for its output in the store.
        ArchivedError: an input is in an archive.
        PfsError: the store or the spawner failed, so that the unit cannot go on.
        OSError: there is no place to work in.
    """
    datum.stop.check()
    if datum.unit.transform.task is not None:
        try:
            datum = _rendered(datum)
        except PfsError as error:
            return Attempt("failed", error=f"it cannot be run: {error}")
    with datum.workplace.scratch(mount_places(datum.setting, datum.unit, datum.task)) as scratch:
        try:
            return _stage_and_run(datum, log, scratch)
        except OSError as error:
            refuse_full(error, "run a datum")
            return Attempt("failed", error=f"it cannot be run: {why(error)}")


def _rendered(datum: Datum) -> Datum:
    unit, task, artifacts = artifacts_of(datum.setting.store, datum.unit, datum.task)
    return replace(datum, unit=unit, task=task, artifacts=artifacts)


def _stage_and_run(datum: Datum, log: LogWriter, scratch: Scratch) -> Attempt:
    started = time.monotonic()
    try:
        given = datum.setting, datum.unit, datum.task
        with surroundings(*given, scratch=scratch, artifacts=datum.artifacts) as around:
            return _run_and_take(datum, log, around, started=started)
    except UnpreparedError as error:
        return Attempt("failed", error=str(error))


def _run_and_take(datum: Datum, log: LogWriter, around: Surroundings, *, started: float) -> Attempt:
    log.hide(around.mask)
    staged = time.monotonic()
    fed = partial(feeding, datum.setting.store, datum.setting.staging, datum.task, around.scratch)
    with fed(on_error=datum.stop.kill) as feeder:
        result = _commands(datum, log, around)
    if feeder.archived is not None:
        raise feeder.archived
    if feeder.error is not None:
        result = replace(result, state="failed", error=feeder.error)
    ended = time.monotonic()
    if result.state == "success":
        result = take(datum, around, result, log=log)
    seconds = Seconds(staged - started, ended - staged, time.monotonic() - ended)
    reason = None if result.error is None else around.mask.text(result.error)
    put = 0 if datum.artifacts is None else datum.artifacts.size
    taken_in = staged_bytes(datum.task) + put + feeder.bytes
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


def take(datum: Datum, around: Surroundings, result: Attempt, *, log: LogWriter | None = None) -> Attempt:
    """Return a success with its output, which goes to the unit's session; a failure where that cannot be taken.

    ``log`` is told what a task left out.

    Raises:
        CancelledError: the unit was told to stop.
        PfsError: the session is broken, with results of other datums in it.
    """
    try:
        outputs = _outputs(datum, around, log)
    except CancelledError:
        raise
    except StorageFullError:
        raise
    except (PfsError, OSError) as error:
        if isinstance(error, OSError) and is_full(error):
            raise StorageFullError("take the output of a datum", why(error)) from error
        datum.sessions.renew()
        reason = why(error) if isinstance(error, OSError) else str(error)
        reason = reason if isinstance(error, NotMadeError) else f"its output cannot be taken: {reason}"
        return replace(result, state="failed", error=reason)
    taken = Bytes(0, sum(output.ref.size for output in outputs))
    return replace(result, outputs=outputs, bytes=taken, reads=around.access.reads())


def _outputs(datum: Datum, around: Surroundings, log: LogWriter | None) -> tuple[OutputFile, ...]:
    setting, session, check = datum.setting, datum.sessions.now, datum.stop.check
    if datum.unit.s3_out:
        return around.access.take(session)
    if datum.artifacts is None and around.scratch.sweep():
        return ()
    around.scratch.open_up()
    inputs = Inputs(around.world.places.pfs, datum.task.inputs, setting.staging)
    if datum.artifacts is None:
        outputs = take_outputs(setting.store, session, around.world.scene, inputs=inputs, check=check)
        around.scratch.took(output.key for output in outputs)
        return outputs
    taken = take_artifacts(setting.store, session, around.world, datum.artifacts.task, inputs=inputs, check=check)
    if log is not None:
        for note in taken.notes:
            log.note(note)
    return (*around.access.take(session), *taken.files)
