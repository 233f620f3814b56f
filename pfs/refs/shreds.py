"""What was purged and may still lie in packs: objects of sorted words that refs name until collection has seen to them.

A word is the first 8 bytes of the id of a chunk or manifest. A pack with a dead entry that begins so is written again
whatever its dead share is; of two ids that begin alike one too many does no harm. Format: docs/format/refs.md.
"""

from __future__ import annotations

import struct
import uuid
from collections.abc import Iterable, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
from msgspec.structs import replace
from xxhash import xxh3_128_digest

from pfs.backends.base import Backend
from pfs.errors import CorruptionError, NotFoundError
from pfs.refs.body import RefsBody

PREFIX: Final = "shred/"
LIMIT: Final = 16
"""Objects that a body names at most: one more, and all are made into one."""
_MAGIC: Final = b"PSH1"
_HEADER: Final = struct.Struct("<4sI8x16s")
_WORD: Final = np.dtype("<u8")

Words = npt.NDArray[np.uint64]


def encode(words: Words) -> bytes:
    """Return the stored object of words in any order."""
    rows = np.unique(words).astype(_WORD).tobytes()
    return _HEADER.pack(_MAGIC, len(rows) // _WORD.itemsize, xxh3_128_digest(rows)) + rows


def decode(data: bytes, *, where: str) -> Words:
    """Parse a stored object; raises CorruptionError, naming ``where``."""
    if len(data) < _HEADER.size:
        raise CorruptionError(where, "it is too short")
    magic, count, checksum = _HEADER.unpack_from(data)
    rows = data[_HEADER.size :]
    if magic != _MAGIC or len(rows) != count * _WORD.itemsize or xxh3_128_digest(rows) != checksum:
        raise CorruptionError(where, "its checksum does not match")
    return np.frombuffer(rows, _WORD)


def read_words(backend: Backend, names: Iterable[str]) -> Words:
    """Return the words of all objects, sorted, each once; one that is gone was seen to.

    Raises:
        CorruptionError: one is damaged. StorageError: the backend fails.
    """
    found = [np.empty(0, _WORD)]
    for name in names:
        try:
            found.append(decode(backend.get(name), where=name))
        except NotFoundError:
            continue
    return np.unique(np.concatenate(found))


def with_words(backend: Backend, repo: str, body: RefsBody, words: Words) -> RefsBody:
    """Return the body of ``repo`` naming a new, durable object with ``words``, those of all others in it if too many.

    Raises as `read_words`. To be called anew for each attempt to swap: names are never used twice.
    """
    older: Sequence[str] = body.shreds
    if len(older) >= LIMIT:
        words, older = np.concatenate([words, read_words(backend, older)]), ()
    name = f"{PREFIX}{repo}/{uuid.uuid4().hex}"
    backend.put_new(name, encode(words))
    return replace(body, shreds=(*older, name))


def without(body: RefsBody, names: Iterable[str]) -> RefsBody:
    """Return the body without naming these; itself if it names none of them."""
    gone = frozenset(names)
    left = tuple(name for name in body.shreds if name not in gone)
    return body if left == body.shreds else replace(body, shreds=left)
