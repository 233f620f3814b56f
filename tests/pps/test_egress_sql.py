"""Egress to a database by the real engine: SQLite stands for all of them, as SQLAlchemy does the talking."""

from __future__ import annotations

import io
import sqlite3
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pfs.errors import FailedError, InvalidInputError, NotFoundError, StorageError
from pps.egress.sql import Database, load
from pps.egress.tables import as_type
from pps.model import events
from pps.secret_store import Secrets
from pps.transfers.errors import Stopped
from tests.pps.pipe_world import World, pfs_input, world_in

TABLES = """
create table people (name text not null, age integer, born date, weight float);
create table towns (town text, people integer);
insert into people values ('old', 1, '2000-01-01', 0.5);
insert into towns values ('stays', 1);
"""


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with world_in(tmp_path / "home") as made:
        made.code("run.sh", 'cp -r "$PFS"/files/. "$PFS_OUT"\n')
        yield made


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = tmp_path / "db.sqlite"
    with closing(sqlite3.connect(path)) as db:
        db.executescript(TABLES)
    return path


def rows(database: Path, table: str = "people") -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(database)) as db:
        return sorted(db.execute(f"select * from {table}").fetchall(), key=str)


def to_sql(database: Path, kind: str = "CSV", *columns: str) -> dict[str, Any]:
    files: dict[str, Any] = {"type": kind, "columns": list(columns)}
    return {"sql_database": {"url": f"sqlite:///{database}", "file_format": files}}


def create(world: World, egress: dict[str, Any]) -> None:
    world.create("load", pfs_input("files", "/"), ["sh", "run.sh"], egress=egress, datum_tries=1)


def trees(world: World, files: dict[str, bytes]) -> Any:
    """Return the tree of a commit with these files."""
    world.put("files", {f"/{name}": data for name, data in files.items()})
    return world.store.repo("files")["master"].tree


@pytest.mark.row("2.2 egress.sql_database", "2.2 sql_database.file_format")
def test_a_job_replaces_the_rows_of_its_tables(world: World, database: Path) -> None:
    world.put("files", {"/people/0.csv": b"ada,36,1815-12-10,50.5\n", "/people/1.csv": b'"b, c",,,\n'})
    create(world, to_sql(database))
    assert world.run_one().state == "success"
    assert rows(database) == [("ada", 36, "1815-12-10", 50.5), ("b, c", None, None, None)]
    assert rows(database, "towns") == [("stays", 1)], "of a table without a directory nothing is known"
    world.put("files", {"/people/0.csv": None, "/towns/x": b"rome,3\n"})
    assert world.run_one().state == "success"
    assert rows(database) == [("b, c", None, None, None)]
    assert rows(database, "towns") == [("rome", 3)]


@pytest.mark.row("2.2 file_format.columns")
def test_csv_with_a_header_takes_columns_by_name(world: World, database: Path) -> None:
    world.put("files", {"/people/0.csv": "\ufeffage,more,name\n3,x,ada\n".encode()})
    create(world, to_sql(database, "CSV", "name", "age"))
    assert world.run_one().state == "success"
    assert rows(database) == [("ada", 3, None, None)]


def test_json_and_parquet(world: World, database: Path) -> None:
    lines = b'{"name": "ada", "born": "1815-12-10", "other": 1}\n\n{"name": {"a": 1}, "weight": 2}\n'
    to = Database(f"sqlite:///{database}", "json", ())
    assert load(world.store.objects, trees(world, {"people/x": lines}), to, stop=threading.Event()) == 2
    assert rows(database) == [("ada", None, "1815-12-10", None), ('{"a": 1}', None, None, 2.0)]
    sink = io.BytesIO()
    pq.write_table(pa.table({"age": range(2500), "name": ["x"] * 2500}), sink)
    to = Database(f"sqlite:///{database}", "parquet", ("name", "age"))
    tree = trees(world, {"people/x": sink.getvalue()})
    assert load(world.store.objects, tree, to, stop=threading.Event()) == 2500
    assert len(rows(database)) == 2500


