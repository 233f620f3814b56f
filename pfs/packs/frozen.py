"""Runs: sorted files of chunk rows that do not change, 28 bytes a row, mapped into memory (docs/format/index.md).

An index with very many rows keeps the older ones here, as a row in LMDB takes twice the space. Keys and values are
columns, and the first 8 bytes of keys are numbers, so that NumPy searches a whole batch in the file as it lies there.
"""

from __future__ import annotations

import mmap
import os
import shutil
import struct
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from pfs.backends.durable import storage_errors
from pfs.errors import IndexDamagedError
from pfs.packs.index_chunks import RunGoneError
from pfs.packs.index_rows import KEY_SIZE, LOCATION_SIZE, LOCATIONS

_HEADER: Final = struct.Struct("<4sB3xQQ40x")
_MAGIC: Final = b"PFR1"
_VERSION: Final = 1
_COUNT: Final = np.dtype([("pack_no", "<u4"), ("rows", "<u4")])
_SUFFIX: Final = ".run"

Words = npt.NDArray[np.uint64]


class Rows(NamedTuple):
    """Rows by ascending key: the halves of keys as big-endian numbers, and the values."""

    high: Words
    low: Words
    values: npt.NDArray[np.void]

    def __len__(self) -> int:
        return len(self.high)

    def part(self, where: slice | npt.NDArray[np.bool_]) -> Rows:
        """Return some of the rows."""
        return Rows(self.high[where], self.low[where], self.values[where])


def halves(keys: Sequence[bytes]) -> tuple[Words, Words]:
    """Return the halves of 16-byte keys."""
    words = np.frombuffer(b"".join(keys), ">u8").reshape(-1, 2).astype(np.uint64)
    return words[:, 0].copy(), words[:, 1].copy()


def keys_of(rows: Rows) -> list[bytes]:
    """Return the keys of rows."""
    words = np.empty((len(rows), 2), ">u8")
    words[:, 0], words[:, 1] = rows.high, rows.low
    found: list[bytes] = words.view(f"V{KEY_SIZE}")[:, 0].tolist()
    return found


class Run:
    """One file, mapped; threads and forked children may share it. It stays readable after it was removed."""

    def __init__(self, file: Path) -> None:
        """Map it.

        Raises:
            RunGoneError: it is not there. IndexDamagedError: it is none.
        """
        try:
            with file.open("rb") as opened:
                size = os.fstat(opened.fileno()).st_size
                if size < _HEADER.size:
                    raise IndexDamagedError(str(file), "it is too short")
                self._map = mmap.mmap(opened.fileno(), 0, prot=mmap.PROT_READ)
        except FileNotFoundError as error:
            raise RunGoneError(str(file)) from error
        magic, version, count, packs = _HEADER.unpack_from(self._map)
        if (magic, version) != (_MAGIC, _VERSION) or size != _HEADER.size + count * 28 + packs * _COUNT.itemsize:
            raise IndexDamagedError(str(file), "it is no run of index rows, or lost its end")
        self._map.madvise(mmap.MADV_RANDOM)
        at = _HEADER.size
        high: Words = np.frombuffer(self._map, "<u8", count, at)
        low: Words = np.frombuffer(self._map, "<u8", count, at + 8 * count)
        values: npt.NDArray[np.void] = np.frombuffer(self._map, LOCATIONS, count, at + 16 * count)
        self.rows = Rows(high, low, values)
        self._high = memoryview(self._map)[at : at + 8 * count].cast("Q")
        self._low = memoryview(self._map)[at + 8 * count : at + 16 * count].cast("Q")
        self._values_at = at + 16 * count
        self.counts: npt.NDArray[np.void] = np.frombuffer(self._map, _COUNT, packs, at + 28 * count)
        """How many rows each pack has here, by its number."""

    def __len__(self) -> int:
        return len(self.rows)

    def get(self, high: int, low: int) -> bytes | None:
        """Return the value of one key, or None; 2 us, where `find` takes 20 for any few."""
        at = bisect_left(self._high, high)
        while at < len(self._high) and self._high[at] == high:
            if self._low[at] == low:
                start = self._values_at + at * LOCATION_SIZE
                return self._map[start : start + LOCATION_SIZE]
            at += 1
        return None

    def find(self, high: Words, low: Words) -> npt.NDArray[np.int64]:
        """Return where each key is, -1 where it is not; faster where they ascend."""
        rows = self.rows
        if not len(rows):
            return np.full(len(high), -1, np.int64)
        places: npt.NDArray[np.int64] = np.searchsorted(rows.high, high).astype(np.int64)
        inside = np.minimum(places, len(rows) - 1)
        near = (places < len(rows)) & (rows.high[inside] == high)
        here = near & (rows.low[inside] == low)
        for at in np.flatnonzero(near & ~here).tolist():  # two keys with one first half: one in a great many
            stop = int(np.searchsorted(rows.high, high[at], side="right"))
            place = int(places[at]) + int(np.searchsorted(rows.low[places[at] : stop], low[at]))
            if place < stop and rows.low[place] == low[at]:
                here[at], inside[at] = True, place
        return np.where(here, inside, -1)


