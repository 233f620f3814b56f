"""What refs know of single commits, when it is too much for a refs body: immutable objects of sorted rows.

A body holds at most `LIMIT` such facts itself. When it would hold more, all of them move to an object that the body
names; objects that are not much larger are merged into it, so that their number is logarithmic and a fact is written
O(log n) times. The newest fact counts: the body's own, then those of the object that was named last. Bytes:
docs/format/refs.md.
"""

from __future__ import annotations

import struct
import uuid
from collections.abc import Iterator, Sequence
from enum import IntEnum
from typing import Final

from msgspec import Struct
from xxhash import xxh3_128_digest

from pfs.arrays import Voids, np
from pfs.backends.base import Backend
from pfs.errors import CorruptionError, MissingObjectError, NotFoundError
from pfs.lru import Lru

PREFIX: Final = "history/"
LIMIT: Final = 1_000
"""Facts that a body holds itself."""
_RATIO: Final = 4
"""An older object of at most this many times the rows that are added is merged with them."""
_MAGIC: Final = b"PRF1"
_HEADER: Final = struct.Struct("<4sI8x16s")
_ROW: Final = [("key", "S17"), ("what", "u1"), ("value", "V16")]
_ROW_SIZE: Final = 34
_HELD_BYTES: Final = 64 << 20

Rows = Voids


class Fact(IntEnum):
    """What a fact is about; the first byte of its key, the 16 bytes of the commit id are the others."""

    EDGE = 1
    """The first parent of the commit, instead of the one in its record."""
    RECORD = 2
    """The meta pack with the record of the commit."""
    SQUASHED = 3
    """The child that took the commit over."""


class Value(Struct, frozen=True):
    """``what``: GONE hides an older fact, NOTHING is an edge to no parent, else ``id`` are the 16 bytes of an id."""

    what: int
    id: bytes = bytes(16)


GONE, NOTHING, ID = 0, 1, 2


class Facts:
    """The facts of one object: immutable, safe to share between threads; 34 bytes a fact."""

    def __init__(self, rows: Rows) -> None:
        self.rows = rows
        self._keys = np.ascontiguousarray(rows["key"])  # a search of the column in place would copy it each time

    def __len__(self) -> int:
        return len(self.rows)

    def find(self, fact: Fact, commit: bytes) -> Value | None:
        """Return what the object says of a commit (16 bytes), None if nothing; O(log n)."""
        key = bytes((fact,)) + commit
        at = int(np.searchsorted(self._keys, np.bytes_(key)))
        if self._keys[at : at + 1].tobytes() != key:  # NumPy takes zeros at the end of one away
            return None
        return Value(int(self.rows["what"][at]), self.rows["value"][at].tobytes())

    def all(self, fact: Fact) -> Iterator[tuple[bytes, Value]]:
        """Yield (commit, value) of every fact of a kind, in order of commits."""
        start, stop = (int(np.searchsorted(self._keys, np.bytes_(bytes((one,))))) for one in (fact, fact + 1))
        part = self.rows[start:stop]
        keys, values = self._keys[start:stop].tobytes(), part["value"].tobytes()
        for number, what in enumerate(part["what"].tolist()):
            yield keys[17 * number + 1 : 17 * number + 17], Value(what, values[16 * number : 16 * number + 16])

    def naming(self, fact: Fact, id: bytes) -> list[bytes]:
        """Return the commits of which the object says ``id``, by a look at all of it: 20 ns a fact."""
        kinds = self._keys.view("u1").reshape(-1, 17)[:, 0]
        same = (np.ascontiguousarray(self.rows["value"]).view("u1").reshape(-1, 16) == np.frombuffer(id, "u1")).all(1)
        found = np.flatnonzero(same & (kinds == fact) & (self.rows["what"] == ID)).tolist()
        return [self._keys[at : at + 1].tobytes()[1:] for at in found]

    def encode(self) -> bytes:
        """Return the stored object."""
        rows = self.rows.tobytes()
        return _HEADER.pack(_MAGIC, len(self.rows), xxh3_128_digest(rows)) + rows


def decode(data: bytes, *, where: str) -> Facts:
    """Parse a stored object; raises CorruptionError, naming ``where``."""
    if len(data) < _HEADER.size:
        raise CorruptionError(where, "it is too short")
    magic, count, checksum = _HEADER.unpack_from(data)
    rows = data[_HEADER.size :]
    if magic != _MAGIC or len(rows) != count * _ROW_SIZE or xxh3_128_digest(rows) != checksum:
        raise CorruptionError(where, "its checksum does not match")
    return Facts(np.frombuffer(rows, _ROW))


def facts(items: Sequence[tuple[Fact, bytes, Value]]) -> Facts:
    """Return the facts of these items; of one commit and kind there is one item at most."""
    rows = np.empty(len(items), _ROW)
    for number, (fact, commit, value) in enumerate(items):
        rows[number] = (bytes((fact,)) + commit, value.what, value.id)
    return merged([Facts(rows)], last=False)


def merged(parts: Sequence[Facts], *, last: bool) -> Facts:
    """Return the facts of several objects; later ones win. ``last``: nothing older is left, so GONE is left out."""
    rows: Rows = np.concatenate([part.rows for part in parts])
    rows = rows[np.argsort(rows["key"], kind="stable")]
    keys = rows["key"]
    newest = np.ones(len(rows), bool)
    newest[:-1] = keys[:-1] != keys[1:]
    if last:
        newest &= rows["what"] != GONE
    return Facts(rows[newest])


class Shelf:
    """The stored objects of facts; thread-safe. Those used last are kept in memory, up to 64 MiB."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._held: Lru[str, Facts] = Lru(_HELD_BYTES)

    def get(self, name: str) -> Facts:
        """Return an object by name, read when it was not used lately.

        Raises:
            MissingObjectError, CorruptionError: it is gone, or damaged. StorageError: the backend fails.
        """
        held = self._held.get(name)
        if held is None:
            try:
                held = decode(self._backend.get(name), where=name)
            except NotFoundError as error:
                raise MissingObjectError(name, "what became of squashed and purged commits is lost") from error
            self._held.put(name, held, weight=2 * held.rows.nbytes)
        return held

    def put(self, repo: str, new: Facts) -> str:
        """Store an object under a fresh name, and return that; durable."""
        name = f"{PREFIX}{repo}/{uuid.uuid4().hex}"
        self._backend.put_new(name, new.encode())
        self._held.put(name, new, weight=2 * new.rows.nbytes)
        return name


def absorbed(sizes: Sequence[int], added: int) -> int:
    """Return how many of the older objects stay when ``added`` rows come; the others, the last ones, are merged."""
    kept = len(sizes)
    while kept and sizes[kept - 1] <= _RATIO * added:
        kept -= 1
        added += sizes[kept]
    return kept
