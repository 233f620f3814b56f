"""Sets of a great many ids in little memory: sorted runs that are merged as they grow, the large ones on disk.

Ids are cut to what NumPy sorts and searches fast. Of two ids that begin alike a set cannot tell which one it has, so
what rests on an answer must be right for both: keeping what is dead is, forgetting what is live is not.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Self, TypeAlias, cast

import numpy as np
import numpy.typing as npt

from pfs.backends.durable import storage_errors

Column: TypeAlias = "npt.NDArray[np.uint64] | npt.NDArray[np.void]"
DType: TypeAlias = "np.dtype[np.uint64] | np.dtype[np.void]"
PREFIX: Final = np.dtype("<u8")
"""The first 8 bytes of an id: for the live ones, where one too many does no harm."""
KEY: Final = np.dtype("V16")
"""As much of an id as the index keys its rows by: two ids that share it are one for the whole store."""
_BUFFER: Final = 1 << 18
_PIECE: Final = 1 << 18
"""Rows of either side that are merged at once."""
SPILL_BYTES: Final = 64 << 20
"""A run that is larger goes to disk."""


SCRATCH: Final = "mark-"
"""How the names of scratch folders begin."""


def prefixes(ids: npt.NDArray[np.void]) -> npt.NDArray[np.uint64]:
    """Return the first 8 bytes of each 32-byte id, in an array of any layout, as numbers."""
    return np.ascontiguousarray(np.ascontiguousarray(ids).view(PREFIX).reshape(-1, 4)[:, 0])


def keys(ids: npt.NDArray[np.void]) -> npt.NDArray[np.void]:
    """Return the first 16 bytes of each 32-byte id."""
    return np.ascontiguousarray(np.ascontiguousarray(ids).view(KEY).reshape(-1, 2)[:, 0])


class Scratch:
    """A folder for runs that do not fit in memory; a context manager that removes it. One thread."""

    def __init__(self, directory: Path, *, prefix: str = SCRATCH) -> None:
        """Make it in ``directory`` when it is first needed."""
        self._directory, self._prefix = directory, prefix
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._made = 0

    def write(self, pieces: Iterator[Column], dtype: DType) -> Column:
        """Return the pieces one after the other as an array on disk; raises StorageFullError, StorageError."""
        with storage_errors(f"write to {self._directory}"):
            if self._folder is None:
                self._directory.mkdir(parents=True, exist_ok=True)
                self._folder = tempfile.TemporaryDirectory(prefix=self._prefix, dir=self._directory)
            self._made += 1
            file = Path(self._folder.name) / str(self._made)
            with file.open("wb") as out:
                for piece in pieces:
                    out.write(piece.tobytes())
            mapped = np.memmap(file, dtype=dtype, mode="r")
            file.unlink()  # the mapping keeps it
        return cast("Column", mapped)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._folder is not None:
            self._folder.cleanup()


class IdSet:
    """A set that grows. One thread. Memory: some MiB, and `spill_bytes` for each of the last merges."""

    def __init__(
        self,
        scratch: Scratch,
        dtype: DType = PREFIX,
        *,
        spill_bytes: int = SPILL_BYTES,
    ) -> None:
        self._scratch, self._dtype, self._spill_bytes = scratch, dtype, spill_bytes
        self._buffer: list[Column] = []
        self._buffered = 0
        self._runs: list[Column] = []

    def add(self, ids: Column) -> None:
        """Add ids, in any order, known ones too."""
        self._buffer.append(ids)
        self._buffered += len(ids)
        if self._buffered >= _BUFFER:
            self._flush()

    def contains(self, ids: Column) -> npt.NDArray[np.bool_]:
        """Say of each id whether it was added; best asked about many at once."""
        self._flush()
        found = np.zeros(len(ids), np.bool_)
        order = np.argsort(ids, kind="stable")
        wanted = ids[order]
        for run in self._runs:
            places = np.searchsorted(run, wanted)
            places[places == len(run)] = 0
            found[order] |= run[places] == wanted
        return found

    def add_new(self, ids: Column) -> npt.NDArray[np.intp]:
        """Add ids; return where those stand that were not in it, each once."""
        order = np.argsort(ids, kind="stable")
        places = order[_firsts(ids[order])]
        new = places[~self.contains(ids[places])]
        self.add(ids[new])
        return new

    def __len__(self) -> int:
        self._flush()
        while len(self._runs) > 1:
            self._merge_last()
        return sum(map(len, self._runs))

    def _flush(self) -> None:
        if not self._buffered:
            return
        self._runs.append(_unique(self._buffer))
        self._buffer, self._buffered = [], 0
        while len(self._runs) > 1 and len(self._runs[-2]) < 2 * len(self._runs[-1]):
            self._merge_last()

    def _merge_last(self) -> None:
        first, second = self._runs[-2:]
        if (len(first) + len(second)) * self._dtype.itemsize <= self._spill_bytes:
            merged = _unique((first, second))
        else:
            merged = self._scratch.write(_merged(first, second), self._dtype)
        self._runs[-2:] = [merged]


def _unique(columns: Sequence[Column]) -> Column:
    """Return all ids in order, each once: several times as fast as np.unique, which hashes them first."""
    ordered = np.sort(np.concatenate(columns))
    return ordered[_firsts(ordered)]


def _firsts(ordered: Column) -> npt.NDArray[np.bool_]:
    """Say of each id of a sorted column whether the one before is another."""
    firsts = np.ones(len(ordered), np.bool_)
    firsts[1:] = ordered[1:] != ordered[:-1]
    return firsts


def _merged(first: Column, second: Column) -> Iterator[Column]:
    """Yield the union of two sorted runs in sorted pieces."""
    while len(first) and len(second):
        limit = min(first[:_PIECE][-1].item(), second[:_PIECE][-1].item())
        bound = np.array(limit, first.dtype)
        ends = [int(np.searchsorted(run[:_PIECE], bound, side="right")) for run in (first, second)]
        yield _unique((first[: ends[0]], second[: ends[1]]))
        first, second = first[ends[0] :], second[ends[1] :]
    for rest in (first, second):
        yield from (rest[at : at + _PIECE] for at in range(0, len(rest), _PIECE))
