"""Rows of the files of a table: CSV, JSON lines or Parquet, a batch at a time."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date, datetime, time
from decimal import Decimal
from itertools import islice
from typing import TYPE_CHECKING

from pfs.errors import FailedError

if TYPE_CHECKING:
    from pfs.files.reader import FileReader

BATCH = 1000
Row = Mapping[str, object]


def rows(body: FileReader, kind: str, names: Sequence[str], *, header: bool) -> Iterator[list[Row]]:
    """Yield the rows of a file in batches, as values by column.

    ``names``: the columns that are taken. ``header``: a CSV file begins with a row of names, among which these are;
    else its fields are these columns in their order. JSON files have an object a line. Memory: a batch of 1,000 rows.

    Raises:
        FailedError: it is no such file, a column is missing, or a row has too many or too few fields.
    """
    read = {"csv": _csv, "json": _json, "parquet": _parquet}[kind]
    try:
        found = read(body, names, header)
        while batch := list(islice(found, BATCH)):
            yield batch
    except (ValueError, csv.Error) as error:
        raise FailedError(f"not {kind.upper()} as it should be: {error}") from error


def _text(body: FileReader) -> io.TextIOWrapper:
    return io.TextIOWrapper(io.BufferedReader(body, 1 << 20), encoding="utf-8-sig", newline="")


def _csv(body: FileReader, names: Sequence[str], header: bool) -> Iterator[Row]:
    reader = csv.reader(_text(body), strict=True)
    given: Sequence[str] = next(reader, list(names)) if header else names
    _require(names, given)
    for fields in reader:
        if fields:
            if len(fields) != len(given):
                raise ValueError(f"line {reader.line_num} has {len(fields)} fields instead of {len(given)}")
            values = dict(zip(given, fields, strict=True))
            yield {name: values[name] for name in names}


def _json(body: FileReader, names: Sequence[str], _: bool) -> Iterator[Row]:
    for number, line in enumerate(_text(body), 1):
        if line.strip():
            value = json.loads(line)
            if not isinstance(value, dict):
                raise ValueError(f"line {number} is no object")
            yield {name: value.get(name) for name in names}


def _parquet(body: FileReader, names: Sequence[str], _: bool) -> Iterator[Row]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    file = pq.ParquetFile(pa.PythonFile(body, mode="r"))
    _require(names, file.schema_arrow.names)
    for batch in file.iter_batches(BATCH, columns=list(names)):
        yield from batch.to_pylist()


def _require(names: Sequence[str], given: Sequence[str]) -> None:
    missing = [name for name in names if name not in given]
    if missing:
        raise ValueError(f"there is no column {missing[0]!r}: it has {', '.join(given)}")


_FLAGS = {"true": True, "t": True, "1": True, "yes": True, "false": False, "f": False, "0": False, "no": False}
_FROM_TEXT: Mapping[type, Callable[[str], object]] = {
    int: int,
    float: float,
    Decimal: Decimal,
    bool: lambda text: _FLAGS[text.lower()],
    date: date.fromisoformat,
    datetime: datetime.fromisoformat,
    time: time.fromisoformat,
    bytes: bytes.fromhex,
}


def as_type(value: object, kind: type) -> object:
    """Return a value of a file as a column of a type wants it: texts are read, an empty one is NULL but for texts.

    Raises:
        FailedError: it is no text of such a value.
    """
    if not isinstance(value, str) or kind is str:
        return json.dumps(value, ensure_ascii=False) if isinstance(value, (dict, list)) and kind is str else value
    if not value:
        return None
    try:
        return _FROM_TEXT.get(kind, str)(value)
    except (ValueError, KeyError, ArithmeticError) as error:
        raise FailedError(f"{value!r} is no {kind.__name__}") from error
