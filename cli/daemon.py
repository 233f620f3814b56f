"""The daemon behind `pfs serve`: S3 gateway, pipeline controller and upkeep, one of each a store, and their end.

SIGTERM and SIGINT set one event: the gateway lets the requests under way end, the controller saves what runs; then the
process ends with 0. A lock on ``.pfs/run/serve.lock`` says who serves, and where, to whoever tries as well.
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from cli import process, stdio
from cli.limits import spare_memory
from cli.live import describe
from cli.trouble import Trouble
from pfs.backends.durable import storage_errors
from pfs.errors import ConflictError, FailedError, PfsError

if TYPE_CHECKING:
    from cli.front import Front
    from pfs.store import Store
    from pps.model.events import RunEvent


_TICK_S = 1.0
_LOOK_S = 0.2
"""How often who stands by looks whether the other daemon is gone."""


class Daemon:
    """What runs in one `pfs serve`."""

    def __init__(
        self,
        store: Store,
        *,
        front: Front | None,
        pipelines: bool = True,
        upkeep: bool = True,
        standby: bool = False,
        gpus: Sequence[str] = (),
    ) -> None:
        """``standby``: begin only when no other daemon serves; pipelines also when that one is silent for too long."""
        self._store, self._front, self._pipelines, self._upkeep = store, front, pipelines, upkeep
        self._standby, self._gpus = standby, gpus
        self._stop = threading.Event()
        self._trouble: PfsError | None = None

    def run(self) -> None:
        """Serve until a signal says stop.

        Raises:
            ConflictError: another daemon or controller works on this store; it says where.
            StorageError: the address cannot be bound.
        """
        process.stays()
        spare_memory(many=False)
        working: list[threading.Thread] = []
        with self._signals():
            try:
                if self._standby and self._pipelines:
                    working.append(self._start_controller())
                self._begin(working)
            finally:
                self._stop.set()
                for thread in working:
                    thread.join()
        if self._trouble is not None:
            raise self._trouble

    def _begin(self, working: list[threading.Thread]) -> None:
        """Serve once no other does; threads that are started are put into ``working``."""
        waits = self._stop if self._standby else None
        with _only_one(self._lock_file, waits=waits) as lock:
            if self._stop.is_set():
                return
            self._lock = lock
            if self._pipelines and not self._standby:
                working.append(self._start_controller())
            working += [self._start_upkeep()] if self._upkeep else []
            working.append(self._start_ticker())
            if self._front is None:
                stdio.announce("running pipelines as commits arrive")
                self._stop.wait()
            else:
                self._serve(self._front)

    @property
    def _lock_file(self) -> Path:
        return self._store.path / "run" / "serve.lock"

    def _serve(self, front: Front) -> None:
        from cli.limits import ENOUGH, raise_file_limit

        def bound(host: str, port: int) -> None:
            url = front.url(host, port)
            _remember(self._lock, url, path=self._lock_file)
            stdio.announce(f"serving S3 on {url} ; `pfs credentials --env` prints the keys")

        files = raise_file_limit()
        if files < ENOUGH:
            _note(f"note: a process may open only {files} files here, a connection each: raise `ulimit -n` for more")
        if front.workers == 1:
            from s3api.http.server import serve

            serve(front.gateway(self._store), front.listen(), stop=self._stop, on_bound=bound)
        else:
            from cli.supervisor import Supervisor
            from pfs.backends.encrypted import EncryptedBackend

            front.gateway(self._store).close()  # what is wrong with the options is told here, once
            backend = self._store.backend
            key = backend.key if isinstance(backend, EncryptedBackend) else None
            Supervisor(str(self._store.path), front, tell=_note, key=key).run(self._stop, on_bound=bound)

    def _start_controller(self) -> threading.Thread:
        from cli.job_gateways import job_gateways
        from pps.controller import Controller, local_executors

        controller = Controller(
            self._store, local_executors(self._store, gateways=job_gateways(self._store), gpus=self._gpus)
        )

        def work() -> None:
            try:
                controller.serve(self._stop, standby=self._standby, on_event=_log)
            except PfsError as error:
                self._trouble = error
            except Exception as error:  # a bug of ours must end the daemon, not leave a gateway without pipelines
                self._trouble = FailedError(f"the pipeline controller failed: {type(error).__name__}: {error}")
            finally:
                self._stop.set()

        thread = threading.Thread(target=work, name="controller")
        thread.start()
        return thread

    def _start_ticker(self) -> threading.Thread:
        from pfs.changes.ticks import Ticker

        def work() -> None:
            with self._store.watch() as watch:
                ticker, trouble = Ticker(self._store, watch), Trouble("cron triggers", _note)
                while not self._stop.wait(_TICK_S):
                    with trouble.told():
                        ticker.run()

        thread = threading.Thread(target=work, name="ticker")
        thread.start()
        return thread

    def _start_upkeep(self) -> threading.Thread:
        from cli.upkeep import Upkeep

        thread = threading.Thread(target=Upkeep(self._store, self._stop, tell=_note).run, name="upkeep")
        thread.start()
        return thread

    @contextmanager
    def _signals(self) -> Iterator[None]:
        """Let SIGTERM and SIGINT set the event, for as long as the daemon runs."""
        before = {number: signal.signal(number, self._on_signal) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _on_signal(self, _number: int, _frame: object) -> None:
        self._stop.set()


def _log(event: RunEvent) -> None:
    """Tell an event; whoever read the log may be gone, and jobs go on without."""
    line = describe(event)
    if line:
        _note(line)


def _note(line: str) -> None:
    with suppress(OSError):
        print(line, file=sys.stderr, flush=True)


@contextmanager
def _only_one(path: Path, *, waits: threading.Event | None = None) -> Iterator[int]:
    """Hold the lock of daemons, which the kernel frees when one dies; ``waits``: once it is free, or that is set."""
    with storage_errors(f"write {path}"):
        path.parent.mkdir(parents=True, exist_ok=True)
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        while not _locked(fd):
            if waits is None:
                raise ConflictError(
                    f"another `pfs serve` runs on this store{_where(fd)}: stop it first, or stand by with --standby"
                )
            if waits.wait(_LOOK_S):
                break
        else:
            _remember(fd, None, path=path)
        yield fd
    finally:
        os.close(fd)


def _locked(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _remember(fd: int, url: str | None, *, path: Path) -> None:
    """Write who serves, and where, for the one that tries as well."""
    note = json.dumps({"pid": os.getpid(), "url": url}).encode()
    with storage_errors(f"write {path}"):
        os.ftruncate(fd, 0)
        os.pwrite(fd, note, 0)


def _where(fd: int) -> str:
    try:
        note = json.loads(os.pread(fd, 4096, 0))
        return f" (process {note['pid']}" + (f", {note['url']})" if note["url"] else ")")
    except (ValueError, KeyError, TypeError):
        return ""
