"""Several processes that serve S3 on one socket: started, started again when one dies, drained together.

The socket is bound here and inherited by all: who is free accepts, a connection that waits is never lost with the
worker that dies, and port 0 is one port. Each worker opens the store itself; nothing but the socket is shared.
"""

from __future__ import annotations

import selectors
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress

import msgspec

from cli.front import Front
from cli.worker import READY, Task
from pfs.backends.encrypted_key import StoreKey
from pfs.errors import FailedError

_LOOK_S = 0.1
_FIRST_PAUSE_S = 0.1
_LONGEST_PAUSE_S = 30.0
_STEADY_S = 60.0
"""A worker that lived so long is started again at once; one that dies sooner after growing pauses."""
_KILL_S = 70.0
"""After the stop: what is left then is stuck. Workers end themselves before."""


class Worker:
    """One of the processes, and what follows it in its place."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.process: subprocess.Popen[bytes] | None = None
        self.ready = False
        self._started_s = self._due_s = 0.0
        self._pause_s = _FIRST_PAUSE_S

    def start(self, task: Task) -> subprocess.Popen[bytes]:
        """Start a process."""
        # -P: no module of the working directory is taken for one of ours.
        command = [sys.executable, "-P", "-m", "cli.worker"]
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe, pass_fds=(task.fd,), bufsize=0)
        assert self.process.stdin is not None
        self.ready, self._started_s = False, time.monotonic()
        with suppress(BrokenPipeError):  # it ended at once: seen as any end is
            self.process.stdin.write(msgspec.json.encode(task) + b"\n")
        return self.process

    @property
    def is_due(self) -> bool:
        """Whether there is no process and it is time to start one."""
        return self.process is None and time.monotonic() >= self._due_s

    def end(self) -> int:
        """Wait for the process, whose stdout has ended, and return how it ended; plan when the next one starts."""
        assert self.process is not None
        code = self.process.wait()
        self.let_go()
        now = time.monotonic()
        if now - self._started_s >= _STEADY_S:
            self._pause_s = _FIRST_PAUSE_S
        self._due_s = now + self._pause_s
        self._pause_s = min(2 * self._pause_s, _LONGEST_PAUSE_S)
        self.process = None
        return code

    def let_go(self) -> None:
        """Let the process see the end of its stdin."""
        assert self.process is not None
        assert self.process.stdin is not None
        self.process.stdin.close()


class Supervisor:
    """The workers of one `pfs serve`; `run` in the thread that is to live longest."""

    def __init__(self, store: str, front: Front, *, tell: Callable[[str], object], key: StoreKey | None = None) -> None:
        """``tell`` gets a line for each worker that died; ``key``: of the store, if it is encrypted."""
        self._store, self._front, self._tell, self._key = store, front, tell, key
        self._workers = [Worker(number) for number in range(1, front.workers + 1)]

    def run(self, stop: threading.Event, *, on_bound: Callable[[str, int], None]) -> None:
        """Serve until ``stop``, then let all drain; ``on_bound`` gets host and port once all workers accept.

        Raises:
            StorageError: the address cannot be bound.
            InvalidInputError: certificate or key cannot be read.
            FailedError: a worker ended before all had begun.
        """
        from s3api.http.server import bound, check_certificate

        listen = self._front.listen()
        check_certificate(listen)
        with selectors.DefaultSelector() as selector, bound(listen) as listener:
            try:
                self._work(selector, listener, stop, on_bound)
            finally:
                listener.close()
                self._drain()

    def _work(
        self,
        selector: selectors.BaseSelector,
        listener: socket.socket,
        stop: threading.Event,
        on_bound: Callable[[str, int], None],
    ) -> None:
        announced = False
        while not stop.is_set():
            for worker in self._workers:
                if worker.is_due:
                    process = worker.start(self._task(worker, listener))
                    assert process.stdout is not None
                    selector.register(process.stdout, selectors.EVENT_READ, worker)
            for key, _ in selector.select(_LOOK_S):
                self._hear(selector, key, stop, announced=announced)
            if not announced and all(worker.ready for worker in self._workers):
                announced = True
                host, port = listener.getsockname()[:2]
                on_bound(str(host), int(port))

    def _task(self, worker: Worker, listener: socket.socket) -> Task:
        key = None if self._key is None else self._key.raw.hex()
        return Task(store=self._store, front=self._front, fd=listener.fileno(), upkeep=worker.number == 1, key=key)

    def _hear(
        self, selector: selectors.BaseSelector, key: selectors.SelectorKey, stop: threading.Event, *, announced: bool
    ) -> None:
        """Take what a worker says: that it is ready, or, by the end of its stdout, that it is no more."""
        worker: Worker = key.data
        if key.fileobj.read(len(READY)):  # type: ignore[union-attr]  # it is the pipe that was registered
            worker.ready = True
            return
        selector.unregister(key.fileobj)
        key.fileobj.close()  # type: ignore[union-attr]
        pid = worker.process.pid if worker.process is not None else 0
        how = _ended(worker.end())
        if stop.is_set():
            return
        if not announced:
            raise FailedError(f"S3 worker {worker.number} ended {how} before it served")
        self._tell(f"S3 worker {worker.number} (process {pid}) ended {how}: starting another")

    def _drain(self) -> None:
        """Tell all to end, and wait until they have."""
        left = [worker for worker in self._workers if worker.process is not None]
        for worker in left:
            worker.let_go()
        end_s = time.monotonic() + _KILL_S
        for worker in left:
            process = worker.process
            assert process is not None
            assert process.stdout is not None
            try:
                process.wait(max(end_s - time.monotonic(), 0))
            except subprocess.TimeoutExpired:
                self._tell(f"S3 worker {worker.number} (process {process.pid}) did not end: killed")
                process.kill()
                process.wait()
            process.stdout.close()


def _ended(code: int) -> str:
    return f"by signal {-code}" if code < 0 else f"with code {code}"
