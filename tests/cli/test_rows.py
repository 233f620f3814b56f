"""diff-file --rows, as scripts and people use it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.cli.conftest import Run


@pytest.fixture
def prices(store: Path, pfs: Run) -> Run:
    """Two versions of /d/a.csv."""
    for content in ("id,name,price\n1,a,1\n2,b,2\n3,c,3\n3,c,4\n", 'price,id,name,tax\n1.0,1,a,\n7,2,,\n,5,"x\ny",\n'):
        Path("a.csv").write_text(content)
        pfs("put-file", "r@master:/d/", "-f", "a.csv")
    return pfs


def test_by_key_as_a_table(prices: Run) -> None:
    assert prices("diff-file", "r@master:/d/a.csv", "--rows", "--key", "id").out == (
        "   PATH      WHERE         CHANGE\n"
        "~  /d/a.csv  column price  int64 -> double\n"
        "+  /d/a.csv  column tax    added, null\n"
        "~  /d/a.csv  id=2          price: 2 -> 7.0, name: b -> null\n"
        "-  /d/a.csv  id=3          id=3, name=c, price=3\n"
        "-  /d/a.csv  id=3          id=3, name=c, price=4\n"
        '+  /d/a.csv  id=5          price=null, id=5, name="x\\ny", tax=null\n'
        "=  /d/a.csv  all rows      1 added, 2 removed, 1 changed, 1 unchanged; 1 rows repeat a key\n"
    )


def test_by_position_as_json(prices: Run) -> None:
    records: Any = prices("diff-file", "r@master", "r@master^", "--rows", "--json").json
    place = {"name": "a.csv", "path": "/d/a.csv"}
    assert [record["kind"] for record in records] == ["column"] * 2 + ["row"] * 3 + ["table"]
    assert records[0] == {
        **place, "kind": "column", "change": "retyped", "column": "price", "old_type": "int64", "new_type": "double"
    }  # fmt: skip
    assert records[2] == {
        **place, "kind": "row", "change": "changed", "key": None, "old_row": 1, "new_row": 1,
        "columns": ["price", "name"], "old": {"id": 2, "name": "b", "price": 2},
        "new": {"price": 7.0, "id": 2, "name": None, "tax": None},
    }  # fmt: skip
    assert records[4]["change"] == "removed"
    assert (records[4]["old_row"], records[4]["new_row"], records[4]["new"]) == (3, None, None)
    assert records[5] == {
        **place, "kind": "table", "added": 0, "removed": 1, "changed": 2, "unchanged": 1, "repeated_keys": 0
    }  # fmt: skip


def test_several_keys_and_two_paths(prices: Run) -> None:
    prices("copy-file", "r@master^:/d/a.csv", "r@master:/old.csv")
    words = ("diff-file", "r@master:/d/a.csv", "master:/old.csv", "--rows", "--json", "--key", "id", "--key", "name")
    records: Any = prices(*words).json
    assert [record["change"] for record in records if record["kind"] == "row"] == [
        "removed", "added", "removed", "removed", "added"
    ]  # fmt: skip
    assert records[2]["key"] == {"id": 2, "name": "b"}


def test_values_that_json_does_not_have(store: Path, pfs: Run) -> None:
    table = pa.table(
        {
            "t": pa.array([1], pa.timestamp("ns", "Asia/Tokyo")),
            "n": [float("nan")],
            "b": [b"\xff"],
            "d": pa.array([1]).cast(pa.decimal128(21, 2)),
            "s": pa.array([[{"at": 1}]], pa.list_(pa.struct([("at", pa.timestamp("ns"))]))),
        }
    )
    pq.write_table(table, "a.parquet")
    pfs("put-file", "r@master", "-f", "a.parquet")
    records: Any = pfs("diff-file", "r@master", "--rows", "--json").json
    assert records[-2]["new"] == {
        "t": "1970-01-01 00:00:00.000000001Z",
        "n": "nan",
        "b": "/w==",
        "d": "1.00",
        "s": [{"at": "1970-01-01 00:00:00.000000001"}],
    }


@pytest.mark.parametrize("as_json", [True, False])
def test_a_table_that_cannot_be_read_ends_neither_the_output_nor_the_others(
    store: Path, pfs: Run, as_json: bool
) -> None:
    Path("in").mkdir()
    for name, content in {"a.csv": "x\n1\n", "b.csv": "x,y\n1,2\n3\n", "c.parquet": "no", "d.csv": "x\n2\n"}.items():
        Path("in", name).write_text(content)
    pfs("put-file", "r@master", "-r", "-f", "in")
    if as_json:
        result = pfs("diff-file", "r@master", "--rows", "--json", code=2)
        records: Any = result.json
        kinds = [(record["path"], record["kind"]) for record in records if record["kind"] in {"error", "table"}]
        assert kinds == [("/a.csv", "table"), ("/b.csv", "error"), ("/c.parquet", "error"), ("/d.csv", "table")]
        assert "cannot be read as CSV" in next(record["reason"] for record in records if record["kind"] == "error")
    else:
        result = pfs("diff-file", "r@master", "--rows", code=2)
        assert [line.split()[:2] for line in result.out.splitlines() if line.startswith("!")] == [
            ["!", "/b.csv"], ["!", "/c.parquet"]
        ]  # fmt: skip
        assert "=  /d.csv" in result.out
    assert result.err == "pfs: 2 tables were not compared: /b.csv, /c.parquet; their records say why\n"
    Path("in/c.parquet").unlink()
    pfs("put-file", "r@master", "-r", "-f", "in", "--delete-extra")
    pfs("create-repo", "s")
    pfs("put-file", "s@master", "-r", "-f", "in")
    assert "pfs: 1 table was not compared: s@" in pfs("diff-file", "s@master", "--rows", code=2).err


def test_a_table_whose_pages_are_damaged_is_an_error_in_its_place(store: Path, pfs: Run) -> None:
    pq.write_table(pa.table({"x": list(range(100_000))}), "b.parquet", compression="none", use_dictionary=False)
    body = bytearray(Path("b.parquet").read_bytes())
    body[4:40] = bytes(36)
    Path("b.parquet").write_bytes(body)
    Path("c.csv").write_text("x\n1\n")
    pfs("put-file", "r@master", "-f", "b.parquet", "-f", "c.csv")
    records: Any = pfs("diff-file", "r@master", "--rows", "--json", code=2).json
    assert [record["kind"] for record in records if record["path"] == "/b.parquet"][-1] == "error"
    assert records[-1]["kind"] == "table"


def test_a_path_of_the_old_side_that_is_not_there(prices: Run) -> None:
    for words in ([], ["--rows"]):
        assert ":/nope.csv" in prices("diff-file", "r@master:/d/a.csv", "r@master:/nope.csv", *words, code=3).err
        assert ":/new" in prices("diff-file", "r@master:/d", "r@master^:/new", *words, code=3).err


def test_refusals(prices: Run) -> None:
    wrong = prices("diff-file", "r@master", "--rows", "--key", "ID", code=2)
    assert wrong.err.endswith("/d/a.csv: its columns are id, name, price\n")
    assert "--rows" in prices("diff-file", "r@master", "--key", "id", code=2).err
    assert "--name-only" in prices("diff-file", "r@master", "--rows", "--name-only", code=2).err
    Path("b.txt").write_text("x")
    prices("put-file", "r@master:/", "-f", "b.txt")
    assert "is not a table" in prices("diff-file", "r@master:/b.txt", "--rows", code=2).err
    prices("diff-file", "r@master:/none.csv", "--rows", code=3)
    assert prices("diff-file", "r@master", "--rows", "--json").json == []
    assert "is a directory" in prices("diff-file", "r@master:/d", "master:/b.txt", "--rows", code=2).err
