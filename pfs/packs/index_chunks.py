"""The chunk rows of an index: recent ones in LMDB, older ones in runs that do not change (`frozen`).

Rows are looked for in the table that is written to, then in the one that is being frozen, if any, then in runs, the
newest first: where a key is found first, that row counts. One that was removed while an older place has its key leaves
a row that says so (`REMOVED`). Functions over a transaction, so that all of it is seen at one moment.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Final, NamedTuple

from pfs.arrays import np
from pfs.packs.index_env import Txn
from pfs.packs.index_rows import LOCATION_SIZE

if TYPE_CHECKING:
    from pfs.packs.frozen import Rows, Run

TABLES: Final = ("chunk", "chunk2")
REMOVED: Final = bytes(12)
"""The value of a row that was removed: no pack has number 0."""
_LAYOUT: Final = b"frozen"
_FEW: Final = 16
"""Up to this many ids, single look-ups beat sorting."""
PIECE: Final = 1 << 17
"""Rows read of a table in one transaction while it is frozen."""


class RunGoneError(Exception):
    """A run is not there any more: it was merged with others after the list that names it was read."""


class Layout(NamedTuple):
    """Where rows are: the table that is written to, the one that is being frozen (or empty), and runs, newest first."""

    active: str = TABLES[0]
    pending: str = ""
    runs: tuple[str, ...] = ()

    @property
    def other(self) -> str:
        """The table that is not written to."""
        return TABLES[1 - TABLES.index(self.active)]


def layout_of(txn: Txn) -> Layout:
    """Return where rows are."""
    value = txn.get("meta", _LAYOUT)
    return Layout() if value is None else _parsed(value)


@lru_cache(maxsize=16)
def _parsed(value: bytes) -> Layout:
    active, pending, *runs = value.decode().split(" ")
    return Layout(active, pending, tuple(runs))


def put_layout(txn: Txn, layout: Layout) -> None:
    """Change where rows are."""
    txn.put("meta", _LAYOUT, " ".join([layout.active, layout.pending, *layout.runs]).encode())


class Chunks:
    """The chunk rows within one transaction."""

    def __init__(self, txn: Txn, runs: Callable[[tuple[str, ...]], list[Run]]) -> None:
        """``runs`` gives runs by name; raises as that: RunGoneError, IndexDamagedError."""
        value = txn.get("meta", _LAYOUT)
        self._txn, layout = txn, Layout() if value is None else _parsed(value)
        self._is_plain = value is None
        self._active = layout.active
        self._tables = [layout.active, *([layout.pending] if layout.pending else [])]
        self._runs = runs(layout.runs) if layout.runs else []

    def find(self, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        """Return the values of those keys that have one."""
        found = look_up(self._txn, self._active, keys)
        if self._is_plain:
            return found
        found |= self._older([key for key in keys if key not in found])
        return {key: value for key, value in found.items() if value != REMOVED}

    def rows(self, keys: Sequence[bytes]) -> list[tuple[bytes, bytes]]:
        """Return the rows of ascending keys, in that order."""
        if self._is_plain:
            return list(self._txn.cursor(self._active).getmulti(keys))
        found = self.find(keys)
        return [(key, found[key]) for key in keys if key in found]

    def _older(self, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        """Look in all places but the first, removed ones too."""
        found: dict[bytes, bytes] = {}
        missing = sorted(set(keys))
        for table in self._tables[1:]:
            found |= look_up(self._txn, table, missing)
            missing = [key for key in missing if key not in found]
        if not missing or not self._runs:
            return found
        return found | (self._in_runs(missing) if len(missing) > _FEW else self._few_in_runs(missing))

    def _few_in_runs(self, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        found: dict[bytes, bytes] = {}
        for key in keys:
            high, low = int.from_bytes(key[:8], "big"), int.from_bytes(key[8:], "big")
            value = next((value for run in self._runs if (value := run.get(high, low)) is not None), None)
            if value is not None:
                found[key] = value
        return found

    def _in_runs(self, missing: Sequence[bytes]) -> dict[bytes, bytes]:
        from pfs.packs.frozen import halves  # few indexes have so many rows

        found: dict[bytes, bytes] = {}
        high, low = halves(missing)
        left = np.arange(len(missing))
        for run in self._runs:
            places = run.find(high[left], low[left])
            here = places >= 0
            values = run.rows.values[places[here]].view(f"V{LOCATION_SIZE}").tolist()
            found.update(zip((missing[at] for at in left[here].tolist()), values, strict=True))
            left = left[~here]
            if not len(left):
                break
        return found

    def get(self, key: bytes) -> bytes | None:
        """Return the value of a key, or None."""
        return self.find([key]).get(key)

    def put(self, key: bytes, value: bytes) -> None:
        """Set the value of a key."""
        self._txn.put(self._active, key, value)

    def put_many(self, rows: Sequence[tuple[bytes, bytes]]) -> None:
        """Set the values of ascending keys."""
        self._txn.cursor(self._active).putmulti(rows)

    def delete(self, key: bytes) -> None:
        """Remove the row of a key."""
        if not self._is_plain and self._older([key]).get(key, REMOVED) != REMOVED:
            self._txn.put(self._active, key, REMOVED)
        else:
            self._txn.delete(self._active, key)

    def is_recent(self, key: bytes) -> bool:
        """Say whether the row of a key, or that it was removed, is in the table that is written to."""
        return self._txn.get(self._active, key) is not None

    def recent(self) -> int:
        """Return how many rows the table has that is written to."""
        return self._txn.rows(self._active)

    def count(self) -> int:
        """Return how many rows there are; once some are frozen, those too that newer ones replace."""
        return sum(self._txn.rows(table) for table in self._tables) + sum(len(run) for run in self._runs)

    def of_packs(self, numbers: set[int]) -> Iterator[tuple[bytes, bytes]]:
        """Yield the rows of these packs, each key once; reads everything, 0.3 us a row."""
        seen = set[bytes]()
        for key, value in self._candidates(numbers):
            if key not in seen and self.get(key) == value:
                seen.add(key)
                yield key, value

    def _candidates(self, numbers: set[int]) -> Iterator[tuple[bytes, bytes]]:
        for table in self._tables:
            cursor = self._txn.cursor(table)
            for key, value in cursor.iternext() if numbers and cursor.set_range(b"\0") else ():
                if int.from_bytes(value[:4], "little") in numbers:
                    yield key, value
        for run in self._runs:
            from pfs.packs.frozen import keys_of

            for piece in pieces_of(run.rows):
                some = piece.part(np.isin(piece.values["pack_no"], list(numbers)))
                yield from zip(keys_of(some), some.values.view(f"V{LOCATION_SIZE}").tolist(), strict=True)


def look_up(txn: Txn, table: str, keys: Sequence[bytes]) -> dict[bytes, bytes]:
    """Return the values of those keys that a table has."""
    if len(keys) > _FEW:
        return dict(txn.cursor(table).getmulti(sorted(set(keys))))
    return {key: value for key in keys if (value := txn.get(table, key)) is not None}


def pieces_of(rows: Rows) -> Iterator[Rows]:
    """Yield rows in order, some at a time."""
    for start in range(0, len(rows), PIECE):
        yield rows.part(slice(start, start + PIECE))
