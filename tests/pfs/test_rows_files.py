"""Rows of real files in a real store: formats, types, empty and wrong files, directories."""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

import pfs
from pfs.errors import CorruptionError, InvalidInputError, PathNotFoundError
from pfs.rows.compare import ColumnChange, TableDiff
from pfs.view import View
from tests.pfs.rows_world import found, rows_of


class World:
    """A repo with two commits: `put` old and new content of files, `diff` compares."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.store = pfs.init(directory)
        self.repo = self.store.create_repo("r")

    def put(self, **files: bytes) -> View:
        with self.repo.commit("master") as commit:
            for name, content in files.items():
                commit.put_file("/" + name.replace("__", "/").replace("_", "."), content)
        return self.repo["master"]

    def diff(self, name: str, old: bytes, new: bytes, *, key: str | tuple[str, ...] = ()) -> TableDiff:
        self.put(**{name: old})
        return self.put(**{name: new}).diff_rows(path="/" + name.replace("_", "."), key=key)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path / "store")
    yield world
    world.store.close()


def parquet(table: pa.Table) -> bytes:
    sink = io.BytesIO()
    pq.write_table(table, sink)
    return sink.getvalue()


def lines(*rows: object) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def types(diff: TableDiff) -> dict[str, tuple[str | None, str | None]]:
    return {column.name: (column.old_type, column.new_type) for column in diff.columns}


def test_columns_by_name_whatever_their_order(world: World) -> None:
    diff = world.diff("a_csv", b"id,x,gone\n1,a,1\n2,b,2\n", b"x,new,id\na,,1\nc,,2\n", key="id")
    assert diff.columns == (
        ColumnChange("gone", "removed", "int64", None),
        ColumnChange("new", "added", None, "null"),
    )
    assert rows_of(diff) == [
        {
            "change": "changed",
            "old_row": 1,
            "new_row": 1,
            "columns": ["x"],
            "old": {"id": 2, "x": "b", "gone": 2},
            "new": {"x": "c", "new": None, "id": 2},
        }
    ]


def test_the_arrow_stream_has_one_schema_and_can_be_read_again(world: World) -> None:
    diff = world.diff("a_csv", b"id,x\n1,a\n", b"id,x\n1,b\n", key="id")
    table = diff.to_reader().read_all()
    assert table.schema == diff.schema
    assert table["new"].type == pa.struct([("id", pa.int64()), ("x", pa.string())])
    assert [batch.schema for batch in diff] == [diff.schema]
    assert (diff.counts.changed, diff.counts.unchanged) == (1, 0)


def test_a_word_after_a_million_bytes_of_numbers_is_one_change(world: World) -> None:
    numbers = [f"{n},{n / 2:.2f}\n" for n in range(300_000)]
    old = "id,v\n" + "".join(numbers)
    numbers[250_000] = "250000,unknown\n"
    assert len(old) > 2 << 20
    diff = world.diff("a_csv", old.encode(), ("id,v\n" + "".join(numbers)).encode(), key="id")
    assert types(diff) == {"v": ("double", "string")}
    assert found(diff) == [("changed", 250_000, 250_000, ("v",))]
    row = rows_of(diff)[0]["old"]
    assert row == {"id": 250_000, "v": "125000.00"}, "the text as it stands in the file"


def test_int_to_float_is_the_same_value(world: World) -> None:
    diff = world.diff("a_csv", b"v\n1\n2\n", b"v\n1.0\n2.5\n")
    assert types(diff) == {"v": ("int64", "double")}
    assert found(diff) == [("changed", 1, 1, ("v",))]


def test_csv_fields_as_they_are_meant(world: World) -> None:
    old = b'\xef\xbb\xbfa,b\r\n"x\ny","1,5"\r\n"",\r\n'
    new = b'a,b\n"x\ny","1,5"\n,\n'
    diff = world.diff("a_csv", old, new)
    assert [row["old"] for row in rows_of(diff)] == [{"a": "", "b": None}]
    assert [row["new"] for row in rows_of(diff)] == [{"a": None, "b": None}]
    assert found(world.diff("b_tsv", b"a\tb\n1\t2\n", b"a\tb\n1\t3\n")) == [("changed", 0, 0, ("b",))]


def test_line_ends_in_fields_wherever_a_block_ends(world: World) -> None:
    old = b"a,b\n" + b'"x\n\ny,z\n",1\n' * 400_000
    diff = world.diff("a_csv", old, old + b'"x",1\n')
    assert found(diff) == [("added", None, 400_000, ())]


def test_a_row_longer_than_a_block(world: World) -> None:
    long = b"x" * (3 << 20)
    diff = world.diff("a_csv", b"a,b\n" + long + b",1\n1,2\n", b"a,b\n" + long + b"y,1\n1,2\n")
    assert found(diff) == [("changed", 0, 0, ("a",))]
    diff = world.diff("a_jsonl", b'{"a":"' + long + b'"}\n{"a":"1"}', b'{"a":"' + long + b'y"}\n\n{"a":"1"}\n')
    assert found(diff) == [("changed", 0, 0, ("a",))]


@pytest.mark.parametrize("nothing", [b"", b"\n", b"id,v\n"])
def test_empty_files_have_no_rows(world: World, nothing: bytes) -> None:
    full = b"id,v\n1,2\n"
    assert found(world.diff("a_csv", nothing, full, key="id")) == [("added", None, 0, ())]
    assert found(world.diff("a_csv", full, nothing)) == [("removed", 0, None, ())]
    assert found(world.diff("a_csv", nothing, nothing, key="id")) == []
    assert found(world.diff("a_jsonl", b"", b'{"id":1}', key="id")) == [("added", None, 0, ())]
    empty = pa.table({"id": pa.array([], pa.int64())})
    assert found(world.diff("a_parquet", parquet(empty), parquet(pa.table({"id": [1]})))) == [("added", None, 0, ())]


def test_a_column_without_values_has_no_type_to_change(world: World) -> None:
    diff = world.diff("a_csv", b"id,v\n1,\n", b"id,v\n1,2.5\n", key="id")
    assert diff.columns == ()
    assert found(diff) == [("changed", 0, 0, ("v",))]


def test_json_values_are_exact(world: World) -> None:
    old = lines({"id": 1, "big": 2**70, "at": "2024-01-01"}, {"id": 2, "big": 1, "n": None})
    new = lines({"big": 2**70 + 1, "id": 1, "at": "2024-01-01 00:00:00"}, {"id": 2, "big": 1})
    diff = world.diff("a_jsonl", old, new, key="id")
    assert types(diff) == {"n": ("null", None)}
    assert found(diff) == [("changed", 0, 0, ("big", "at"))]


def test_json_mixtures_and_nested_values(world: World) -> None:
    old = lines({"m": 1, "d": {"b": 1, "a": [1, None]}}, {"m": "1", "d": {}}, {"m": "x", "d": None})
    new = lines({"m": 1.0, "d": {"a": [1.0, None], "b": 1, "c": None}}, {"m": 1, "d": {}}, {"m": "x", "d": []})
    diff = world.diff("a_ndjson", old, new)
    assert found(diff) == [("changed", 1, 1, ("m",)), ("changed", 2, 2, ("d",))]
    assert rows_of(diff)[0]["old"] == {"m": '"1"', "d": "{}"}


def test_a_json_column_that_becomes_a_mixture(world: World) -> None:
    diff = world.diff("a_jsonl", lines({"v": 1}, {"v": 2}, {"v": 2.5}), lines({"v": 1}, {"v": "two"}, {"v": 2.5}))
    assert types(diff) == {"v": ("double", "json")}
    assert found(diff) == [("changed", 1, 1, ("v",))]


def test_json_nan_and_bom(world: World) -> None:
    old = b'\xef\xbb\xbf{"v": NaN}\n{"v": 1.5}\n'
    assert found(world.diff("a_jsonl", old, b'{"v": NaN}\n{"v": -Infinity}\n')) == [("changed", 1, 1, ("v",))]


def test_parquet_types_and_encodings(world: World) -> None:
    old = pa.table(
        {
            "s": pa.array(["a", "b", None]).dictionary_encode(),
            "i": pa.array([1, 2, 3], pa.int8()),
            "t": pa.array([1, 2, 3], pa.timestamp("ms")),
            "l": [[1], None, [2, 3]],
        }
    )
    new = pa.table(
        {
            "s": pa.array(["a", "c", None], pa.large_string()),
            "i": pa.array([1.0, 2.0, 3.5]),
            "t": pa.array([1_000_000, 2_000_000, 3_000_001], pa.timestamp("ns")),
            "l": [[1], [], [2, 4]],
        }
    )
    diff = world.diff("a_parquet", parquet(old), parquet(new))
    assert types(diff) == {"i": ("int8", "double"), "t": ("timestamp[ms]", "timestamp[ns]")}
    assert found(diff) == [("changed", 1, 1, ("s", "l")), ("changed", 2, 2, ("i", "t", "l"))]


def test_other_path_other_format(world: World) -> None:
    table = pa.table({"id": [3, 1, 2], "v": ["c", "a", "B"], "d": [0.5, 1.0, 2.0]})
    csv = b"id,v,d\n1,a,1\n2,b,2.00\n3,c,0.5\n"
    view = world.put(a_csv=csv, a_parquet=parquet(table), a_json=lines(*table.to_pylist()))
    for other in ("/a.parquet", "/a.json"):
        diff = view.diff_rows(view, other, old_path="/a.csv", key=["id"])
        assert types(diff) == {}, other
        assert found(diff) == [("changed", 1, 2, ("v",))]


def test_compressed_text(world: World) -> None:
    old, new = b"a\n1\n", b"a\n2\n"
    assert found(world.diff("a_csv_gz", gzip.compress(old), gzip.compress(new))) == [("changed", 0, 0, ("a",))]
    pack = zstandard.ZstdCompressor().compress
    assert found(world.diff("a_jsonl_zst", pack(b'{"a":1}'), pack(b'{"a":2}'))) == [("changed", 0, 0, ("a",))]


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a_csv", b"a,b\n1\n", "cannot be read as CSV: CSV parse error: Expected 2 columns"),
        ("a_csv", b"a,b\n1,\xff\n", "cannot be read as CSV"),
        ("a_csv", b"a,a\n1,2\n", "two columns 'a'"),
        ("a_csv_gz", b"not compressed", "cannot be read as CSV"),
        ("a_jsonl", b'{"a":1}\n\n{"a":\n', "cannot be read as JSON Lines: line 3"),
        ("a_jsonl", b'{"a":1}\n[1]\n', "line 2 is not an object"),
        pytest.param("a_jsonl", b'{"a":' + b"[" * 100_000, "as JSON Lines: maximum recursion depth", id="deep"),
        pytest.param("a_jsonl", b'{"a":' + b"[" * 900 + b"]" * 900 + b"}", "JSON Lines: maximum recursion", id="900"),
        ("a_jsonl", b'{"a":"\\ud800"}', "cannot be read as JSON Lines"),
        ("a_jsonl", b'{"\\ud800":1}', "cannot be read as JSON Lines"),
        ("a_parquet", b"", "cannot be read as Parquet"),
        ("a_parquet", b"PAR1 or not", "cannot be read as Parquet"),
        ("a_txt", b"text", "is not a table"),
    ],
)
def test_what_is_no_table(world: World, name: str, content: bytes, reason: str) -> None:
    view = world.put(**{name: content})
    with pytest.raises(InvalidInputError, match=reason) as caught:
        rows_of(view.diff_rows(path="/" + name.replace("_", ".")))
    assert "\n" not in str(caught.value)


def test_errors_late_in_a_file_come_as_such(world: World) -> None:
    rows = b'{"a":1}\n' * 400_000
    with pytest.raises(InvalidInputError, match="line 400001"):
        world.diff("a_jsonl", b"", rows + b"oops\n")


def test_directories_give_all_tables_that_changed(world: World) -> None:
    world.put(d__a_csv=b"v\n1\n", d__b_jsonl=b'{"v":1}', d__same_csv=b"v\n1\n", d__x_txt=b"1", d__old_csv=b"v\n1\n")
    with world.repo.commit("master") as commit:
        commit.delete_file("/d/old.csv")
        for name, content in {"a.csv": b"v\n2\n", "new.csv": b"v\n3\n", "b.jsonl": b'{"v":2}', "x.txt": b"2"}.items():
            commit.put_file(f"/d/{name}", content)
    tables = {diff.path: found(diff) for diff in world.repo["master"].diff_tables(path="/d")}
    assert tables == {
        "/d/a.csv": [("changed", 0, 0, ("v",))],
        "/d/b.jsonl": [("changed", 0, 0, ("v",))],
        "/d/new.csv": [("added", None, 0, ())],
        "/d/old.csv": [("removed", 0, None, ())],
    }
    assert [diff.path for diff in world.repo["master"].diff_tables(path="/d/a.csv")] == ["/d/a.csv"]
    with pytest.raises(InvalidInputError, match="is a directory"):
        world.repo["master"].diff_rows(path="/d")


def test_a_table_that_is_none_ends_a_directory_unless_its_error_is_taken(world: World) -> None:
    view = world.put(a_csv=b"v\n1\n", b_csv=b"v,w\n1\n", c_csv=b"v\n1\n")
    paths: list[str] = []
    with pytest.raises(InvalidInputError, match="cannot be read as CSV"):
        paths.extend(diff.path for diff in view.diff_tables())
    assert paths == ["/a.csv"]
    told: list[tuple[str, InvalidInputError]] = []
    tables = view.diff_tables(on_error=lambda path, error: told.append((path, error)))
    assert [diff.path for diff in tables] == ["/a.csv", "/c.csv"]
    assert [path for path, _ in told] == ["/b.csv"]


def test_a_first_commit_is_compared_with_nothing(world: World) -> None:
    view = world.put(a_csv=b"v\n1\n")
    assert found(view.diff_rows(path="/a.csv", key="v")) == [("added", None, 0, ())]
    with pytest.raises(PathNotFoundError):
        view.diff_rows(path="/none.csv")
    with pytest.raises(InvalidInputError, match=r"no column 'x' in r@[0-9a-f]{12}:/a.csv: its columns are v"):
        view.diff_rows(path="/a.csv", key="x")


@pytest.mark.parametrize("name", ["a_csv", "a_jsonl", "a_parquet"])
def test_damage_is_not_taken_for_a_wrong_format(world: World, name: str) -> None:
    rows = [{"v": f"{n * 7919 % 10007}"} for n in range(50_000)]
    contents = {
        "a_csv": b"v\n" + b"\n".join(row["v"].encode() for row in rows),
        "a_jsonl": lines(*rows),
        "a_parquet": parquet(pa.Table.from_pylist(rows)),
    }
    world.put(**{name: contents[name]})
    world.store.close()
    pack = max(world.directory.rglob("*.pack"), key=lambda path: path.stat().st_size)
    data = bytearray(pack.read_bytes())
    data[2000] ^= 1
    pack.chmod(0o644)
    pack.write_bytes(data)
    with pfs.open(world.directory) as store, pytest.raises(CorruptionError):
        rows_of(store.repo("r")["master"].diff_rows(path="/" + name.replace("_", ".")))
