"""A unit of batched datums: one process works on one after the other, and says when it wants the next.

The process is started with the first datum in place, and again when it ended while a datum was under way: that one's
attempt has failed then. All happens in the worker's thread, between reads of what the process writes, so what it wrote
before it asked for the next datum is in the log of the one before. See docs/design/batching.md.
"""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Final

from pfs.errors import PfsError
from pps.batching import END, FOLDER_VARIABLE, GO
from pps.executor import Bytes, DatumInput, DatumTask, Seconds
from pps.sandbox.running import Exit, Running, Stream, Watched
from pps.workers.attempt import Attempt, Datum, staged_bytes, take
from pps.workers.attempts import Attempts, Due
from pps.workers.command import run_command, why_failed
from pps.workers.desk import Desk, has_inputs, shared_inputs
from pps.workers.exchange import FOLDER, PROGRAMS, BadCallError, Call, Exchange, programs_in
from pps.workers.feeder import PIPES, Feeder, feeding
from pps.workers.scratch import Scratch, remove_tree
from pps.workers.stop import Stop
from pps.workers.surroundings import Surroundings, UnpreparedError, surroundings
from pps.workers.why import refuse_full, why

END_GRACE_S: Final = 10.0
"""How long a process that was told that there is no datum any more may take to end."""
_LARGE_BYTES: Final = 16 << 20
"""Restoring as much takes longer than most commands take to start."""
_CONTAINER_BIN: Final = "/usr/local/bin"
_NEVER_ASKED: Final = "without having asked for a datum: with datum_batching it calls `next-datum` for each"
_TOO_EARLY: Final = "before it asked for the next datum"


class _Over(Exception):  # noqa: N818 - not an error: how what is called in the middle of waiting ends the waiting
    """The process is to end at once: nothing is left for it, or the datum that is due is for a new one."""


def run_batch(attempts: Attempts) -> None:
    """Work through ``attempts`` at the datums of one unit, with one process after the other.

    Raises:
        CancelledError, PfsError, OSError: as `pps.workers.attempt.attempt`; the datum under way has no end then.
    """
    try:
        while (due := attempts.due()) is not None:
            _run_process(due.datum, attempts)
        attempts.finish()
    except BaseException:
        attempts.drop()
        raise


def _fixed_inputs(datum: Datum) -> tuple[DatumInput, ...]:
    """Return the inputs that are mounted for as long as a process lives that is started with this datum.

    Those that all datums of the unit have; and large ones that the next datum has too, although the process has to be
    started again then where they end. Where nothing keeps a command from changing its inputs unseen, that is none:
    each datum gets all of them anew.
    """
    if datum.setting.isolation.kind != "namespace":
        return ()
    tasks = datum.unit.datums
    here = tasks.index(datum.task)
    always = shared_inputs(tasks)
    return tuple(
        given
        for given in shared_inputs(tasks[here : here + 2])
        if given in always or sum(row.size for row in given.rows) >= _LARGE_BYTES
    )


def _run_process(datum: Datum, attempts: Attempts) -> None:
    datum.stop.check()
    with datum.workplace.scratch() as scratch:
        try:
            frame = _frame(datum, scratch, _fixed_inputs(datum))
            with (
                surroundings(datum.setting, datum.unit, frame, scratch=scratch) as around,
                Exchange(scratch.pfs / FOLDER) as exchange,
            ):
                _Process(around, datum.stop, attempts, exchange=exchange).run()
        except UnpreparedError as error:
            attempts.end(Attempt("failed", error=str(error)))
        except OSError as error:
            if attempts.open is None:
                raise
            refuse_full(error, "run a datum")
            attempts.end(Attempt("failed", error=f"it cannot be run: {why(error)}"))


def _frame(datum: Datum, scratch: Scratch, fixed: tuple[DatumInput, ...]) -> DatumTask:
    """Return what is the same for all datums of the unit, as a datum of its own."""
    pfs = scratch.pfs if datum.setting.isolation.kind == "none" else Path("/pfs")
    folder = f"{pfs}/{FOLDER}"
    path = datum.unit.transform.env.get("PATH", datum.setting.base_env["PATH"])
    return DatumTask("", 0, fixed, {FOLDER_VARIABLE: folder, "PATH": f"{programs_in(folder)}:{path}"})


