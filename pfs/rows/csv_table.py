"""CSV and TSV: a header, quoted fields that may hold line ends, types inferred over the whole file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from pfs.rows.guess import Guess, convert
from pfs.rows.table import BATCH_BYTES, Column, Form, Source, check_names, reading

if TYPE_CHECKING:
    import pyarrow as pa

_LONGEST_ROW: Final = 64 << 20
_PEEK: Final = 64 << 10


class CsvTable:
    """A CSV file; opening it reads it once, to know the types."""

    def __init__(self, source: Source, *, delimiter: str = ",") -> None:
        """Read names and types.

        Raises:
            InvalidInputError: it is not CSV in UTF-8, rows differ in length, two columns share a name.
        """
        self.where = source.where
        self._source = source
        self._delimiter = delimiter
        self._block_bytes = BATCH_BYTES
        self.columns: Sequence[Column] = () if self._is_empty() else self._infer()

    def batches(self, forms: Mapping[str, Form]) -> Iterator[pa.RecordBatch]:
        """Yield the rows (see `TableFile`); a text is the field as it stands in the file."""
        import pyarrow as pa

        own = [forms.get(column.name, Form.OWN) is Form.OWN for column in self.columns]
        names = [column.name for column in self.columns]
        for texts in self._texts(names) if names else ():
            arrays = [
                convert(array, column.arrow) if typed else array
                for array, column, typed in zip(texts.columns, self.columns, own, strict=True)
            ]
            yield pa.RecordBatch.from_arrays(arrays, names=names)

    def _is_empty(self) -> bool:
        with reading(self._source, "CSV"), self._source.open() as stream:
            head = stream.read(_PEEK)
            return len(head) < _PEEK and not head.removeprefix(b"\xef\xbb\xbf").strip(b"\r\n")

    def _infer(self) -> Sequence[Column]:
        """Return the columns; a row that is longer than a block makes the blocks longer for all of the file."""
        import pyarrow as pa

        while True:
            with reading(self._source, "CSV"):
                try:
                    return self._guess()
                except pa.ArrowInvalid as error:
                    if "straddling" not in str(error) or self._block_bytes >= _LONGEST_ROW:
                        raise
            self._block_bytes *= 4

    def _guess(self) -> Sequence[Column]:
        with self._source.open() as stream, self._reader(stream, ()) as reader:
            names = list(reader.schema.names)
        check_names(self._source, names)
        guesses = [Guess() for _ in names]
        for texts in self._blocks(names):
            for guess, array in zip(guesses, texts.columns, strict=True):
                guess.see(array)
        return [Column(name, str(guess.type), guess.type) for name, guess in zip(names, guesses, strict=True)]

    def _texts(self, names: Sequence[str]) -> Iterator[pa.RecordBatch]:
        with reading(self._source, "CSV"):
            yield from self._blocks(names)

    def _blocks(self, names: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """Yield the rows as texts, a block of the file at a time."""
        with self._source.open() as stream, self._reader(stream, names) as reader:
            yield from reader

    def _reader(self, stream: object, names: Sequence[str]) -> pa.csv.CSVStreamingReader:
        import pyarrow as pa
        from pyarrow import csv

        return csv.open_csv(
            stream,
            read_options=csv.ReadOptions(block_size=self._block_bytes),
            parse_options=csv.ParseOptions(delimiter=self._delimiter, newlines_in_values=True),
            convert_options=csv.ConvertOptions(
                column_types=dict.fromkeys(names, pa.string()),
                strings_can_be_null=True,
                quoted_strings_can_be_null=False,
                null_values=[""],
            ),
        )