class Frozen:
    """The runs of an index folder; thread-safe."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._current: tuple[tuple[str, ...], list[Run]] = ((), [])

    def runs(self, names: tuple[str, ...]) -> list[Run]:
        """Return the runs of these names; those that are not named are let go of. Raises as `Run`."""
        known, runs = self._current
        if known == names:
            return runs
        there = dict(zip(known, runs, strict=True))
        runs = [there.get(name) or Run(self.file(name)) for name in names]
        self._current = names, runs  # without a lock: two threads may map a run twice for a moment
        return runs

    def file(self, name: str) -> Path:
        """Return where a run lies."""
        return self.folder / f"{name}{_SUFFIX}"

    def size_bytes(self) -> int:
        """Return the bytes of all files."""
        return sum(file.stat().st_size for file in self.folder.glob(f"*{_SUFFIX}")) if self.folder.is_dir() else 0

    def tidy(self, named: Iterable[str]) -> None:
        """Remove what is not named; who has it mapped keeps it. Nobody else may be writing a run."""
        wanted = {self.file(name) for name in named}
        for file in self.folder.glob("*") if self.folder.is_dir() else ():
            if file not in wanted:
                file.unlink(missing_ok=True)


def write_run(file: Path, pieces: Iterable[Rows]) -> int:
    """Write a run of rows, whose keys ascend over all pieces, durably; return how many there are.

    Memory: a piece. Needs twice the space of two thirds of it for a while.

    Raises:
        StorageFullError, StorageError: it cannot be written; there is no such file then, or a useless one.
    """
    import tempfile  # costs a start-up more than the rest of this module

    counts: dict[int, int] = {}
    with storage_errors(f"write {file}"):
        file.parent.mkdir(parents=True, exist_ok=True)
        with (
            file.open("wb") as written,
            tempfile.TemporaryFile(dir=file.parent) as low,
            tempfile.TemporaryFile(dir=file.parent) as values,
        ):
            written.write(bytes(_HEADER.size))
            count = 0
            for piece in pieces:
                count += len(piece)
                written.write(piece.high.astype("<u8").tobytes())
                low.write(piece.low.astype("<u8").tobytes())
                values.write(piece.values.tobytes())
                for number, rows in zip(*np.unique(piece.values["pack_no"], return_counts=True), strict=True):
                    counts[int(number)] = counts.get(int(number), 0) + int(rows)
            for column in (low, values):
                column.seek(0)
                shutil.copyfileobj(column, written, 1 << 20)
            written.write(np.array(sorted(counts.items()), dtype=_COUNT).tobytes())
            written.seek(0)
            written.write(_HEADER.pack(_MAGIC, _VERSION, count, len(counts)))
            written.flush()
            os.fsync(written.fileno())
        folder = os.open(file.parent, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    return count
