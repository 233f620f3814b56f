"""The connection of one answer, for threads that write to it themselves.

What is read in a thread and sent by the event loop crosses from one core's cache to another's, and costs a turn of the
loop a piece: twice the work of sending itself. So a thread that has read and checked a piece hands it to the socket at
once, as long as the socket takes it; the rest goes the usual way. Only for plain connections: TLS sends its own bytes.
"""

from __future__ import annotations

import os
import select
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final, cast

if TYPE_CHECKING:
    from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

EXTENSION: Final = "pfs.outlet"
"""Under this name the ASGI scope's extensions have the outlet of a request over a plain connection."""
FAST_BYTES: Final = 1 << 20
"""A client that took so much in one turn of a thread is waited for a moment."""
_MOMENT_MS: Final = 5
_IOV_MAX: Final = 1024


class Outlet:
    """Where the answer of one request goes. `drained`, then `write` in a thread, then `settle`; `close` at the end."""

    def __init__(self, http: HttpToolsProtocol) -> None:
        self._http, self._cycle = http, http.cycle
        self._fd = -1
        self._sent = 0

    def open(self) -> None:
        """Take a descriptor of the connection that stays what it is when the connection is closed meanwhile."""
        self._fd = os.dup(self._http.transport.get_extra_info("socket").fileno())

    def close(self) -> None:
        """Give it back; no thread may be writing."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    async def drained(self) -> None:
        """Wait until all that was sent through the event loop is with the system; or the connection is lost."""
        await self._http.flow.drain()

    @property
    def broken(self) -> bool:
        """Whether the connection is closed, or about to be."""
        return self._http.transport.is_closing()

    def write(self, pieces: Sequence[memoryview], *, taken: int) -> list[memoryview]:
        """Write what the connection takes now; return the rest. In a thread.

        With ``taken`` bytes or more in this turn so far, the client is fast: then it is waited for, a moment.
        An error of the connection is not told: who sends the rest through the event loop learns of it.
        """
        rest = [piece for piece in pieces if piece]
        while rest and (count := self._some(rest, fast=taken >= FAST_BYTES)):
            taken += count
            self._sent += count
            rest = _behind(rest, count)
        return rest

    def _some(self, pieces: Sequence[memoryview], *, fast: bool) -> int:
        """Return how many bytes were written; 0: the connection takes none now, or no more at all."""
        try:
            return os.writev(self._fd, pieces[:_IOV_MAX])
        except BlockingIOError:
            return self._some(pieces, fast=False) if fast and _is_writable(self._fd) else 0
        except OSError:
            return 0

    def settle(self) -> int:
        """Return how many bytes threads wrote since the last time; the server counts them from then on."""
        sent, self._sent = self._sent, 0
        self._cycle.expected_content_length -= sent
        return sent


def _behind(pieces: list[memoryview], size: int) -> list[memoryview]:
    """Return what is left of pieces behind ``size`` bytes."""
    for number, piece in enumerate(pieces):
        if size < len(piece):
            return [piece[size:], *pieces[number + 1 :]]
        size -= len(piece)
    return []


def _is_writable(fd: int) -> bool:
    poll = select.poll()
    poll.register(fd, select.POLLOUT)
    return bool(poll.poll(_MOMENT_MS))


def outlet_of(scope: Mapping[str, object]) -> Outlet | None:
    """Return the outlet of a request; None where there is none: the connection is encrypted, or another server's."""
    extensions = cast("Mapping[str, Mapping[str, Outlet]]", scope.get("extensions") or {})
    found = extensions.get(EXTENSION)
    return None if found is None else found["outlet"]
