"""The embedded executor: some threads, each with a unit of datums in hand, and one spawner for their commands.

Threads only wait (for commands, for the disk), so they are cheap; what takes time runs in the commands' processes.
"""

from __future__ import annotations

import queue
import secrets
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from pfs.errors import ArchivedError, ConflictError, FailedError, PfsError, StorageFullError
from pfs.packs.session import WriteSession
from pfs.store import Store
from pps.executor import Capacity, Event, Handle, Lost, UnitDone, UnitId, WorkUnit
from pps.executors.eventqueue import EventQueue
from pps.executors.gateways import JobGateways
from pps.executors.shares import CpuRota, Shares, machine
from pps.job_gateway import OpenGateway
from pps.sandbox import container
from pps.sandbox.isolation import Isolation, choose
from pps.sandbox.spawner import Spawner
from pps.spec import Transform
from pps.workers.environment import inherited
from pps.workers.scratch import remove_tree
from pps.workers.setting import Setting
from pps.workers.staging import Staging
from pps.workers.standing import StandingCommand
from pps.workers.stop import Stop
from pps.workers.unit import run_unit
from pps.workers.why import why

CLOSE_GRACE_S = 2.0
_NO_IMAGE_S = 60.0


class StaleAttemptError(ConflictError):
    """An older attempt at a job wants to hand over what it did: ``(unit)``."""

    kind = "stale-attempt"

    def __init__(self, unit: UnitId) -> None:
        super().__init__(unit)
        self.unit = unit

    def __str__(self) -> str:
        return (
            f"unit {self.unit.number} of attempt {self.unit.attempt} at {self.unit.pipeline}@{self.unit.job} is not to"
            " be had: it is not done, was taken, or a later attempt took over"
        )


@dataclass(slots=True)
class _Entry:
    unit: WorkUnit
    stop: Stop = field(default_factory=Stop)


