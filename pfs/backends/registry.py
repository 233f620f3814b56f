"""Which backend serves a location: one table, by URL scheme."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from pfs.backends.base import Backend
from pfs.backends.local import LocalBackend
from pfs.errors import InvalidInputError
from pfs.shorten import quoted

if TYPE_CHECKING:
    from pfs.backends.s3_place import S3Options


def _memory(place: str, options: S3Options | None) -> Backend:
    from pfs.backends.memory import MemoryBackend

    return MemoryBackend()


def _bucket(place: str, options: S3Options | None) -> Backend:
    from pfs.backends.s3 import S3Backend  # boto3 takes 0.3 s

    return S3Backend(f"s3://{place}", options)


_BACKENDS: Final[Mapping[str, Callable[[str, S3Options | None], Backend]]] = MappingProxyType(
    {"file": lambda place, _: LocalBackend(Path(place)), "memory": _memory, "s3": _bucket}
)


def open_backend(location: str | Path, options: S3Options | None = None) -> Backend:
    """Open the object store at a path, ``file:///path``, ``memory:`` (a fresh, empty one) or ``s3://bucket/prefix``.

    ``options``: how to reach a bucket.

    Raises:
        InvalidInputError: no backend has that scheme, or the options make no sense.
        StoreNotFoundError: the directory does not exist.
        AccessRefusedError: there is no such profile.
    """
    scheme, colon, place = str(location).partition(":")
    if isinstance(location, Path) or not colon or "/" in scheme:
        return LocalBackend(Path(location))
    make = _BACKENDS.get(scheme)
    if make is None:
        raise InvalidInputError(f"no backend for {quoted(scheme)}: locations are paths, or start with {_schemes()}")
    return make(place.removeprefix("//"), options)


def _schemes() -> str:
    return ", ".join(f"{scheme}:" for scheme in sorted(_BACKENDS))