class _Process:
    """One process, from its start to its end. Use it once, by `run`."""

    def __init__(self, around: Surroundings, stop: Stop, attempts: Attempts, *, exchange: Exchange) -> None:
        self._around, self._attempts, self._exchange = around, attempts, exchange
        self._unit, self._stop = around.unit, stop
        self._fixed = around.task.inputs
        self._desk = Desk(
            around.scratch,
            around.setting.staging,
            fixed=[given.name for given in self._fixed],
            for_all=around.setting.isolation.kind == "container",
        )
        self._running: Running | None = None
        self._answered: Call | None = None
        self._feeding = ExitStack()

    def run(self) -> None:
        """Start it with the first datum that can be staged, if there is one, and serve it until it has ended."""
        with self._feeding:
            if self._lay() is not None:
                self._serve()

    def _serve(self) -> None:
        transform = self._unit.transform
        try:
            ended = run_command(
                _with_programs(self._around),
                transform.cmd,
                transform.stdin,
                on_output=self._hear,
                stop=self._stop,
                timeout_s=None,
                watch=self._watch,
            )
        except _Over:
            return
        except BadCallError as error:
            self._end(Attempt("failed", error=f"the command was killed: {error}"), time.monotonic())
            return
        if self._attempts.open is not None:
            ended_s = time.monotonic()
            self._end(self._recovered(self._why_ended(ended), ended), ended_s)

    def _watch(self, running: Running) -> Watched:
        self._running = running
        return self._exchange.fd, self._answer_calls

    def _hear(self, stream: Stream, data: bytes) -> None:
        log = self._attempts.log
        if log is not None:
            log.write(stream, data)

    def _answer_calls(self) -> None:
        assert self._running is not None
        for call in self._exchange.calls():
            self._running.take_output(self._hear)
            self._running.limit(None)
            limit_s = self._answer(call)
            self._running.limit(limit_s)

    def _answer(self, call: Call) -> float | None:
        """Do what a call asks for, and return how long the process has from now on."""
        due = self._attempts.open
        if due is None:
            # It was told so already.
            raise _Over
        if self._answered is not None and not self._exchange.was_heard(self._answered):
            # Two that wait read parts of each other's answers, and one that is gone left a datum that nobody works on.
            raise BadCallError(
                "it asked for the next datum before the last answer was read: two of its processes asked at the same "
                "time, or one was killed that did"
            )
        if due.handed_s is not None or call.error:
            asked_s = time.monotonic()
            self._end(self._settled(due, call.error), asked_s)
            due = self._lay()
        if due is None:
            if not call.may_end:
                raise _Over
            self._exchange.answer(call, END)
            return END_GRACE_S
        due.handed_s, self._answered = time.monotonic(), call
        self._exchange.answer(call, GO)
        return self._unit.timeout_s

    def _lay(self) -> Due | None:
        """Put the next datum that can be staged in place."""
        while (due := self._attempts.due()) is not None:
            self._stop.check()
            self._check_fixed(due)
            started = time.monotonic()
            try:
                self._desk.lay(due.datum.task)
                self._of(due).show_variables()
                feeder = self._feed(due)
            except (PfsError, OSError) as error:
                refuse_full(error, "stage the input of a datum")
                reason = why(error) if isinstance(error, OSError) else str(error)
                self._attempts.end(Attempt("failed", error=f"its input cannot be staged: {reason}"))
                self._desk.clear()
                continue
            due.download_s, due.feeder = time.monotonic() - started, feeder
            due.progress.log.hide(self._around.mask)
            return due
        return None

    def _check_fixed(self, due: Due) -> None:
        """Start the process again for a datum whose inputs are not those that are mounted, or were changed."""
        if not has_inputs(due.datum.task, self._fixed):
            raise _Over
        for given in self._fixed:
            at = self._around.world.scene.layer(f"{self._around.world.places.pfs}/{given.name}")
            if at is not None and at[0].is_changed:
                words = f"the command changed /pfs/{given.name}, which this datum has too: it is started again"
                due.progress.log.note(words)
                raise _Over

    def _of(self, due: Due) -> Surroundings:
        return self._around.of(due.datum.task)

    def _feed(self, due: Due) -> Feeder | None:
        """Fill the lazy inputs of a datum until ``_feeding`` is closed."""
        task, setting, scratch = due.datum.task, self._around.setting, self._around.scratch
        if not any(given.lazy for given in task.inputs):
            return None
        fed = feeding(setting.store, setting.staging, task, scratch, on_error=self._stop.kill)
        self._feeding.callback(remove_tree, scratch.top / PIPES)
        return self._feeding.enter_context(fed)

    def _settled(self, due: Due, error: str) -> Attempt:
        self._feeding.close()
        if due.feeder is not None and due.feeder.error is not None:
            return Attempt("failed", error=due.feeder.error)
        if not error:
            return take(due.datum, self._of(due), Attempt("success"))
        return self._recovered(f"the command reported: {error}", None)

    def _why_ended(self, ended: Exit) -> str:
        how = (
            why_failed(ended, (), timeout_s=self._unit.timeout_s, limits=self._unit.limits)
            or "the command ended with exit code 0"
        )
        if ended.code is None:
            return how
        return f"{how} {_TOO_EARLY if self._answered is not None else _NEVER_ASKED}"

    def _recovered(self, error: str, ended: Exit | None) -> Attempt:
        """Return a failure; or, where err_cmd takes it, a datum that is passed over."""
        transform, due = self._unit.transform, self._attempts.open
        could = ended is None or not (ended.timed_out or ended.killed or ended.error)
        if due is None or not transform.err_cmd or not could:
            return Attempt("failed", exit=ended, error=error)
        try:
            second = run_command(
                _beside(self._of(due)),
                transform.err_cmd,
                transform.err_stdin,
                on_output=self._hear,
                stop=self._stop,
                timeout_s=self._unit.timeout_s,
                watch=lambda _: (self._exchange.fd, self._refuse_calls),
            )
        except BadCallError as wrong:
            return Attempt("failed", exit=ended, error=f"{error}; {wrong}")
        return Attempt("recovered" if second.code == 0 else "failed", exit=ended, error=error)

    def _refuse_calls(self) -> None:
        self._exchange.calls()
        raise BadCallError("err_cmd asked for the next datum, which is for the command to do")

    def _end(self, result: Attempt, ended_s: float) -> None:
        """End the attempt at the datum that was in the process' hands until ``ended_s``."""
        self._feeding.close()
        due = self._attempts.open
        if due is None:
            return
        reason = None if result.error is None else self._around.mask.text(result.error)
        worked_s = 0.0 if due.handed_s is None else ended_s - due.handed_s
        seconds = Seconds(due.download_s, worked_s, time.monotonic() - ended_s)
        fed = 0 if due.feeder is None else due.feeder.bytes
        taken = Bytes(staged_bytes(due.datum.task) + fed, result.bytes.upload)
        self._attempts.end(replace(result, error=reason, seconds=seconds, bytes=taken))


def _with_programs(around: Surroundings) -> Surroundings:
    """Put the programs that ask for the next datum where a container looks for programs; its own PATH is not known."""
    if around.setting.isolation.kind != "container":
        return around
    programs = Path(programs_in(str(around.scratch.pfs / FOLDER)))
    volumes = [(programs / name, f"{_CONTAINER_BIN}/{name}", False) for name in PROGRAMS]
    return replace(around, world=replace(around.world, volumes=(*around.world.volumes, *volumes)))


def _beside(around: Surroundings) -> Surroundings:
    """Return the surroundings for a second command: what the first one could write over is read-only for it."""
    steps = [("ro", step[1], step[4]) if step[0] == "overlay" else step for step in around.world.mounts]
    return replace(around, world=replace(around.world, mounts=tuple(steps)))
