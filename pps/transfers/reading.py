"""Bytes from elsewhere as a stream, checked on their way."""

from __future__ import annotations

import hashlib
import io
import threading
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Final

from pfs.errors import StorageError
from pps.transfers.errors import check_going
from pps.transfers.wire import Answer, Request, Wire

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

RANGE: Final = 8 << 20
"""Bytes of one request: what is larger comes in several, with one `If-Match`."""
_AHEAD: Final = 3


class Pulled(io.RawIOBase):
    """An iterator of bytes as a raw stream; one thread."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._held = memoryview(b"")

    def readable(self) -> bool:
        """Say yes."""
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        """Read at least one byte, 0 at the end."""
        while not self._held:
            piece = next(self._pieces, None)
            if piece is None:
                return 0
            self._held = memoryview(piece)
        target = memoryview(buffer).cast("B")
        size = min(len(target), len(self._held))
        target[:size] = self._held[:size]
        self._held = self._held[size:]
        return size


class ObjectReader:
    """One object of S3, in ranges of 8 MiB that are fetched ahead; one thread. Memory: 32 MiB of a large one.

    All ranges are of one version; an ETag that is the MD5 of the object is compared with that of what came.
    """

    def __init__(self, wire: Wire, place: tuple[str, str], size: int, etag: str, *, stop: threading.Event) -> None:
        self._wire, self._place, self._size, self._etag, self._stop = wire, place, size, etag, stop
        self._shown = f"read s3://{place[0]}/{place[1]}"
        self._first = self._get(0)
        self.headers = self._first.headers
        """What the first answer says of the object."""

    def pieces(self) -> Iterator[bytes]:
        """Yield the bytes, once.

        Raises:
            StorageError: they do not come, or are not what was announced. PlaceRefusedError: the object changed
            meanwhile, or may not be read. Stopped.
        """
        digest, size = hashlib.md5(usedforsecurity=False), 0
        encrypted = self.headers.get("x-amz-server-side-encryption", "").startswith("aws:")
        is_md5 = len(self._etag) == 32 and not encrypted
        for body in self._bodies():
            check_going(self._stop)
            if is_md5:
                digest.update(body)
            size += len(body)
            yield body
        if size != self._size:
            raise StorageError(self._shown, f"{size} bytes came instead of {self._size}")
        if is_md5 and digest.hexdigest() != self._etag:
            raise StorageError(self._shown, "what came has another MD5 than its ETag says")

    def _bodies(self) -> Iterator[bytes]:
        yield self._first.body
        offsets = iter(range(RANGE, self._size, RANGE))
        if self._size <= RANGE:
            return
        waiting: deque[Future[Answer]] = deque()
        with ThreadPoolExecutor(_AHEAD, thread_name_prefix="range") as pool:
            try:
                for offset in offsets:
                    waiting.append(pool.submit(self._get, offset))
                    if len(waiting) >= _AHEAD:
                        yield waiting.popleft().result().body
                while waiting:
                    yield waiting.popleft().result().body
            finally:
                for one in waiting:
                    one.cancel()

    def _get(self, offset: int) -> Answer:
        headers = {"if-match": f'"{self._etag}"'} if self._etag else {}
        if self._size > RANGE:
            headers["range"] = f"bytes={offset}-{min(offset + RANGE, self._size) - 1}"
        bucket, key = self._place
        return self._wire.send(Request("GET", bucket, key, self._shown, headers=headers, missing=("NoSuchKey", "404")))
