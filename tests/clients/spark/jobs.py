"""Spark with s3a against a gateway: all steps one after the other; the first that fails ends it.

Run by Spark's own Python; the settings come as JSON on standard input, see test_spark.py. Prints the steps that passed.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from pyspark.sql import SparkSession
from pyspark.sql import functions as f

given: dict[str, Any] = json.loads(sys.stdin.read())
CLOUD = "org.apache.spark.internal.io.cloud"
OPTIONS = {
    "spark.driver.extraClassPath": given["jars"],
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.driver.host": "127.0.0.1",
    "spark.ui.enabled": "false",
    "spark.sql.shuffle.partitions": "2",
    "spark.sql.warehouse.dir": given["folder"] + "/warehouse",
    "spark.local.dir": given["folder"],
    "spark.hadoop.hadoop.tmp.dir": given["folder"],
    "spark.sql.sources.commitProtocolClass": f"{CLOUD}.PathOutputCommitProtocol",
    "spark.sql.parquet.output.committer.class": f"{CLOUD}.BindingParquetOutputCommitter",
    "spark.hadoop.fs.s3a.endpoint": given["endpoint"],
    "spark.hadoop.fs.s3a.endpoint.region": "us-east-1",
    "spark.hadoop.fs.s3a.path.style.access": "true",
    "spark.hadoop.fs.s3a.access.key": given["access_key"],
    "spark.hadoop.fs.s3a.secret.key": given["secret_key"],
    "spark.hadoop.fs.s3a.multipart.size": "5M",
    "spark.hadoop.fs.s3a.paging.maximum": "500",
    "spark.hadoop.fs.s3a.attempts.maximum": "1",
    "spark.hadoop.fs.s3a.retry.limit": "1",
}
builder = SparkSession.builder.master("local[2]").appName("clients")
for name, value in OPTIONS.items():
    builder = builder.config(name, value)
spark = builder.getOrCreate()
spark.sparkContext.setLogLevel("ERROR")
jvm: Any = spark.sparkContext._jvm
path = jvm.org.apache.hadoop.fs.Path


def files(bucket: str) -> Any:
    """Return the file system of a bucket."""
    return path(f"s3a://{bucket}/").getFileSystem(spark.sparkContext._jsc.hadoopConfiguration())


def names(at: str) -> set[str]:
    """Return the names in a folder."""
    return {found.getPath().getName() for found in files(given["bucket"]).listStatus(path(at))}


def refused(call: Any, what: str) -> None:
    """Want the JVM's error of a call to have a text."""
    said = "nothing: it was done"
    try:
        call()
    except Exception as error:  # py4j and pyspark have several
        said = str(error)
    assert what in said, said[:2000]


def tables(committer: str) -> None:
    """Write, overwrite, append, partition and read back under a committer."""
    base = f"s3a://{given['bucket']}/{committer}"
    rows = spark.range(10000).withColumn("part", f.col("id") % 3)

    def write(mode: str, data: Any = rows) -> Any:
        return data.write.mode(mode).option("fs.s3a.committer.name", committer)

    for mode, count in (("overwrite", 10000), ("overwrite", 10000), ("append", 20000)):
        write(mode).parquet(f"{base}/table")
        assert spark.read.parquet(f"{base}/table").count() == count, (mode, count)
    refused(lambda: write("error").parquet(f"{base}/table"), "PATH_ALREADY_EXISTS")
    assert spark.read.parquet(f"{base}/table").where("id = 17").count() == 2  # reads footers and pages by range
    left = {name for name in names(f"{base}/table") if not name.endswith(".parquet")}
    assert left == {"_SUCCESS"}, left
    write("overwrite").partitionBy("part").parquet(f"{base}/parts")
    assert spark.read.parquet(f"{base}/parts").where("part = 1").count() == 3333
    assert names(f"{base}/parts") == {"_SUCCESS", "part=0", "part=1", "part=2"}
    write("overwrite", rows.limit(100)).csv(f"{base}/text", header=True)
    assert spark.read.csv(f"{base}/text", header=True).count() == 100


def folders() -> None:
    """Make, rename and delete folders, which are markers and copies."""
    fs, base = files(given["bucket"]), f"s3a://{given['bucket']}"
    assert fs.mkdirs(path(f"{base}/made/deep"))
    assert fs.getFileStatus(path(f"{base}/made")).isDirectory()
    assert fs.rename(path(f"{base}/magic/parts"), path(f"{base}/made/moved"))
    assert not fs.exists(path(f"{base}/magic/parts"))
    assert spark.read.parquet(f"{base}/made/moved").count() == 10000
    refused(lambda: fs.delete(path(f"{base}/made"), False), "not empty")
    assert fs.delete(path(f"{base}/made"), True)
    assert not fs.exists(path(f"{base}/made"))


def objects() -> None:
    """Carry files of all sizes and names."""
    fs, base = files(given["bucket"]), f"s3a://{given['bucket']}"
    for number, (local, size) in enumerate(given["files"].items()):
        at = path(f"{base}/files", f"odd {number} +&#%20 ü漢")
        fs.copyFromLocalFile(path(f"file://{local}"), at)
        assert fs.getFileStatus(at).getLen() == size
        back = f"{local}.back"
        fs.copyToLocalFile(at, path(f"file://{back}"))
        with open(local, "rb") as sent, open(back, "rb") as got:
            assert sent.read() == got.read(), local
    stream = fs.open(at)
    stream.seek(size - 3)
    assert stream.read() >= 0
    stream.close()
    sizes = [found.getLen() for found in files(given["many"]).listStatus(path(f"s3a://{given['many']}/"))]
    assert len(sizes) == given["many_count"]


def missing() -> None:
    """Ask for what is not there."""
    refused(lambda: spark.read.parquet(f"s3a://{given['bucket']}/no"), "PATH_NOT_FOUND")
    refused(lambda: spark.read.parquet("s3a://no-such-bucket/no"), "no-such-bucket")


def read_only() -> None:
    """Read a bucket that nobody may write, and fail to write it."""
    place = f"s3a://{given['frozen']}"
    assert spark.read.text(f"{place}/kept.txt").collect()[0][0] == "kept"
    refused(lambda: spark.range(3).write.parquet(f"{place}/new"), "AccessDenied")


for name, step in {
    **{committer: (lambda committer=committer: tables(committer)) for committer in ("file", "directory", "magic")},
    "folders": folders,
    "objects": objects,
    "missing": missing,
    "read_only": read_only,
}.items():
    step()
    print(name, flush=True)
spark.stop()
