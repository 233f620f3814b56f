"""The protocol of places that files are sent to, and which place a URL means."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import BinaryIO, Protocol
from urllib.parse import unquote, urlsplit

from pfs.errors import InvalidInputError
from pfs.shorten import quoted


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


SCHEMES = ("s3", "file")


def split(url: str) -> tuple[str, str, str]:
    """Return scheme, bucket (empty for ``file``) and path of a URL, without the slash in front of a key.

    Raises:
        InvalidInputError: it is no such URL.
    """
    try:
        parts = urlsplit(url)
        path = parts.path if parts.scheme == "s3" else unquote(parts.path)
    except ValueError as error:
        raise InvalidInputError(f"{quoted(url)} is no URL: {error}") from error
    if parts.scheme not in SCHEMES:
        hint = "give s3://bucket/path or file:///path"
        raise InvalidInputError(f"{quoted(url)} is no place that egress can write to: {hint}")
    if parts.query or parts.fragment:
        raise InvalidInputError(f"{quoted(url)} should be a bucket and a path alone, without ? and #")
    if parts.scheme == "s3":
        if not parts.netloc or "@" in parts.netloc:
            raise InvalidInputError(f"{quoted(url)} should name a bucket: s3://bucket/path")
        return "s3", parts.netloc, path.strip("/")
    if parts.netloc not in {"", "localhost"} or not path.startswith("/"):
        raise InvalidInputError(f"{quoted(url)} should be an absolute path: file:///path")
    return "file", "", path


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
