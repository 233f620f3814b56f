"""A gateway on a free port of the loopback, in a thread of this process: for commands that pipelines run."""

from __future__ import annotations

import socket
import threading
from typing import Final

from pfs.errors import FailedError
from s3api.gateway import Gateway
from s3api.http.server import Listen, bound, serve_on

_DRAIN_S: Final = 1.0
"""Requests under way at the end are of nobody: all commands have ended."""
_START_S: Final = 60.0


class Loopback:
    """Listens from when it is made until it is closed, and closes the gateway with it.

    Raises:
        StorageError: there is no port to be had.
        FailedError: it does not start.
    """

    def __init__(self, gateway: Gateway, listener: socket.socket | None = None) -> None:
        """``listener``: a socket that listens already, and is closed in the end; by default one on a free port."""
        self._stop, self._started = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._serve, args=(gateway, listener), name="s3-loopback")
        self._url = ""
        self._thread.start()
        if not self._started.wait(_START_S) or not self._url:
            self.close()
            raise FailedError("the S3 gateway does not start")

    def _serve(self, gateway: Gateway, listener: socket.socket | None) -> None:
        listen = Listen(port=0)
        try:
            with bound(listen) if listener is None else listener as listener:
                self._port = listener.getsockname()[1]
                serve_on(
                    listener,
                    gateway,
                    listen,
                    stop=self._stop,
                    on_started=self._say_started,
                    upkeep=False,
                    drain_s=_DRAIN_S,
                )
        finally:
            self._started.set()

    def _say_started(self) -> None:
        self._url = f"http://127.0.0.1:{self._port}"
        self._started.set()

    @property
    def url(self) -> str:
        """Where it listens."""
        return self._url

    def close(self) -> None:
        """Stop listening; returns when nothing listens any more. Idempotent."""
        self._stop.set()
        self._thread.join()
