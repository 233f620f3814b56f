"""Lists of condemned packs: what one generation of collection means to delete (docs/format/collection.md).

Written once and never changed, so that every writer that reads a generation's list sees the same packs.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable
from typing import Final

from xxhash import xxh3_128_digest

from pfs.backends.base import Backend
from pfs.errors import CorruptionError, InvalidInputError, MissingObjectError, NotFoundError
from pfs.ids import PackId
from pfs.packs.pack import PackKind

PREFIX: Final = "gc/condemned/"
_HEADER: Final = struct.Struct("<4sBxxxI")
_MAGIC: Final = b"PGC1"
_VERSION: Final = 1
_ROW: Final = struct.Struct("<16sc")
_SUM: Final = 16
_NAME: Final = re.escape(PREFIX) + r"(\d{12})-[0-9a-f]+\.idx"

Condemned = dict[PackId, PackKind]
"""The packs of a list; the kind says the object's name."""


def list_name(gen: int, sid: str) -> str:
    """Return the object name of the list that the collector ``sid`` (hex) makes for a generation."""
    return f"{PREFIX}{gen:012d}-{sid}.idx"


def list_gen(name: str) -> int | None:
    """Return the generation that a list was made for, None where ``name`` is no list's."""
    match = re.fullmatch(_NAME, name)
    return None if match is None else int(match[1])


def encode_list(packs: Iterable[tuple[PackId, PackKind]]) -> bytes:
    """Return the stored bytes; the same packs in any order give the same bytes."""
    rows = sorted(set(packs))
    body = _HEADER.pack(_MAGIC, _VERSION, len(rows)) + b"".join(_ROW.pack(id, kind.encode()) for id, kind in rows)
    return body + xxh3_128_digest(body)


def decode_list(data: bytes, *, where: str) -> Condemned:
    """Parse a stored list.

    Raises:
        CorruptionError: it is none, or its checksum does not match.
        InvalidInputError: it was written by a newer release.
    """
    body = data[:-_SUM]
    if len(data) < _HEADER.size + _SUM or xxh3_128_digest(body) != data[-_SUM:]:
        raise CorruptionError(where, "its checksum does not match")
    magic, version, count = _HEADER.unpack_from(body)
    if magic != _MAGIC:
        raise CorruptionError(where, "no list of condemned packs")
    if version > _VERSION:
        raise InvalidInputError(f"{where} has format {version}, this pfs knows {_VERSION}: use a newer pfs")
    if len(body) != _HEADER.size + count * _ROW.size:
        raise CorruptionError(where, f"it has not the length of {count} packs")
    found: Condemned = {}
    for id, kind in _ROW.iter_unpack(body[_HEADER.size :]):
        if kind not in (b"d", b"m"):
            raise CorruptionError(where, f"pack {id.hex()} has the unknown kind {kind!r}")
        found[PackId(id)] = "d" if kind == b"d" else "m"
    return found


def load_list(backend: Backend, name: str) -> Condemned:
    """Return a list; raises as `decode_list`, and MissingObjectError where there is none of that name."""
    try:
        return decode_list(backend.get(name), where=name)
    except NotFoundError as error:
        raise MissingObjectError(name, "a list of condemned packs that gc/state.json names is gone") from error


def load(backend: Backend, name: str) -> frozenset[PackId]:
    """Return the ids of a list; raises as `load_list`."""
    return frozenset(load_list(backend, name))
