"""PySpark as a pipeline: s3a reads the input bucket and writes ``out``, with nothing set up but the jars."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from tests.pps.pipe_world import world_in
from tests.pps.test_s3_pipelines import s3_input

CODE = """import os, sys
sys.path.insert(0, os.environ["PYSPARK"])
from pyspark.sql import SparkSession

local = {"spark.driver.bindAddress": "127.0.0.1", "spark.driver.host": "127.0.0.1", "spark.ui.enabled": "false"}
scratch = {"spark.local.dir": os.environ["TMPDIR"], "spark.hadoop.hadoop.tmp.dir": os.environ["TMPDIR"]}
jars = {"spark.driver.extraClassPath": os.environ["JARS"]}
builder = SparkSession.builder.master("local[2]").appName("pipeline")
for name, value in {**local, **scratch, **jars, "spark.hadoop.fs.s3a.path.style.access": "true"}.items():
    builder = builder.config(name, value)
spark = builder.getOrCreate()
spark.sparkContext.setLogLevel("ERROR")
sales = spark.read.csv("s3a://sales/years/", header=True, inferSchema=True)
sums = sales.groupBy("item").sum("count").withColumnRenamed("sum(count)", "count").orderBy("item")
sums.coalesce(1).write.parquet("s3a://out/sums")
sums.write.partitionBy("item").csv("s3a://out/by-item")
spark.stop()
"""


def spark_folder() -> Path:
    """Return where tests/clients has installed Spark, or skip."""
    root = os.environ.get("PFS_CLIENT_PROGRAMS")
    record = Path(root or ".") / "spark.json"
    if root is None or not record.exists() or "path" not in json.loads(record.read_text()):
        pytest.skip("PFS_CLIENT_PROGRAMS names no folder with Spark in it: tests/clients/install.py makes one")
    return Path(json.loads(record.read_text())["path"]).parent.parent


@pytest.mark.long
@pytest.mark.timeout(600)
def test_pyspark_reads_the_input_and_writes_out(tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    spark = spark_folder()
    with world_in(tmp_path) as world:
        years = {f"/years/{year}.csv": f"item,count\na,{year}\nb,1\n".encode() for year in (1, 2)}
        world.put("sales", years)
        world.code("sums.py", CODE)
        env: dict[str, str] = {
            "PYSPARK": str(spark / "python"),
            "JARS": f"{spark}/jars/*",
            "SPARK_LOCAL_IP": "127.0.0.1",
            "PATH": f"{os.environ['PATH']}:{spark}",  # what is in PATH is seen, even if it lies in /tmp
        }
        world.create(
            "sums", s3_input("sales"), [sys.executable, "sums.py"], {"env": dict(env)}, s3_out=True, datum_tries=1
        )
        job = world.run_one()
        assert job.state == "success", [one.log_tail for one in world.jobs.datums("sums", job.id)]
        view = world.store.repo("sums")["master"]
        files = [f"/{row.key.decode()}" for row in view.tree.scan_prefix()]
        assert not [path for path in files if "_temporary" in path]
        assert "/sums/_SUCCESS" in files
        (part,) = (path for path in files if path.endswith(".parquet"))
        (tmp_path / "part").write_bytes(view.read(part))
        assert pq.read_table(tmp_path / "part").to_pylist() == [{"item": "a", "count": 3}, {"item": "b", "count": 2}]
        assert not [path for path in files if "__magic" in path]
        assert sorted({path.split("/")[2] for path in files if "item=" in path}) == ["item=a", "item=b"]
        world.put("sales", {"/notes.txt": b"nobody reads this"})
        assert world.run_one().counters.skipped == 1
        world.put("sales", {"/years/3.csv": b"item,count\na,3\n"})
        assert world.run_one().counters.processed == 1
