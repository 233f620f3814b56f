"""pandas, polars, pyarrow, Dask and zarr on ``pfs://``, unmodified: what they write they read, as commits."""

from __future__ import annotations

from collections.abc import Iterator

import dask
import fsspec
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.dataset as ds
import pytest
import zarr
from dask import dataframe as dd
from pyarrow import fs as pafs

from pfs.fsspec import PfsFileSystem
from pfs.repo import Repo

Options = dict[str, str]


@pytest.fixture
def options(repo: Repo) -> Iterator[Options]:
    yield {"store": str(repo.store.path)}
    PfsFileSystem.clear_instance_cache()


@pytest.fixture
def fs(options: Options) -> PfsFileSystem:
    made: PfsFileSystem = fsspec.filesystem("pfs", **options)
    return made


@pytest.fixture
def frame() -> pd.DataFrame:
    count = 1000
    return pd.DataFrame(
        {"id": range(count), "name": [f"n{i}" for i in range(count)], "part": ["a", "b"] * (count // 2)}
    )


def commits(repo: Repo) -> int:
    return len(list(repo.commits("master"))) if repo.branches() else 0


def test_pandas(repo: Repo, fs: PfsFileSystem, options: Options, frame: pd.DataFrame) -> None:
    frame.to_csv("pfs://data@master/t.csv", index=False, storage_options=options)
    frame.to_parquet("pfs://data@master/t.parquet", storage_options=options)
    frame.to_json("pfs://data@master/t.jsonl.gz", orient="records", lines=True, storage_options=options)
    assert commits(repo) == 3
    pd.testing.assert_frame_equal(pd.read_csv("pfs://data@master/t.csv", storage_options=options), frame)
    pd.testing.assert_frame_equal(pd.read_parquet("pfs://data@master/t.parquet", storage_options=options), frame)
    read = pd.read_json("pfs://data@master/t.jsonl.gz", lines=True, storage_options=options)
    pd.testing.assert_frame_equal(read, frame)
    frame[:1].to_csv("pfs://data@master/t.csv", mode="a", header=False, index=False, storage_options=options)
    assert len(pd.read_csv("pfs://data@master/t.csv", storage_options=options)) == 1001
    assert len(pd.read_csv("pfs://data@master^/t.csv", storage_options=options)) == 1000
    with pytest.raises(FileNotFoundError, match="data@master"):
        pd.read_csv("pfs://data@master/no.csv", storage_options=options)


def test_pandas_in_a_transaction(repo: Repo, fs: PfsFileSystem, options: Options, frame: pd.DataFrame) -> None:
    with fs.transaction:
        frame.to_parquet("pfs://data@master/parts", partition_cols=["part"], storage_options=options)
        frame.to_csv("pfs://data@master/t.csv", storage_options=options)
    assert commits(repo) == 1
    assert len(fs.find("data@master/parts")) == 2
    read = pd.read_parquet("pfs://data@master/parts", filters=[("part", "==", "b")], storage_options=options)
    assert list(read["id"]) == list(range(1, 1000, 2))


def test_polars(repo: Repo, fs: PfsFileSystem, options: Options, frame: pd.DataFrame) -> None:
    table = pl.from_pandas(frame)
    with fs.open("data@master/t.parquet", "wb") as file:
        table.write_parquet(file)
    with fs.open("data@master/t.csv", "wb") as file:
        table.write_csv(file)
    assert commits(repo) == 2
    assert pl.read_parquet("pfs://data@master/t.parquet", use_pyarrow=True, storage_options=options).equals(table)
    assert pl.read_csv("pfs://data@master/t.csv", use_pyarrow=True, storage_options=options).equals(table)
    with fs.open("data@master/t.parquet") as file:
        assert pl.read_parquet(file).equals(table)
    lazy = pl.scan_pyarrow_dataset(ds.dataset("data@master/t.parquet", filesystem=fs))
    assert lazy.filter(pl.col("id") < 3).collect().equals(table[:3])


def test_pyarrow(
    repo: Repo, fs: PfsFileSystem, options: Options, frame: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = pa.Table.from_pandas(frame)
    with fs.transaction:
        ds.write_dataset(
            table, "data@master/set", filesystem=fs, format="parquet", partitioning=["part"], partitioning_flavor="hive"
        )
    assert commits(repo) == 1
    found = ds.dataset("data@master/set", filesystem=fs, partitioning="hive")
    assert found.to_table(filter=ds.field("part") == "a").num_rows == 500
    monkeypatch.setenv("PFS_STORE", options["store"])
    assert ds.dataset("fsspec+pfs://data@master/set", partitioning="hive").count_rows() == 1000
    arrow = pafs.PyFileSystem(pafs.FSSpecHandler(fs))
    infos = arrow.get_file_info(pafs.FileSelector("data@master/set", recursive=True))
    assert sorted(info.type.name for info in infos) == ["Directory", "Directory", "File", "File"]
    assert arrow.get_file_info("data@master/no").type == pafs.FileType.NotFound
    arrow.delete_dir("data@master/set")
    assert arrow.get_file_info("data@master/set").type == pafs.FileType.NotFound


@pytest.mark.filterwarnings("ignore::pandas.errors.Pandas4Warning")  # of Dask's own calls
def test_dask(repo: Repo, fs: PfsFileSystem, options: Options, frame: pd.DataFrame) -> None:
    with dask.config.set(scheduler="threads", num_workers=3):
        parts = dd.from_pandas(frame, npartitions=4)
        with fs.transaction:
            parts.to_parquet("pfs://data@master/table", storage_options=options)
        assert commits(repo) == 1
        assert len(fs.ls("data@master/table")) == 4
        parts.to_csv("pfs://data@master/csv/*.csv", index=False, storage_options=options)
        assert commits(repo) == 5
        read = dd.read_parquet("pfs://data@master/table", storage_options=options)
        pd.testing.assert_frame_equal(read.compute(), frame, check_dtype=False)
        assert dd.read_csv("pfs://data@master/csv/*.csv", storage_options=options)["id"].sum().compute() == 499_500
        with fs.transaction:
            parts.to_parquet("pfs://data@master/table", append=True, ignore_divisions=True, storage_options=options)
            assert len(dd.read_parquet("pfs://data@master/table", storage_options=options)) == 2000
        assert commits(repo) == 6
        with fs.transaction:
            parts.to_parquet("pfs://data@master/table", overwrite=True, storage_options=options)
    assert len(fs.ls("data@master/table")) == 4


def test_zarr(repo: Repo, fs: PfsFileSystem, options: Options) -> None:
    url = "pfs://data@master/array"
    array = zarr.create_array(url, shape=(100, 20), chunks=(25, 20), dtype="i4", storage_options=options)
    array[:] = np.arange(2000).reshape(100, 20)
    assert commits(repo) == 1 + 4
    read = zarr.open_array(url, mode="r", storage_options=options)
    assert (read[30:40] == np.arange(600, 800).reshape(10, 20)).all()
    first = repo["master"].info.id
    array[0] = -1
    assert commits(repo) == 6
    assert zarr.open_array(f"pfs://data@{first}/array", mode="r", storage_options=options)[0, 5] == 5
    assert (zarr.open_array(url, mode="r", storage_options=options)[0] == -1).all()


def test_zarr_in_a_transaction(repo: Repo, fs: PfsFileSystem) -> None:
    with fs.transaction:
        group = zarr.open_group(fs.get_mapper("data@master/group"), mode="w")
        array = group.create_array("x", shape=(20,), chunks=(10,), dtype="i4")
        array[:3] = 1
        array[3:7] = 2  # the same chunk again: read, changed, written
        group.attrs["unit"] = "K"
    assert commits(repo) == 1
    group = zarr.open_group(fs.get_mapper("data@master/group"), mode="r")
    assert list(group["x"][:8]) == [1, 1, 1, 2, 2, 2, 2, 0]
    assert group.attrs["unit"] == "K"
    assert sorted(group.array_keys()) == ["x"]
    with fs.transaction:
        zarr.open_group(fs.get_mapper("data@master/group"), mode="w")
    assert fs.find("data@master/group") == ["data@master/group/zarr.json"]
    assert commits(repo) == 2


def test_mappers(repo: Repo, fs: PfsFileSystem) -> None:
    mapper = fs.get_mapper("data@master/m", create=True)
    mapper.setitems({"a": b"1", "d/b": b"2"})
    assert (dict(mapper), commits(repo)) == ({"a": b"1", "d/b": b"2"}, 1)
    del mapper["a"]
    assert "a" not in mapper
    assert mapper.getitems(["a", "d/b"], on_error="omit") == {"d/b": b"2"}
    with pytest.raises(KeyError):
        mapper["a"]


def test_a_cache_in_front(repo: Repo, fs: PfsFileSystem, options: Options, tmp_path: object) -> None:
    fs.pipe_file("data@master/a", b"1")
    cached = fsspec.filesystem(
        "filecache", target_protocol="pfs", target_options=options, cache_storage=str(tmp_path), check_files=True
    )
    assert cached.cat_file("data@master/a") == b"1"
    with cached.open("data@master/a") as file:
        assert file.read() == b"1"
    fs.pipe_file("data@master/a", b"2")
    with cached.open("data@master/a") as file:
        assert file.read() == b"2"
