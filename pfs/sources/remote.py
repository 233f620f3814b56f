"""Files behind URLs: what is known of them, and bytes that survive a transfer which breaks."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import BinaryIO, Final, Protocol

from msgspec import Struct

from pfs.errors import StorageError

_ATTEMPTS: Final = 5
"""Requests in a row that bring no byte, before a transfer is given up."""
_PIECE: Final = 1 << 18


@dataclass(frozen=True, slots=True)
class Known:
    """What tells a version of a file from others, as HTTP has it: its ETag, and when it changed last.

    ``is_same``: it is the version that was asked about, and its bytes do not come.
    """

    etag: str = ""
    modified: str = ""
    is_same: bool = False


@dataclass(frozen=True, slots=True)
class Fetched:
    """An open transfer: the bytes, and what the other side says of them."""

    stream: BinaryIO
    mime: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    known: Known = Known()


class RemoteFile(Struct, frozen=True):
    """A file behind a URL.

    ``name`` is its path below the URL that was listed, else its base name; ``shown`` is the URL without secrets.
    ``open`` begins the transfer; reading it ends with StorageError once ``stop`` is set.
    """

    name: str
    shown: str
    open: Callable[[threading.Event], AbstractContextManager[Fetched]]


class Origin(Protocol):
    """What URLs of one scheme lead to; thread-safe."""

    def file(self, url: str) -> RemoteFile:
        """Return one file; whether it exists shows when it is opened."""

    def below(self, url: str) -> Iterator[RemoteFile]:
        """Yield all files below a URL, as they are listed.

        Raises:
            InvalidInputError: this scheme cannot list. NotFoundError: there are none.
            StorageError: the other side cannot be reached, or refuses.
        """


class Body(Protocol):
    """The bytes of one answer."""

    def read(self, size: int, /) -> bytes:
        """Return some bytes, none at the end; raises what ``Resuming`` was told when the connection breaks."""

    def close(self) -> None:
        """Give the connection back, or up."""


class Transfer(Protocol):
    """One file, and what the first answer said of it."""

    @property
    def size(self) -> int | None:
        """Its bytes; None before the first answer, and where that does not say."""

    def request(self, offset: int) -> Body:
        """Return the bytes from ``offset`` on.

        Raises:
            StorageError: the file cannot be continued, as one that changed. NotFoundError: it is not there.
        """


class Resuming(io.RawIOBase):
    """One file as a stream, over as many answers as it takes.

    ``broken`` are the errors by which bodies and requests tell that a connection broke, of which the first takes a
    message. Some breaks look like an end:
    answers whose headers were cut. So bytes that the file should have and that do not come are a break, too.
    """

    def __init__(
        self,
        transfer: Transfer,
        url: str,
        *,
        broken: tuple[type[Exception], ...],
        stop: threading.Event,
        pause: Callable[[int], None],
    ) -> None:
        self._transfer, self._url, self._broken, self._stop, self._pause = transfer, url, broken, stop, pause
        self._offset = self._failures = 0
        self._body: Body | None = None
        self.name = url

    def readable(self) -> bool:
        """Say yes."""
        return True

    def begin(self) -> None:
        """Send the request, so that what the answer says of the file is known."""
        while self._body is None:
            self._attempt()

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]  # callers here hand over memoryviews
        """Read at least one byte, 0 at the end.

        Raises:
            StorageError: the transfer broke and cannot be resumed, or it was stopped.
        """
        while True:
            if self._stop.is_set():
                raise StorageError(f"read {self._url}", "it was stopped")
            if self._body is None:
                self._attempt()
                continue
            try:
                data = self._read(self._body, len(buffer))
            except self._broken as error:
                self._give_up()
                self._failed(error)
                continue
            if data:
                self._failures = 0
            self._offset += len(data)
            buffer[: len(data)] = data
            return len(data)

    def close(self) -> None:
        """End the transfer."""
        self._give_up()
        super().close()

    def _read(self, body: Body, size: int) -> bytes:
        data = body.read(min(size, _PIECE))
        if not data and self._transfer.size not in {None, self._offset}:
            raise self._broken[0](f"{self._transfer.size} bytes were announced")
        return data

    def _attempt(self) -> None:
        try:
            self._body = self._transfer.request(self._offset)
        except self._broken as error:
            self._failed(error)

    def _failed(self, error: Exception) -> None:
        self._failures += 1
        if self._failures >= _ATTEMPTS:
            at = f" after {self._offset} bytes" if self._offset else ""
            reason = " ".join(str(error).split()) or type(error).__name__
            raise StorageError(f"read {self._url}", f"the transfer broke{at}, {_ATTEMPTS} times in a row ({reason})")
        self._pause(self._failures)

    def _give_up(self) -> None:
        if self._body is not None:
            self._body.close()
            self._body = None
