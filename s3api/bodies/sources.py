"""Where the bytes of a body come from: ASGI messages, or straight from the socket for large ones."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Protocol, cast

from pfs.backends.base import Buffer
from s3api.http.intake import EXTENSION

Message = MutableMapping[str, object]
Receive = Callable[[], Awaitable[Message]]


class Source(Protocol):
    """The bytes of one body, in order, in pieces."""

    @property
    def received(self) -> int:
        """Bytes that have come so far, those of an unfinished piece too."""
        ...

    @property
    def more(self) -> bool:
        """Whether there may be more than was taken."""
        ...

    async def piece(self, limit: int) -> Buffer | None:
        """Return the next bytes, about ``limit`` or what is left; empty at the end; None: the connection was closed.

        Cancelled, it loses nothing: the next call goes on.
        """
        ...


class MessageSource:
    """A body from the messages of ASGI: small, or in chunked transfer encoding."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._parts: list[bytes] = []
        self._size = 0
        self.received = 0
        self.more = True

    async def piece(self, limit: int) -> bytes | None:
        """Return what came, joined once it is ``limit`` bytes or all; a message is never divided."""
        while self.more and self._size < limit:
            message = await self._receive()
            if message["type"] != "http.request":
                return None
            part = message.get("body", b"")
            assert isinstance(part, bytes)
            self._parts.append(part)
            self._size += len(part)
            self.received += len(part)
            self.more = bool(message.get("more_body", False))
        parts, self._parts, self._size = self._parts, [], 0
        return parts[0] if len(parts) == 1 else b"".join(parts)


def source_of(scope: Mapping[str, object], receive: Receive) -> Source:
    """Return the source of a request's body."""
    extensions = cast("Mapping[str, Mapping[str, Source]]", scope.get("extensions") or {})
    found = extensions.get(EXTENSION)
    return MessageSource(receive) if found is None else found["intake"]
