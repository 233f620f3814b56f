"""JSON Lines: an object a line, types inferred over the whole file, what has no type as JSON text.

Parsed by msgspec and not by pyarrow.json, which guesses dates, rounds large integers and fails on mixtures.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Final

import msgspec

from pfs.rows.table import BATCH_BYTES, JSON_TYPE, Column, Form, Source, not_a_table, reading

if TYPE_CHECKING:
    import pyarrow as pa

_Row = dict[str, object]
_INT64: Final = 1 << 63
_EXACT: Final = 1 << 53
_BOM: Final = b"\xef\xbb\xbf"
_ROWS = msgspec.json.Decoder(_Row)


class JsonTable:
    """A JSON Lines file; opening it reads it once, to know the columns, which come in the order of first sight."""

    def __init__(self, source: Source) -> None:
        """Read names and types.

        Raises:
            InvalidInputError: a line is not a JSON object.
        """
        self.where = source.where
        self._source = source
        guesses: dict[str, _Guess] = {}
        with reading(source, "JSON Lines"):
            for rows in self._rows():
                for name in _names(rows):
                    guesses.setdefault(name, _Guess()).see([row.get(name) for row in rows])
            "".join(guesses).encode()  # half a surrogate pair is no text
        self.columns: Sequence[Column] = [guess.column(name) for name, guess in guesses.items()]

    def batches(self, forms: Mapping[str, Form]) -> Iterator[pa.RecordBatch]:
        """Yield the rows (see `TableFile`); a member that is missing is null."""
        import pyarrow as pa

        names = [column.name for column in self.columns]
        for rows in self._rows() if names else ():
            with reading(self._source, "JSON Lines"):
                arrays = [
                    _array(column, forms.get(column.name, Form.OWN), [row.get(column.name) for row in rows])
                    for column in self.columns
                ]
            yield pa.RecordBatch.from_arrays(arrays, names=names)

    def _rows(self) -> Iterator[list[_Row]]:
        line = 1
        for block in self._blocks():
            with reading(self._source, "JSON Lines"):
                try:
                    rows = _ROWS.decode_lines(block)
                except (msgspec.DecodeError, UnicodeError):
                    rows = self._slowly(block, line)
            line += block.count(b"\n")
            if rows:
                yield rows

    def _blocks(self) -> Iterator[bytes]:
        """Yield whole lines, about 2 MiB at a time; a longer line comes alone."""
        with reading(self._source, "JSON Lines"), self._source.open() as stream:
            kept = [stream.read(BATCH_BYTES).removeprefix(_BOM)]
            while piece := stream.read(BATCH_BYTES):
                cut = piece.rfind(b"\n") + 1
                if cut:
                    yield b"".join([*kept, piece[:cut]])
                    kept = []
                kept.append(piece[cut:])
            yield b"".join(kept)

    def _slowly(self, block: bytes, line: int) -> list[_Row]:
        """Parse a block line by line: NaN and Infinity are taken as others write them, and errors name the line."""
        rows: list[_Row] = []
        for number, text in enumerate(block.split(b"\n"), line):
            if not text.strip():
                continue
            try:
                row = json.loads(text)
            except ValueError as error:
                raise not_a_table(self._source, "JSON Lines", f"line {number}: {error}") from error
            if not isinstance(row, dict):
                raise not_a_table(self._source, "JSON Lines", f"line {number} is not an object")
            rows.append(row)
        return rows


def _names(rows: Sequence[_Row]) -> Iterator[str]:
    found: _Row = {}
    for row in rows:
        found.update(row)
    return iter(found)


class _Guess:
    """The kinds of values seen in a column."""

    def __init__(self) -> None:
        self._kinds: set[type] = set()
        self._low = self._high = 0

    def see(self, values: Sequence[object]) -> None:
        self._kinds.update(map(type, values))
        if int in self._kinds:
            integers = [value for value in values if type(value) is int]
            self._low = min(self._low, *integers)
            self._high = max(self._high, *integers)

    def column(self, name: str) -> Column:
        import pyarrow as pa

        arrow = self._type()
        return Column(name, JSON_TYPE, pa.string()) if arrow is None else Column(name, str(arrow), arrow)

    def _type(self) -> pa.DataType | None:
        import pyarrow as pa

        kinds = self._kinds - {type(None)}
        if not kinds:
            return pa.null()
        if kinds == {bool} or kinds == {str}:
            return pa.bool_() if kinds == {bool} else pa.string()
        if kinds == {int} and self._low >= -_INT64 and self._high < _INT64:
            return pa.int64()
        exact = self._low >= -_EXACT and self._high <= _EXACT
        return pa.float64() if exact and float in kinds and kinds <= {int, float} else None


def _array(column: Column, form: Form, values: Sequence[object]) -> pa.Array:
    import pyarrow as pa

    if form is Form.OWN and column.type != JSON_TYPE:
        return pa.array(values, column.arrow)
    texts = [None if value is None else _text(value, quoted=form is not Form.TEXT) for value in values]
    return pa.array(texts, pa.string())


def _text(value: object, *, quoted: bool) -> str:
    if isinstance(value, str) and not quoted:
        return value
    return json.dumps(_canonical(value), sort_keys=True, ensure_ascii=False)  # knows NaN and any integer


def _canonical(value: object) -> object:
    """Return a value of which equal ones have one text: null members left out, whole floats as integers."""
    if isinstance(value, dict):
        return {name: _canonical(part) for name, part in value.items() if part is not None}
    if isinstance(value, list):
        return [_canonical(part) for part in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value