@pytest.mark.parametrize(
    ("files", "kind", "columns", "what"),
    [
        ({"people/0": b"ada,x,,\n"}, "csv", (), "/people/0: 'x' is no int"),
        ({"people/0": b"ada\n"}, "csv", (), "line 1 has 1 fields instead of 4"),
        ({"people/0": b"a,b\n1,2\n"}, "csv", ("name",), "there is no column 'name'"),
        ({"people/0": b"name\nada\n"}, "csv", ("name", "shoe"), "table 'people' has no column 'shoe'"),
        ({"people/0": b"[1]\n"}, "json", (), "line 1 is no object"),
        ({"people/0": b"{\n"}, "json", (), "not JSON as it should be"),
        ({"people/0": b"\xff\n"}, "csv", (), "not CSV as it should be"),
        ({"people/0": b"none"}, "parquet", (), "not PARQUET as it should be"),
        ({"nosuch/0": b"1\n"}, "csv", (), "there is no table 'nosuch'"),
        ({"loose.csv": b"1\n"}, "csv", (), "/loose.csv is in no directory"),
    ],
)
def test_what_does_not_fit_changes_nothing(
    world: World, database: Path, files: dict[str, bytes], kind: str, columns: tuple[str, ...], what: str
) -> None:
    before = rows(database)
    good = {"people/-": b"ada,1,,\n"} if kind == "csv" and not columns else {}
    tree = trees(world, good | files)
    with pytest.raises(FailedError) as refused:
        load(world.store.objects, tree, Database(f"sqlite:///{database}", kind, columns), stop=threading.Event())
    assert what in str(refused.value)
    assert rows(database) == before


def test_a_constraint_and_a_stop_change_nothing(world: World, database: Path) -> None:
    before, to = rows(database), Database(f"sqlite:///{database}", "json", ())
    tree = trees(world, {"people/0": b'{"name": "ada"}\n{"name": null}\n'})
    with pytest.raises(StorageError, match="NOT NULL"):
        load(world.store.objects, tree, to, stop=threading.Event())
    stop = threading.Event()
    stop.set()
    with pytest.raises(Stopped):
        load(world.store.objects, tree, to, stop=stop)
    assert rows(database) == before


def test_a_table_that_is_made_later_is_filled_when_it_is_there(world: World, database: Path) -> None:
    world.put("files", {"/late/0": b"1\n"})
    create(world, to_sql(database))
    told = []

    def tell(event: events.RunEvent) -> None:
        if isinstance(event, events.Trouble):
            told.append(event.message)
            with closing(sqlite3.connect(database)) as db:
                db.execute("create table late (n integer)")

    report = world.make_controller().run_pending((), on_event=tell)
    assert report.jobs[0].state == "success"
    assert told[0].startswith("egress: there is no table 'late'")
    assert rows(database, "late") == [(1,)]


@pytest.mark.row("2.2 sql_database.secret", "2.2 sql secret.name", "2.2 sql secret.key")
def test_a_password_comes_from_a_secret_and_is_not_shown(world: World) -> None:
    egress = {"sql_database": {"url": "postgres://me@127.0.0.1:1/d", "secret": {"name": "db", "key": "PASSWORD"}}}
    world.put("files", {"/t/0": b"1\n"})
    with pytest.raises(NotFoundError):
        create(world, egress)
    Secrets(world.store).create("db", {"other": b"x"})
    with pytest.raises(NotFoundError, match="no key 'PASSWORD'"):
        create(world, egress)
    tree = world.store.repo("files")["master"].tree
    to = Database("nosuch://me@h/d", "csv", (), "hidden")
    with pytest.raises(InvalidInputError, match="the database cannot be used") as refused:
        load(world.store.objects, tree, to, stop=threading.Event())
    assert "hidden" not in str(refused.value) + repr(to)


def test_without_sqlalchemy_it_is_said_what_to_install(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sqlalchemy", None)
    tree = trees(world, {"t/0": b"1\n"})
    with pytest.raises(InvalidInputError, match=r"pip install 'pfs\[sql\]'"):
        load(world.store.objects, tree, Database("sqlite://", "csv", ()), stop=threading.Event())


def test_values() -> None:
    from datetime import datetime, time
    from decimal import Decimal

    texts: list[tuple[str, type, object]] = [
        ("1.50", Decimal, Decimal("1.50")),
        ("true", bool, True),
        ("0", bool, False),
        ("2026-01-02 03:04:05", datetime, datetime(2026, 1, 2, 3, 4, 5)),
        ("03:04", time, time(3, 4)),
        ("00ff", bytes, b"\x00\xff"),
        ("", int, None),
        ("", str, ""),
    ]
    for text, kind, value in texts:
        assert as_type(text, kind) == value
    for text, kind in (("x", bool), ("x", Decimal), ("1.5", int)):
        with pytest.raises(FailedError):
            as_type(text, kind)
