"""The records of all tables that `diff-file --rows` compares: those that cannot be compared do not end the others."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Final

from cli.output import Record
from cli.row_records import error_record, table_records
from pfs.errors import InvalidInputError

if TYPE_CHECKING:
    from pfs.rows.compare import TableDiff

_NAMED: Final = 3


class RowReport:
    """One run over tables; what failed is a record in its place, and one error at the end."""

    def __init__(self) -> None:
        self._failed: list[tuple[str, InvalidInputError]] = []
        self._told = 0

    def failed(self, path: str, error: InvalidInputError) -> None:
        """Take note of a table that cannot be compared; its record is the next."""
        self._failed.append((path, error))

    def records(self, tables: Iterable[TableDiff]) -> Iterator[Record]:
        """Yield the records of each table, and of those that failed up to then."""
        for diff in tables:
            yield from self._errors()
            try:
                yield from table_records(diff)
            except InvalidInputError as error:
                self.failed(diff.path, error)
        yield from self._errors()

    def _errors(self) -> Iterator[Record]:
        for path, error in self._failed[self._told :]:
            yield error_record(path, error)
        self._told = len(self._failed)

    def check(self) -> None:
        """Raise InvalidInputError if a table could not be compared."""
        count = len(self._failed)
        if count == 1:
            raise InvalidInputError(f"1 table was not compared: {self._failed[0][1]}")
        if count:
            names = ", ".join(path for path, _ in self._failed[:_NAMED])
            more = f" and {count - _NAMED} more" if count > _NAMED else ""
            raise InvalidInputError(f"{count} tables were not compared: {names}{more}; their records say why")
