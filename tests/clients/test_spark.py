"""Spark with s3a (AWS SDK for Java 2): tables under all three committers, folders, files. Takes a minute or two."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from tests.clients.programs import Program, run
from tests.clients.samples import SIZES, content
from tests.clients.served import MANY, Endpoint

pytestmark = pytest.mark.client("spark")
JOBS = Path(__file__).parent / "spark" / "jobs.py"


@pytest.mark.timeout(900)
def test_jobs(installed: Program, http: Endpoint, tmp_path: Path) -> None:
    for name, size in SIZES.items():
        (tmp_path / name).write_bytes(content(size))
    given = {
        "jars": f"{installed.path.parent.parent}/jars/*",
        "folder": str(tmp_path),
        "endpoint": http.url,
        "access_key": http.access_key,
        "secret_key": http.secret_key,
        "bucket": http.new_bucket(),
        "frozen": http.frozen,
        "many": http.many,
        "many_count": MANY,
        "files": {str(tmp_path / name): size for name, size in SIZES.items()},
    }
    environment = http.environment(PYTHONPATH=str(installed.path.parent), SPARK_LOCAL_IP="127.0.0.1")
    done = run(
        sys.executable, JOBS, environment=environment, stdin=json.dumps(given).encode(), cwd=tmp_path, limit_s=800
    )
    assert done.out.split() == ["file", "directory", "magic", "folders", "objects", "missing", "read_only"]
