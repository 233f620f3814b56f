"""Parquet: types as declared, without what is only an encoding (dictionaries, large and view types, extensions)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from pfs.rows.table import BATCH_BYTES, Column, Form, Source, check_names, reading

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

_MOST_ROWS: Final = 65_536
_BUFFER: Final = 1 << 20


class ParquetTable:
    """A Parquet file; opening it reads its footer."""

    def __init__(self, source: Source) -> None:
        """Read the schema.

        Raises:
            InvalidInputError: it is not Parquet, or two columns share a name.
        """
        self.where = source.where
        self._source = source
        with reading(source, "Parquet"), source.open() as stream:
            schema = self._file(stream).schema_arrow
        check_names(source, schema.names)
        types = [plain_type(field.type) for field in schema]
        self.columns: Sequence[Column] = [
            Column(name, str(one), one) for name, one in zip(schema.names, types, strict=True)
        ]

    def batches(self, forms: Mapping[str, Form]) -> Iterator[pa.RecordBatch]:
        """Yield the rows (see `TableFile`); memory is also that of one dictionary a column."""
        import pyarrow as pa

        names = [column.name for column in self.columns]
        with reading(self._source, "Parquet"), self._source.open() as stream:
            file = self._file(stream)
            for batch in file.iter_batches(_rows_a_batch(file.metadata), use_threads=False):
                arrays = [
                    plain(array, column.arrow if forms.get(column.name, Form.OWN) is Form.OWN else pa.string())
                    for array, column in zip(batch.columns, self.columns, strict=True)
                ]
                yield pa.RecordBatch.from_arrays(arrays, names=names)

    def _file(self, stream: object) -> pq.ParquetFile:
        import pyarrow.parquet as pq

        return pq.ParquetFile(stream, buffer_size=_BUFFER, pre_buffer=False)


def _rows_a_batch(metadata: pq.FileMetaData) -> int:
    size = sum(metadata.row_group(number).total_byte_size for number in range(metadata.num_row_groups))
    row_bytes = max(size // max(metadata.num_rows, 1), 1)
    return int(min(max(BATCH_BYTES // row_bytes, 1), _MOST_ROWS))


def plain_type(one: pa.DataType) -> pa.DataType:
    """Return the type of the values, whatever their encoding; parts of nested types stay as they are."""
    import pyarrow as pa

    if pa.types.is_dictionary(one):
        return plain_type(one.value_type)
    if isinstance(one, pa.BaseExtensionType):
        return plain_type(one.storage_type)
    if pa.types.is_large_string(one) or pa.types.is_string_view(one):
        return pa.string()
    if pa.types.is_large_binary(one) or pa.types.is_binary_view(one):
        return pa.binary()
    return pa.float32() if pa.types.is_float16(one) else one


def plain(array: pa.Array, wanted: pa.DataType) -> pa.Array:
    """Return an array in its plain type, or as text."""
    import pyarrow as pa

    if isinstance(array.type, pa.BaseExtensionType):
        return plain(array.storage, wanted)
    if array.type == wanted:
        return array
    plainer = plain_type(array.type)
    return array.cast(plainer).cast(wanted)