class LocalExecutor:
    """Runs units in ``slots`` threads of this process; see `pps.executor.Executor`.

    ``work_dir`` is for one executor at a time; what a killed one left there is removed.
    ``log_dir/<pipeline>/<job>/<datum>.log`` is written while a datum runs and stays: who finishes the job removes the
    folder. ``env``: what commands inherit, see `pps.workers.environment.inherited`. ``gateways``: starts the S3
    gateways of jobs; without it a datum that needs one fails. ``gpus``: ids of GPUs to hand out. ``capacity``: what is
    there for all commands together, by default the whole machine.

    Raises:
        InvalidInputError: ``isolation`` is no known word.
        IsolationUnavailableError: the isolation that was asked for does not work here.
    """

    def __init__(
        self,
        store: Store,
        *,
        slots: int,
        work_dir: Path,
        log_dir: Path,
        isolation: str = "auto",
        env: Mapping[str, str] | None = None,
        gateways: OpenGateway | None = None,
        gpus: Sequence[str] = (),
        capacity: Capacity | None = None,
    ) -> None:
        self._store, self._slots = store, slots
        # Without symlinks, as what commands leave is looked for by the paths that the kernel would find.
        work_dir = work_dir.resolve()
        self._work_dir, self._log_dir = work_dir / secrets.token_hex(4), log_dir
        self._may_contain = isolation in {"auto", "container"}
        _remove_leftovers(work_dir)
        self._work_dir.parent.mkdir(parents=True, exist_ok=True)
        self._work_dir.mkdir(mode=0o700)  # in it are folders that every user of a container may write to
        self.found, self._spawner = choose(isolation, self._work_dir)
        self._staging = Staging(store, self._work_dir / "views")
        base = inherited() if env is None else dict(env)
        self._gateways = JobGateways(gateways)
        self._setting = Setting(
            store, self._spawner, self._staging, self.found, base, log_dir, self._gateways.of, cpus=CpuRota().take
        )
        self._capacity = machine(slots, self._work_dir, gpus) if capacity is None else capacity
        self._shares = Shares(self._capacity, gpus)
        self._plain = Spawner("none", self._work_dir / "sandbox")
        self._images_lock = threading.Lock()
        self._images: dict[str, tuple[str | None, float]] = {}
        self._engine: str | None = None
        self._start()

    def _start(self) -> None:
        self._queue: queue.SimpleQueue[_Entry | None] = queue.SimpleQueue()
        self._events = EventQueue()
        self._lock = threading.Lock()
        self._entries: dict[UnitId, _Entry] = {}
        self._done: dict[UnitId, WriteSession] = {}
        self._attempts: dict[tuple[str, str], int] = {}
        self._closed = False
        self._threads = [
            threading.Thread(target=self._serve, args=(slot,), name=f"pps-slot-{slot}") for slot in range(self._slots)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def isolation(self) -> str:
        """How commands see /pfs: ``namespace``, ``container`` or ``none``."""
        return self.found.kind

    def isolation_for(self, transform: Transform) -> str:
        """Return how this command sees /pfs: ``container`` where an image that it names can be had."""
        engine = None if transform.image is None or not self._may_contain else self._engine_with(transform.image)
        return self.found.kind if engine is None else "container"

    @property
    def spawner_pid(self) -> int | None:
        """The process that starts commands, None before the first."""
        return self._spawner.pid

    def capacity(self) -> Capacity:
        """Return what can run at once."""
        return self._capacity

    def submit(self, unit: WorkUnit) -> Handle:
        """Queue a unit; returns at once. A later attempt at the same job ends what an earlier one left.

        Raises:
            ConflictError: the executor is closed, the unit is there already, or a later attempt was seen.
        """
        entry = _Entry(unit)
        with self._lock:
            if self._closed:
                raise ConflictError("the executor is closed")
            latest = self._attempts.setdefault((unit.pipeline, unit.job), unit.attempt)
            if unit.attempt < latest or unit.id in self._entries or unit.id in self._done:
                raise StaleAttemptError(unit.id)
            self._attempts[unit.pipeline, unit.job] = unit.attempt
            self._entries[unit.id] = entry
            old = self._forget_older(unit)
        for session in old:
            session.abandon()
        self._queue.put(entry)
        return unit.id

    def _forget_older(self, unit: WorkUnit) -> list[WriteSession]:
        older = [id for id in (*self._entries, *self._done) if id[:2] == unit.id[:2] and id.attempt < unit.attempt]
        for id in older:
            if id in self._entries:
                self._entries[id].stop.set(0.0)
        self._shares.wake()
        return [self._done.pop(id) for id in older if id in self._done]

    def events(self, timeout_s: float) -> Iterator[Event]:
        """Yield what happened, waiting at most ``timeout_s`` for the first event; ends when none is left."""
        return self._events.take(timeout_s)

    def notify(self, wake: Callable[[], object]) -> None:
        """Call ``wake`` whenever there is something new in `events`, in the thread where it happens."""
        self._events.notify(wake)

    def take_session(self, unit: UnitId) -> WriteSession:
        """Hand over what a unit wrote, once, after its UnitDone.

        Raises:
            StaleAttemptError: it is not done, was taken already, or a later attempt at the job has taken over.
        """
        with self._lock:
            session = self._done.pop(unit, None)
        if session is None:
            raise StaleAttemptError(unit)
        return session

    def cancel(self, handle: Handle, grace_s: float) -> None:
        """End a unit; its Lost follows. One that is done or unknown is left alone."""
        with self._lock:
            entry = self._entries.get(handle)
        if entry is not None:
            entry.stop.set(grace_s)
            self._shares.wake()

    def end_job(self, pipeline: str, job: str, attempt: int) -> None:
        """Close the S3 gateway of a job, if it had one."""
        self._gateways.end(pipeline, job, attempt)

    def stand(self, unit: WorkUnit) -> StandingCommand:
        """Return the command of a service or spout; it works in threads of its owner, who ends it before `close`."""
        scratch = self._work_dir / "standing" / f"{unit.pipeline}-{unit.number}"
        return StandingCommand(lambda: self.setting_for(unit), unit, log_dir=self._log_dir, scratch=scratch)

    def close(self) -> None:
        """Cancel everything, wait for the threads, leave no process and no scratch behind. Idempotent."""
        with self._lock:
            first, self._closed = not self._closed, True
            entries = list(self._entries.values())
        if not first:
            return
        for entry in entries:
            entry.stop.set(CLOSE_GRACE_S)
        self._shares.wake()
        for _ in self._threads:
            self._queue.put(None)
        for thread in self._threads:
            thread.join()
        self._gateways.close()
        self._spawner.close()
        self._plain.close()
        for session in self._done.values():
            session.abandon()
        self._done.clear()
        # What cannot be removed (user code may have made it immutable) is no reason to fail what is done.
        with suppress(OSError):
            remove_tree(self._work_dir)

    def _serve(self, slot: int) -> None:
        while (entry := self._queue.get()) is not None:
            lost = self._run(entry, self._work_dir / "slots" / str(slot))
            if lost is not None:
                with self._lock:
                    self._entries.pop(entry.unit.id, None)
                self._events.tell(lost)

    def _run(self, entry: _Entry, scratch: Path) -> Lost | None:
        """Run a unit; returns that it is lost, None when it is done."""
        unit = entry.unit
        try:
            with self._shares.taken(unit.requests, cancelled=lambda: entry.stop.is_set) as gpus:
                setting = _with_gpus(self.setting_for(unit), gpus)
                # Nobody is woken for what counts with the end of the unit only.
                session = run_unit(setting, unit, scratch=scratch, emit=self._events.put, stop=entry.stop)
        except StorageFullError as error:
            return Lost(unit.id, str(error), full=True)
        except ArchivedError as error:
            return Lost(unit.id, str(error), archived=True)
        except PfsError as error:
            return Lost(unit.id, str(error))
        except OSError as error:
            return Lost(unit.id, f"cannot work in {self._work_dir}: {why(error)}")
        except Exception as error:  # a thread must not end in silence, whatever the bug: the unit is given out again
            return Lost(unit.id, f"{type(error).__name__}: {error}")
        return self._keep(unit.id, session)

    def _keep(self, unit: UnitId, session: WriteSession) -> Lost | None:
        with self._lock:
            self._entries.pop(unit, None)
            stale = self._attempts[unit.pipeline, unit.job] != unit.attempt
            if not stale:
                self._done[unit] = session
        if stale:
            session.abandon()
            return Lost(unit, "a later attempt took over")
        self._events.tell(UnitDone(unit))
        return None

    def setting_for(self, unit: WorkUnit) -> Setting:
        """Return the setting of the executor, or one with a container for a unit that names an image that is there.

        Raises:
            FailedError: containers were asked for, and there is none for this unit.
        """
        image = unit.transform.image
        demanded = self.found.kind == "container"
        if image is None and demanded:
            raise FailedError(f"pipeline {unit.pipeline} names no image, and isolation 'container' was asked for")
        if image is None or not self._may_contain:
            return self._setting
        engine = self._engine_with(image)
        if engine is None and demanded:
            raise FailedError(f"image {image} is not there and cannot be pulled")
        if engine is None:
            return self._setting
        isolation = Isolation("container", f"{Path(engine).name} runs {image}")
        return replace(self._setting, isolation=isolation, spawner=self._plain, engine=engine)

    def _engine_with(self, image: str) -> str | None:
        """Return the container program that has an image, None if there is none or no such image.

        An image that could not be had is asked for again after a while: it may have been built or pushed.
        """
        with self._images_lock:
            engine, until = self._images.get(image, (None, 0.0))
            if engine is None and time.monotonic() >= until:
                engine = self._find_engine()
                if engine is not None and not container.has_image(engine, image):
                    engine = None
                self._images[image] = engine, time.monotonic() + _NO_IMAGE_S
            return engine

    def _find_engine(self) -> str | None:
        if self._engine is None:
            self._engine = container.find_engine()
            if self._engine is not None:
                container.remove_leftovers(self._engine, str(self._store.path))
        return self._engine


def _with_gpus(setting: Setting, gpus: Sequence[str]) -> Setting:
    """Return a setting whose commands see these GPUs; where none were handed out, whatever they find."""
    if not gpus:
        return setting
    ids = ",".join(gpus)
    return replace(setting, base_env={**setting.base_env, "CUDA_VISIBLE_DEVICES": ids, "PFS_GPUS": ids})


def _remove_leftovers(work_dir: Path) -> None:
    """Remove what a killed executor left; what its last commands still hold on to stays for the next time."""
    for left in work_dir.iterdir() if work_dir.is_dir() else ():
        shutil.rmtree(left, ignore_errors=True)
