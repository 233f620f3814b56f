"""Head and body of an answer in one write: each write wakes the client, which costs more than a small answer itself."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pfs.backends.base import Buffer

SMALL_BYTES: Final = 64 << 10
"""More is not copied to be joined."""
_INTERIM: Final = b"HTTP/1.1 1"


class Joined:
    """What a request's answer is written to: its head waits for the first bytes of the body, or for `flush`."""

    __slots__ = ("_head", "_open", "_transport", "is_closing")

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._head: Buffer | None = None
        self._open = False
        self.is_closing: Callable[[], bool] = transport.is_closing

    def write(self, data: Buffer) -> None:
        """Write; the first write is the head, but for ``100 Continue``, which goes at once."""
        if self._open:
            self._transport.write(data)
        elif self._head is not None:
            self._begin(self._head, data)
        elif bytes(data[: len(_INTERIM)]) == _INTERIM:
            self._transport.write(data)
        else:
            self._head = data

    def _begin(self, head: Buffer, data: Buffer) -> None:
        self._open = True
        if len(data) <= SMALL_BYTES:
            self._transport.write(b"".join((head, data)))
        else:
            self._transport.write(head)
            self._transport.write(data)

    def flush(self) -> None:
        """Write a head that has no body."""
        if not self._open and self._head is not None:
            self._begin(self._head, b"")

    def close(self) -> None:
        """Close the connection behind what was written."""
        self.flush()
        self._transport.close()
