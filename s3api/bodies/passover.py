"""Before a request is refused, the body on its way is received: not every client reads an answer while it writes.

Go's gives up the connection, answer and all, when an answer overtakes the body; others get a reset in place of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from contextlib import suppress

from s3api.bodies.room import PIECE_BYTES
from s3api.bodies.sources import Source

PASSED_BYTES = 4 << 20
"""Larger bodies are not waited for: who sends them asks first, with Expect, or can take an early answer."""
PASSED_S = 5.0


async def pass_over(source: Source, headers: Iterable[tuple[bytes, bytes]]) -> None:
    """Receive and forget a body of up to 4 MiB, for up to 5 s; not one whose sender waits for 100 Continue."""
    found = dict(headers)
    length = found.get(b"content-length", b"0")
    small = length.isdigit() and len(length) < 19 and 0 < int(length) <= PASSED_BYTES
    if b"expect" in found or not (small or b"transfer-encoding" in found):
        return
    with suppress(TimeoutError):
        async with asyncio.timeout(PASSED_S):
            while source.more and source.received <= PASSED_BYTES and await source.piece(PIECE_BYTES) is not None:
                pass
