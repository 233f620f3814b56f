"""What a task writes to buckets of its own naming: how many there may be."""

from __future__ import annotations

from pathlib import Path

import pytest

import pfs
from s3api.errors import S3Error
from s3api.job.task_output import TaskOutputs


def test_a_task_writes_to_so_many_buckets_and_no_more(tmp_path: Path) -> None:
    with pfs.init(tmp_path) as store:
        outputs = TaskOutputs(store)
        for number in range(1000):
            outputs.of(f"bucket-{number}")
        with pytest.raises(S3Error, match="1000 buckets at most") as caught:
            outputs.of("one-more")
        assert caught.value.code == "TooManyBuckets"
        assert outputs.of("bucket-7") is outputs.of("bucket-7")
        outputs.end()[1].abandon()
