"""The files of a tree as the rows of tables: the first directory names the table, whose rows they replace."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import groupby
from typing import TYPE_CHECKING

from pfs.errors import FailedError, InvalidInputError, StorageError
from pfs.files.reader import FileReader
from pfs.paths import from_key
from pfs.trees.page import Kind
from pps.egress.tables import as_type, rows
from pps.transfers.errors import check_going

if TYPE_CHECKING:
    import sqlalchemy as sa

    from pfs.packs.objects import Objects
    from pfs.trees.row import Row
    from pfs.trees.tree import Tree

_DRIVERS = {"postgres": "postgresql"}


@dataclass(frozen=True, slots=True)
class Database:
    """Where to and how: ``format`` is csv, json or parquet; ``columns`` as in `SqlEgress`."""

    url: str
    format: str
    columns: tuple[str, ...]
    password: str | None = field(default=None, repr=False)


def load(objects: Objects, tree: Tree, to: Database, *, stop: threading.Event) -> int:
    """Replace the rows of each table that the tree has a directory for, all in one transaction; return how many.

    Memory: a batch of 1,000 rows. Whatever fails, the database is as it was.

    Raises:
        Stopped: ``stop`` was set. FailedError: a file does not fit its table, or there is no such table.
        StorageError: the database failed. InvalidInputError: SQLAlchemy, or the driver of the URL, is not installed.
    """
    engine = _engine(to)
    from sqlalchemy.exc import SQLAlchemyError

    try:
        with engine.begin() as connection:
            return sum(_fill(connection, objects, to, table, stop=stop) for table in _tables(tree))
    except SQLAlchemyError as error:
        raise StorageError(f"write to {engine.url.render_as_string()}", _words(error)) from error
    finally:
        engine.dispose()


def _engine(to: Database) -> sa.Engine:
    try:
        import sqlalchemy as sa
    except ImportError as error:
        raise InvalidInputError("egress to databases needs SQLAlchemy: pip install 'pfs[sql]'") from error
    try:
        url = sa.make_url(to.url)
        url = url.set(drivername=_DRIVERS.get(url.drivername, url.drivername), password=to.password)
        return sa.create_engine(url)
    except (sa.exc.ArgumentError, ImportError) as error:
        raise InvalidInputError(f"the database cannot be used: {_words(error)}") from error


_Table = tuple[str, "Iterator[Row]"]


def _tables(tree: Tree) -> Iterator[_Table]:
    """Yield the tables, each with its files, which are to be taken before the next one is."""
    files = (row for row in tree.walk() if row.kind != Kind.REMOVED)
    for name, found in groupby(files, key=_table_of):
        yield name.decode(), found


def _table_of(row: Row) -> bytes:
    name, slash, _ = row.key.partition(b"/")
    if not slash:
        raise FailedError(f"{from_key(row.key)} is in no directory: the first directory of a file names its table")
    return name


def _fill(connection: sa.Connection, objects: Objects, to: Database, table: _Table, *, stop: threading.Event) -> int:
    import sqlalchemy as sa

    name, files = table
    schema, _, bare = name.rpartition(".")
    try:
        found = sa.Table(bare, sa.MetaData(), schema=schema or None, autoload_with=connection)
    except sa.exc.NoSuchTableError as error:
        raise FailedError(f"there is no table {name!r} in the database: it has to be made first") from error
    names = to.columns or tuple(column.name for column in found.columns)
    missing = [one for one in names if one not in found.columns]
    if missing:
        raise FailedError(f"table {name!r} has no column {missing[0]!r}")
    kinds = {one: _kind(found.columns[one]) for one in names}
    connection.execute(found.delete())
    count = 0
    for file in files:
        try:
            with FileReader(objects, file) as body:
                for batch in rows(body, to.format, names, header=bool(to.columns)):
                    check_going(stop)
                    values = [{one: as_type(row[one], kinds[one]) for one in names} for row in batch]
                    connection.execute(found.insert(), values)
                    count += len(values)
        except FailedError as error:
            raise FailedError(f"{from_key(file.key)}: {error}") from error
    return count


def _kind(column: sa.Column[object]) -> type:
    """Return the type that a driver takes for a column; texts where SQLAlchemy does not know it."""
    try:
        return column.type.python_type
    except NotImplementedError:
        return str


def _words(error: Exception) -> str:
    return " ".join(str(getattr(error, "orig", None) or error).split())
