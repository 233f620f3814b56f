"""The protocol of places that files are sent to."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple, Protocol

Pieces = Iterable[bytes | memoryview]


class There(NamedTuple):
    """What is at a place under a name: ``etag`` is another one when the content is, as far as the place can tell."""

    size: int
    etag: str


class Arrived(NamedTuple):
    """What was sent as the place knows it now; ``version`` is empty where there are none."""

    url: str
    size: int
    etag: str
    version: str = ""


@dataclass(frozen=True, slots=True)
class Said:
    """What is said of an object: headers by lower-case name, user metadata, tags."""

    content_type: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    metadata: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)

    def with_type(self, content_type: str) -> Said:
        """Return the same with another media type."""
        return replace(self, content_type=content_type)


@dataclass(frozen=True, slots=True)
class Sending:
    """One file: ``name`` below the target, and its bytes, which can be had again and again.

    ``size`` in bytes; of what is made as it goes the most that it can be, with ``exact`` False. ``whole``: the bytes
    themselves, where they are at hand.
    """

    name: bytes
    size: int
    pieces: Callable[[], Pieces]
    said: Said = Said()
    exact: bool = True
    whole: bytes | None = None


class Target(Protocol):
    """A place for files by name. Thread-safe, but for `listed`."""

    @property
    def lists(self) -> bool:
        """Whether `listed` is better than `find` for many names."""
        ...

    def listed(self) -> Iterator[tuple[bytes, There]]:
        """Yield what is there, by name in byte order, as it is listed.

        Raises:
            StorageError, PlaceRefusedError: the place cannot be read.
        """
        ...

    def find(self, name: bytes) -> There | None:
        """Return what is there under a name, None if nothing is."""
        ...

    def find_url(self, url: str) -> There | None:
        """Return what is at a URL of the same kind of place, which need not be below this one."""
        ...

    def url(self, name: bytes) -> str:
        """Return the URL of a name."""
        ...

    def holds(self, file: Sending, there: There) -> Arrived | None:
        """Return what is there if it is the file as it would be sent, found out without sending it; else None."""
        ...

    def put(self, file: Sending) -> Arrived:
        """Write a file, whole or not at all, over what is there; what arrived is compared with what was sent.

        What was sent of a large file before is found and not sent again.

        Raises:
            StorageError: it cannot be written now; what there is of it waits for the next try.
            PlaceRefusedError: the place refuses, or takes no such name. Stopped.
        """
        ...

    def abandon(self) -> None:
        """Take away what is there of files that were not finished."""
        ...

    def close(self) -> None:
        """Let go of connections. Idempotent."""
        ...
