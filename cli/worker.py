"""One of several processes that serve S3: `python -m cli.worker`, started by `cli.supervisor` alone.

Its task comes as one line of JSON on stdin, which stays open as long as it is to go on: when stdin ends, because the
supervisor says so or is gone, it drains as at SIGTERM. It writes ``ready`` to stdout once it serves; troubles go to
stderr, in one line.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import sys
import threading

import msgspec

from cli import exits
from cli.front import Front
from cli.limits import raise_file_limit, spare_memory
from pfs.backends.encrypted_key import StoreKey
from pfs.errors import PfsError

READY = b"ready\n"
_LOOK_S = 2.0
"""How often a worker looks whether its supervisor lives: somebody else may hold the other end of stdin."""
_GRACE_S = 20.0
"""Beyond the drain; a worker that has not ended by then is stuck."""


class Task(msgspec.Struct, frozen=True, kw_only=True):
    """What a worker is told: the store, the socket that it inherits, and whether it does the upkeep for all.

    ``key``: in hex, of an encrypted store: so that a worker asks nobody, and its environment has nothing.
    """

    store: str
    front: Front
    fd: int
    upkeep: bool
    key: str | None = None


def main() -> None:
    """Serve until told to end; exits with the codes of commands."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    spare_memory(many=True)
    task = msgspec.json.decode(sys.stdin.buffer.readline(), type=Task)
    threading.Thread(target=_watch, args=(os.getppid(), stop), name="watch", daemon=True).start()
    raise_file_limit()
    try:
        _serve(task, stop)
    except PfsError as error:
        print(f"pfs: {error}", file=sys.stderr, flush=True)
        sys.exit(exits.exit_code(error))


def _serve(task: Task, stop: threading.Event) -> None:
    from pfs.store import open as open_at
    from s3api.http.server import serve_on

    key = None if task.key is None else StoreKey(bytes.fromhex(task.key))
    with socket.socket(fileno=task.fd) as listener, open_at(task.store, unlock=key) as store:
        serve_on(
            listener,
            task.front.gateway(store),
            task.front.listen(),
            stop=stop,
            on_started=_say_ready,
            upkeep=task.upkeep,
        )


def _say_ready() -> None:
    os.write(1, READY)


def _watch(parent: int, stop: threading.Event) -> None:
    """Set the event when stdin ends or the parent is another; then end the process if it does not by itself."""
    from s3api.http.server import DRAIN_S, FAREWELL_S

    while os.getppid() == parent and not select.select([0], [], [], _LOOK_S)[0]:
        pass
    stop.set()
    threading.Event().wait(DRAIN_S + FAREWELL_S + _GRACE_S)
    os._exit(exits.FAILED)


if __name__ == "__main__":
    main()
