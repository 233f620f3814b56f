"""The protocol of places that files are sent to, and which place a URL means."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import BinaryIO, Protocol

from pps.spec.places import split


@dataclass(frozen=True, slots=True)
class Sending:
    """One file: ``name`` below the target, its size in bytes, and what is said about it."""

    name: bytes
    size: int
    mime: str | None = None
    metadata: Mapping[str, str] | None = None


class Target(Protocol):
    """A place for files by name. Thread-safe, but for `sizes`."""

    def sizes(self, names: Iterable[bytes]) -> Iterator[int | None]:
        """Yield for each name, in byte order, the size of what is there under it, None where nothing is.

        Raises:
            StorageError: the place cannot be read.
        """
        ...

    def put(self, file: Sending, body: BinaryIO) -> None:
        """Write a file, whole or not at all, over what is there; ``body`` is read as it goes, in bounded memory.

        Raises:
            StorageError: it cannot be written. FailedError: the place takes no such name.
        """
        ...

    def close(self) -> None:
        """Let go of connections. Idempotent."""
        ...


def open_target(url: str, settings: Mapping[str, str] | None = None) -> Target:
    """Return the place that a URL means; ``settings``: those of `pps.egress.s3.S3Target`.

    Raises:
        InvalidInputError: it is no such URL, or S3 cannot be used as it is set up.
    """
    scheme, bucket, path = split(url)
    if scheme == "file":
        from pps.egress.files import Folder

        return Folder(path)
    from pps.egress.s3 import S3Target

    return S3Target(bucket, path, settings or {})
