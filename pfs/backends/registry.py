"""Which backend serves a location: one table, by URL scheme."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final

from pfs.backends.base import Backend
from pfs.backends.local import LocalBackend
from pfs.backends.memory import MemoryBackend
from pfs.errors import InvalidInputError
from pfs.shorten import quoted

_BACKENDS: Final[Mapping[str, Callable[[str], Backend]]] = MappingProxyType(
    {"file": lambda place: LocalBackend(Path(place)), "memory": lambda _: MemoryBackend()}
)


def open_backend(location: str | Path) -> Backend:
    """Open the object store at a path, ``file:///path`` or ``memory:`` (a fresh, empty one).

    Raises:
        InvalidInputError: no backend has that scheme.
        StoreNotFoundError: the directory does not exist.
    """
    scheme, colon, place = str(location).partition(":")
    if isinstance(location, Path) or not colon or "/" in scheme:
        return LocalBackend(Path(location))
    make = _BACKENDS.get(scheme)
    if make is None:
        raise InvalidInputError(f"no backend for {quoted(scheme)}: locations are paths, or start with {_schemes()}")
    return make(place.removeprefix("//"))


def _schemes() -> str:
    return ", ".join(f"{scheme}:" for scheme in sorted(_BACKENDS))
