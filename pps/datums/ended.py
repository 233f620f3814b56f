"""How the datums of a job ended, collected as they do: a million of them are a column, not objects."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from pps.datums.table import Result, result_columns, schema
from pps.model.state import DatumState

if TYPE_CHECKING:
    import pyarrow as pa

_NONE: Final = -(1 << 31)
_WORDS: Final = ("state", "log_tail", "reason", "ran_in", "reads")
_OPTIONAL: Final = ("exit_code", "signal")
_ROW: Final = np.dtype(
    [
        ("state", "i4"),
        ("tries", "i4"),
        ("exit_code", "i4"),
        ("signal", "i4"),
        ("download_s", "f8"),
        ("process_s", "f8"),
        ("upload_s", "f8"),
        ("input_bytes", "i8"),
        ("output_bytes", "i8"),
        ("log_tail", "i4"),
        ("reason", "i4"),
        ("ran_in", "i4"),
        ("reads", "i4"),
    ]
)
"""One datum; words are numbers of texts that many datums share, 0 of the state says that it has not ended."""


class EndedDatums:
    """How datums ended, by their rows in the table of planned ones: 72 bytes a row, from the first end on.

    What they say in words is kept once, however many say it. One thread.
    """

    def __init__(self, rows: int) -> None:
        self._count = rows
        self._rows = np.zeros(0, _ROW)
        self._words: list[str | bytes | None] = [""]
        self._numbers: dict[str | bytes | None, int] = {}

    def add(self, row: int, result: Result) -> None:
        """Take the end of the datum at a row; a later one counts instead of it."""
        if not len(self._rows):
            self._rows = np.zeros(self._count, _ROW)
        self._rows[row] = (
            self._word(result.state.value),
            result.tries,
            _NONE if result.exit_code is None else result.exit_code,
            _NONE if result.signal is None else result.signal,
            *result.seconds,
            *result.bytes,
            self._word(result.log_tail),
            self._word(result.reason),
            self._word(result.ran_in),
            self._word(result.reads),
        )

    def _word(self, word: str | bytes | None) -> int:
        number = self._numbers.setdefault(word, len(self._words))
        if number == len(self._words):
            self._words.append(word)
        return number

    def rows(self, *states: DatumState, start: int = 0, stop: int | None = None) -> npt.NDArray[np.int64]:
        """Return the rows from ``start`` to ``stop`` of what ended in one of ``states``, in any for none."""
        found = self._rows["state"][start:stop]
        wanted = [self._numbers[state.value] for state in states if state.value in self._numbers]
        return np.flatnonzero(np.isin(found, wanted) if states else found).astype(np.int64) + start

    def columns(self, rows: npt.NDArray[np.int64]) -> pa.Table:
        """Return the results at some rows, all of which ended, as the columns that a datum table has of them."""
        import pyarrow as pa

        if not len(rows):
            return result_columns([])
        found = self._rows[rows]
        made = {}
        for name in _ROW.names or ():
            values, kind = np.ascontiguousarray(found[name]), schema().field(name).type
            if name in _WORDS:
                made[name] = self._texts(values, kind)
            else:
                made[name] = pa.array(values, type=kind, mask=values == _NONE if name in _OPTIONAL else None)
        return pa.table(made)

    def _texts(self, numbers: npt.NDArray[np.int32], kind: pa.DataType) -> pa.Array:
        import pyarrow as pa

        different, at = np.unique(numbers, return_inverse=True)
        return pa.array([self._words[number] for number in different.tolist()], type=kind).take(pa.array(at))
