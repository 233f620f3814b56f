"""Storage classes, archives and the clock of a bucket, against an S3 server over real HTTP."""

from __future__ import annotations

import time
from collections.abc import Iterator
from uuid import uuid4

import pytest

from pfs.backends.s3 import S3Backend
from pfs.backends.s3_clock import ServerClock
from pfs.backends.s3_place import S3Options
from pfs.backends.s3_retry import Retry
from pfs.errors import ArchivedError, StorageError
from tests.pfs.bucket_world import BUCKET, Answer, Asked, World

NAME = "packs/d/aa/x.pack"
DAY_S = 24 * 3600
SECOND_NS = 1_000_000_000


@pytest.fixture
def prefix() -> str:
    return uuid4().hex


@pytest.fixture
def backend(bucket: World, prefix: str) -> Iterator[S3Backend]:
    options = S3Options(endpoint=bucket.url)
    made = S3Backend(f"s3://{BUCKET}/{prefix}", options, retry=Retry(pause=lambda _: None))
    yield made
    made.close()


def head(bucket: World, prefix: str) -> dict[str, object]:
    found: dict[str, object] = bucket.client.head_object(Bucket=BUCKET, Key=f"{prefix}/{NAME}")
    return found


def test_a_move_keeps_what_is_known_of_the_object(bucket: World, backend: S3Backend, prefix: str) -> None:
    """Its write id, by which a PUT whose reply was lost is known again; two requests an object."""
    backend.put_new(NAME, b"bytes")
    before = head(bucket, prefix)["Metadata"]
    bucket.counted()
    assert backend.set_tier([NAME], "STANDARD_IA") == [NAME]
    assert bucket.counted() == (1, 1)
    after = head(bucket, prefix)
    assert (after["StorageClass"], after["Metadata"]) == ("STANDARD_IA", before)
    assert backend.get(NAME) == b"bytes"
    bucket.counted()
    assert backend.set_tier([NAME], "STANDARD_IA") == [NAME]
    assert bucket.counted() == (0, 1), "what is there already is left alone"


def test_a_move_is_of_the_object_that_was_looked_at(bucket: World, backend: S3Backend) -> None:
    """One that is gone, or another by then, is left out."""
    backend.put_new(NAME, b"bytes")
    for code, status in (("PreconditionFailed", "412 Precondition Failed"), ("NoSuchKey", "404 Not Found")):
        answer = f"<Error><Code>{code}</Code></Error>".encode()

        def refuse(asked: Asked, status: str = status, answer: bytes = answer) -> Answer | None:
            return (status, {"Content-Type": "application/xml"}, answer) if asked.is_write else None

        bucket.refuse = refuse
        assert backend.set_tier([NAME], "STANDARD_IA") == []


def test_a_move_whose_reply_is_lost_is_made_again(bucket: World, backend: S3Backend) -> None:
    """It finds the object where it should be."""
    backend.put_new(NAME, b"bytes")
    lost = [True]
    bucket.lose = lambda asked: asked.is_write and bool(lost) and lost.pop()
    assert backend.set_tier([NAME], "STANDARD_IA") == [NAME]
    assert not lost
    assert backend.get(NAME) == b"bytes"


def test_an_archive_is_not_read(bucket: World, backend: S3Backend) -> None:
    """It says so in one line, and nobody waits for it."""
    backend.put_new(NAME, b"bytes")
    backend.set_tier([NAME], "DEEP_ARCHIVE")
    bucket.counted()
    for read in (lambda: backend.get(NAME), lambda: backend.get_ranges(NAME, [(0, 1), (3, 1)])):
        with pytest.raises(ArchivedError, match=r"archived as DEEP_ARCHIVE; `pfs thaw`"):
            read()
    writes, reads = bucket.counted()
    assert (writes, reads <= 4) == (0, True), "by obstore, where it is installed, and by boto3"
    assert [entry.storage_class for entry in backend.entries("packs/")] == ["DEEP_ARCHIVE"]
    with pytest.raises(ArchivedError):
        backend.set_tier([NAME], "STANDARD")


def test_restoring_takes_its_time(bucket: World, backend: S3Backend) -> None:
    """It is asked for once, and looked at until it is there."""
    backend.put_new(NAME, b"bytes")
    backend.set_tier([NAME], "GLACIER")
    with bucket.slow_restore():
        bucket.counted()
        assert [backend.thaw(NAME, days=2, speed="Bulk") for _ in range(3)] == [False, False, False]
        assert [one.query for one in bucket.asked if one.is_write] == ["restore"]
        with pytest.raises(ArchivedError):
            backend.get(NAME)
    assert backend.thaw(NAME, days=2, speed="Bulk")
    assert backend.get(NAME) == b"bytes"
    assert backend.set_tier([NAME], "STANDARD") == [NAME]


def test_restoring_that_was_asked_for_by_another(bucket: World, backend: S3Backend) -> None:
    """Is no error."""
    backend.put_new(NAME, b"bytes")
    backend.set_tier([NAME], "GLACIER")
    answer = b"<Error><Code>RestoreAlreadyInProgress</Code></Error>"
    bucket.refuse = lambda asked: ("409 Conflict", {}, answer) if asked.is_write else None
    assert not backend.thaw(NAME, days=1, speed="Standard")
    bucket.refuse = lambda asked: ("400 Bad Request", {}, answer.replace(b"Rest", b"X")) if asked.is_write else None
    with pytest.raises(StorageError, match="XoreAlreadyInProgress"):
        backend.thaw(NAME, days=1, speed="Standard")


@pytest.mark.parametrize("days", [-40, 0, 40])
def test_the_clock_is_that_of_the_bucket(bucket: World, backend: S3Backend, days: int) -> None:
    """Whatever this machine's is; where they agree the machine's is taken, which is finer."""
    bucket.later_s = days * DAY_S
    assert abs(backend.now_ns() - time.time_ns() - days * DAY_S * SECOND_NS) < 60 * SECOND_NS
    backend.put_new(NAME, b"bytes")
    dated = next(backend.entries(NAME)).modified_ns
    assert abs(backend.now_ns() - dated) < 60 * SECOND_NS


def answer(date: str) -> dict[str, object]:
    return {"ResponseMetadata": {"HTTPHeaders": {"date": date}}}


def test_the_clock_does_not_run_backwards_within_a_second() -> None:
    """Answers that come late, or of the second before, do not put it back; a server that was put back does."""
    clock = ServerClock()
    clock.hear(answer("Sat, 01 Jan 2050 00:00:10 GMT"))
    first = clock.now_ns()
    clock.hear(answer("Sat, 01 Jan 2050 00:00:09 GMT"))
    assert clock.now_ns() >= first
    clock.hear(answer("Sat, 01 Jan 2050 00:00:12 GMT"))
    assert clock.now_ns() >= first + SECOND_NS
    clock.hear(answer("Fri, 31 Dec 2049 00:00:12 GMT"))
    assert clock.now_ns() < first


def test_a_date_that_is_none_is_not_heard() -> None:
    clock = ServerClock()
    for date in ("", "now"):
        clock.hear(answer(date))
        assert abs(clock.now_ns() - time.time_ns()) < 60 * SECOND_NS
