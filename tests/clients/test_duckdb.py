"""DuckDB with its extension httpfs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import duckdb
import duckdb_extension_httpfs
import pytest

from tests.clients.served import KEPT, MANY, Endpoint

pytestmark = pytest.mark.client("duckdb")
# from PyPI, as the extensions' own server is not reachable everywhere; DuckDB checks its signature
EXTENSION = next(Path(duckdb_extension_httpfs.__file__).parent.rglob("httpfs.duckdb_extension"))


def connect(endpoint: Endpoint, *, reader: bool = False) -> duckdb.DuckDBPyConnection:
    access_key, secret_key = endpoint.keys(reader=reader)
    db = duckdb.connect()
    db.execute(f"LOAD '{EXTENSION}'")
    if endpoint.ca_file:
        db.execute(f"SET ca_cert_file = '{endpoint.ca_file}'")
        db.execute("SET enable_server_cert_verification = true")
    db.execute(
        f"""CREATE SECRET (TYPE s3, PROVIDER config, ENDPOINT '{endpoint.host}', REGION 'us-east-1', URL_STYLE 'path',
        KEY_ID '{access_key}', SECRET '{secret_key}',
        USE_SSL {str(endpoint.secure).lower()})"""
    )
    return db


@pytest.fixture
def db(endpoint: Endpoint) -> Iterator[duckdb.DuckDBPyConnection]:
    with connect(endpoint) as found:
        yield found


def test_files(db: duckdb.DuckDBPyConnection, bucket: str) -> None:
    db.execute("CREATE TABLE t AS SELECT range AS id, 'text ' || range AS text, range % 2 AS part FROM range(100000)")
    for name in ("t.parquet", "t.csv", "t.json.gz", "umlaut-ä +&.parquet"):
        db.execute(f"COPY t TO 's3://{bucket}/{name}'")
        assert db.execute(f"SELECT count(*), sum(id) FROM 's3://{bucket}/{name}'").fetchone() == (100_000, 4999950000)
    assert db.execute(f"SELECT text FROM 's3://{bucket}/t.parquet' WHERE id = 77777").fetchall() == [("text 77777",)]
    db.execute(f"COPY (SELECT * FROM t LIMIT 0) TO 's3://{bucket}/t.parquet'")
    assert db.execute(f"SELECT count(*) FROM 's3://{bucket}/t.parquet'").fetchone() == (0,)


def test_large_and_partitioned(db: duckdb.DuckDBPyConnection, endpoint: Endpoint, bucket: str) -> None:
    db.execute("CREATE TABLE t AS SELECT range AS id, hash(range) AS a, hash(range + 1) AS b FROM range(1500000)")
    db.execute(f"COPY t TO 's3://{bucket}/big.parquet' (COMPRESSION uncompressed)")  # in parts
    same = f"SELECT count(*) FROM (FROM t EXCEPT FROM 's3://{bucket}/big.parquet')"
    assert db.execute(same).fetchone() == (0,)
    db.execute(f"COPY (SELECT id, id % 3 AS part FROM t) TO 's3://{bucket}/set' (FORMAT parquet, PARTITION_BY part)")
    found = db.execute(
        f"SELECT count(*) FROM read_parquet('s3://{bucket}/set/*/*.parquet', hive_partitioning=true) WHERE part = 1"
    )
    assert found.fetchone() == (500_000,)
    assert endpoint.uploads(bucket) == []


def test_paging_and_globs(db: duckdb.DuckDBPyConnection, endpoint: Endpoint) -> None:
    found = db.execute(f"SELECT file FROM glob('s3://{endpoint.many}/key-*') ORDER BY file").fetchall()
    assert found == [(f"s3://{endpoint.many}/key-{number:04}",) for number in range(MANY)]
    assert db.execute(f"SELECT content FROM read_blob('s3://{endpoint.kept}/**/big.bin')").fetchone() == (
        KEPT["sub/big.bin"],
    )


def test_refusals(db: duckdb.DuckDBPyConnection, endpoint: Endpoint, bucket: str) -> None:
    for place in (f"{bucket}/no.parquet", "no-such-bucket/no.parquet"):
        with pytest.raises(duckdb.Error, match=r"404|No files found"):
            db.execute(f"FROM 's3://{place}'")
    with connect(endpoint, reader=True) as reader:
        for client, place in ((db, endpoint.frozen), (reader, endpoint.kept)):
            assert client.execute(f"SELECT content FROM read_text('s3://{place}/kept.txt')").fetchone() == ("kept\n",)
            with pytest.raises(duckdb.Error, match=r"403|AccessDenied"):
                client.execute(f"COPY (SELECT 1) TO 's3://{place}/new.parquet'")
