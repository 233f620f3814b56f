"""What a table is to the comparison: named, typed columns, and batches of rows that can be read again and again."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, BinaryIO, Final, Protocol

from pfs.errors import InvalidInputError
from pfs.shorten import quoted, shorten

if TYPE_CHECKING:
    import pyarrow as pa

BATCH_BYTES: Final = 2 << 20
"""About the size of a batch."""
_LONGEST_REASON: Final = 120
"""What a parser says, with the row that it quotes."""
JSON_TYPE: Final = "json"
"""The type of a column of JSON Lines that no type of Arrow holds; its values are JSON texts."""


class Form(Enum):
    """How a column is handed out."""

    OWN = "own"
    TEXT = "text"
    """As it stands in the file, or as people write it."""
    JSON = "json"
    """As JSON text, strings in quotes; of JSON Lines only."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column: its name, the name of its type for people, and its type in `Form.OWN`."""

    name: str
    type: str
    arrow: pa.DataType


class TableFile(Protocol):
    """A table, one side of a comparison. Every call of ``batches`` reads anew, one thread at a time."""

    @property
    def where(self) -> str:
        """Return the file, for messages."""

    @property
    def columns(self) -> Sequence[Column]:
        """Return the columns; names are unique, and a file without any content has none."""

    def batches(self, forms: Mapping[str, Form]) -> Iterator[pa.RecordBatch]:
        """Yield the rows in order, about 2 MiB at a time, with all columns in their order.

        ``forms`` of columns that it does not name: `Form.OWN`; other forms have the type string.

        Raises:
            InvalidInputError: the content is not that of such a table.
        """


@dataclass(frozen=True, slots=True)
class NoTable:
    """The side where there is no file."""

    where: str
    columns: Sequence[Column] = ()

    def batches(self, forms: Mapping[str, Form]) -> Iterator[pa.RecordBatch]:
        """Yield nothing."""
        return iter(())


@dataclass(frozen=True, slots=True)
class Source:
    """A file to be read: ``open`` gives a new stream each time, seekable unless it is compressed."""

    where: str
    open: Callable[[], BinaryIO]


@contextmanager
def reading(source: Source, what: str) -> Iterator[None]:
    """Turn what the readers say of wrong content into an InvalidInputError; errors of the store pass."""
    import pyarrow as pa

    try:
        yield
    except (pa.ArrowException, OSError, UnicodeError, RecursionError) as error:
        raise not_a_table(source, what, str(error)) from error


def not_a_table(source: Source, what: str, reason: str) -> InvalidInputError:
    """Return the error of a file whose content is not what its name says; raise it."""
    line = " ".join(reason.split()).rstrip(".")
    return InvalidInputError(f"{source.where} cannot be read as {what}: {shorten(line, _LONGEST_REASON)}")


def check_names(source: Source, names: Sequence[str]) -> None:
    """Refuse columns that cannot be told apart.

    Raises:
        InvalidInputError: a name appears twice.
    """
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise InvalidInputError(f"{source.where} has two columns {quoted(name)}: rename one to compare rows")
        seen.add(name)
