"""A bucket as a backend, against an S3 server over real HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count, pairwise
from uuid import uuid4

import pytest

from pfs.attach import fitting
from pfs.backends.base import Backend
from pfs.backends.registry import open_backend
from pfs.backends.s3 import S3Backend
from pfs.backends.s3_place import S3Options, parse_s3_url
from pfs.backends.s3_ranges import GAP, PIECE, merged, pieces, split
from pfs.backends.s3_retry import Retry
from pfs.errors import (
    AccessRefusedError,
    BranchMovedError,
    BucketNotFoundError,
    InvalidInputError,
    NotFoundError,
    StorageError,
    UnreachableError,
)
from pfs.testing.contract import BackendContract, Raw
from tests.pfs.bucket_world import BUCKET, Answer, Asked, World

AT_ONCE = Retry(pause=lambda _: None)


@pytest.fixture
def world(bucket: World) -> World:
    return bucket


@pytest.fixture
def prefix() -> str:
    return f"store-{uuid4().hex}/deep"


@pytest.fixture(params=[True, False], ids=["boto3", "obstore"])
def boto3_only(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


@pytest.fixture
def backend(world: World, prefix: str, boto3_only: bool) -> Iterator[S3Backend]:
    options = S3Options(endpoint=world.url, boto3_only=boto3_only)
    options = fitting(f"s3://{BUCKET}/{prefix}", options) if world.is_other else options
    made = S3Backend(f"s3://{BUCKET}/{prefix}", options, retry=AT_ONCE)
    assert (made._fast is None) == boto3_only
    yield made
    made.close()


@pytest.mark.s3
class TestS3Backend(BackendContract):
    cold = "STANDARD_IA"

    @pytest.fixture
    def backend(self, backend: S3Backend) -> Backend:
        return backend

    @pytest.fixture
    def raw(self, world: World, prefix: str) -> Raw:
        client = world.client

        def read(name: str) -> bytes | None:
            try:
                found: bytes = client.get_object(Bucket=BUCKET, Key=f"{prefix}/{name}")["Body"].read()
            except client.exceptions.NoSuchKey:
                return None
            return found

        return read


def some(number: int, answer: Answer, *, method: str = "") -> object:
    """Return a rule that refuses the first requests."""
    numbers = count(1)
    return lambda asked: answer if asked.method.startswith(method) and next(numbers) <= number else None


def xml(code: str, status: str) -> Answer:
    return status, {"Content-Type": "application/xml"}, f"<Error><Code>{code}</Code></Error>".encode()


def test_a_busy_server_is_asked_again(backend: S3Backend, world: World) -> None:
    world.refuse = some(3, xml("SlowDown", "503 Slow Down"))  # type: ignore[assignment]
    assert backend.put_new("a", b"1")
    world.refuse = some(3, xml("InternalError", "500 Internal Server Error"))  # type: ignore[assignment]
    assert backend.get("a") == b"1"
    world.refuse = some(2, xml("SlowDown", "503 Slow Down"))  # type: ignore[assignment]
    assert backend.read("refs/a") is None
    etag = backend.swap("refs/a", None, b"1")
    assert backend.read("refs/a") == (b"1", etag)


def test_a_server_that_stays_busy_is_an_error(backend: S3Backend, world: World, boto3_only: bool) -> None:
    world.refuse = lambda _: xml("SlowDown", "503 Slow Down")
    with pytest.raises(StorageError, match=r"cannot read s3://bucket/.*/a: .* answered SlowDown; .* try later$"):
        backend.get("a")
    assert len(world.asked) == (12 if boto3_only else 13)


def test_a_new_object_whose_reply_was_lost_is_ours(backend: S3Backend, world: World) -> None:
    numbers = count(1)
    world.lose = lambda asked: asked.method == "PUT" and next(numbers) == 1
    assert backend.put_new("a", b"1")
    assert backend.get("a") == b"1"
    assert [asked.method for asked in world.asked] == ["PUT", "PUT", "HEAD", "GET"]
    assert not backend.put_new("a", b"2")


def test_a_new_object_of_another_is_not_ours_whatever_was_lost(backend: S3Backend, world: World) -> None:
    assert backend.put_new("a", b"1")
    numbers = count(1)
    world.lose = lambda asked: asked.method == "PUT" and next(numbers) == 1
    assert not backend.put_new("a", b"1")


def test_a_swap_whose_reply_was_lost_is_not_sent_again(backend: S3Backend, world: World) -> None:
    world.lose = lambda asked: asked.method == "PUT"
    with pytest.raises(StorageError):
        backend.swap("refs/a", None, b"1")
    assert [asked.method for asked in world.asked] == ["PUT"]
    assert backend.get("refs/a") == b"1"


def test_a_swap_of_what_was_deleted_is_refused(backend: S3Backend) -> None:
    etag = backend.swap("leases/a", None, b"1")
    backend.delete_many(["leases/a"])
    with pytest.raises(BranchMovedError):
        backend.swap("leases/a", etag, b"2")


def test_conditions_are_sent(backend: S3Backend, world: World) -> None:
    backend.put_new("a", b"1")
    etag = backend.swap("refs/a", None, b"1")
    backend.swap("refs/a", etag, b"2")
    assert [asked.condition for asked in world.asked] == ["*", "*", etag]


def test_listings_of_many_pages_and_their_etags(backend: S3Backend, world: World) -> None:
    world.page = 3
    names = [f"a/{number:04d}" for number in range(10)]
    for name in names:
        backend.put_new(name, b"")
    etag = backend.swap("refs/x", None, b"1")
    assert [entry.name for entry in backend.entries("a/")] == names
    assert [entry.etag for entry in backend.entries("refs/")] == [etag]
    backend.delete_many(names)
    assert [entry.name for entry in backend.entries("")] == ["refs/x"]


def test_lists_of_deletions_that_a_server_does_not_take(backend: S3Backend, world: World) -> None:
    backend.put_new("a", b"")
    backend.put_new("b", b"")
    world.refuse = lambda asked: xml("NotImplemented", "501 Not Implemented") if asked.method == "POST" else None
    backend.delete_many(["a", "b"])
    assert list(backend.entries("")) == []


def test_near_ranges_are_one_request_and_far_ones_are_several(backend: S3Backend, world: World) -> None:
    body = bytes(range(256)) * 4096
    backend.put_new("a", body)
    world.counted()
    assert backend.get_ranges("a", [(900_000, 10), (0, 5), (100, 5)]) == [
        body[900_000:900_010],
        body[:5],
        body[100:105],
    ]
    assert world.counted() == (0, 2)


def test_a_long_range_comes_over_several_connections(backend: S3Backend, world: World) -> None:
    body = bytes(range(256)) * (3 * PIECE // 256)
    backend.put_new("a", body)
    world.counted()
    assert backend.get("a", offset=1, length=len(body)) == body[1:]
    assert world.counted() == (0, 3)


def test_ranges_cover_what_is_asked_for() -> None:
    wanted = [(5, 3), (0, 2), (GAP + 8, 1), (3 * GAP, 7), (3 * GAP + 2, 1)]
    spans = merged(wanted)
    assert spans == [(0, GAP + 9), (3 * GAP, 7)]
    body = bytes(number % 251 for number in range(4 * GAP))
    found = [body[start : start + length] for start, length in spans]
    assert pieces(wanted, spans, found) == [body[start : start + length] for start, length in wanted]
    assert merged([]) == []
    for length in (0, 1, PIECE, PIECE + 1, 2 * PIECE, 5 * PIECE - 1):
        parts = split(7, length)
        assert parts[0][0] == 7
        assert sum(size for _, size in parts) == length
        assert all(one[0] + one[1] == two[0] for one, two in pairwise(parts))


@pytest.mark.parametrize("code", ["InvalidAccessKeyId", "SignatureDoesNotMatch", "AccessDenied", "ExpiredToken"])
def test_refused_credentials(backend: S3Backend, world: World, code: str, boto3_only: bool) -> None:
    world.refuse = lambda _: xml(code, "403 Forbidden")
    for work in (
        lambda: backend.get("a"),
        lambda: backend.read("refs/a"),
        lambda: backend.put_new("a", b""),
        lambda: backend.swap("refs/a", None, b""),
        lambda: list(backend.entries("")),
        lambda: backend.delete_many(["a"]),
    ):
        with pytest.raises(AccessRefusedError, match=f"answered {code}; (check|these credentials have ended)"):
            work()
    assert len(world.asked) == (6 if boto3_only else 7)  # trying again is no use


def test_no_credentials(world: World, prefix: str, monkeypatch: pytest.MonkeyPatch, boto3_only: bool) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    backend = S3Backend(f"s3://{BUCKET}/{prefix}", S3Options(endpoint=world.url, boto3_only=boto3_only))
    with pytest.raises(AccessRefusedError, match="credentials"):
        backend.get("a")
    backend.close()
    with pytest.raises(AccessRefusedError, match="nobody"):
        S3Backend(f"s3://{BUCKET}/{prefix}", S3Options(endpoint=world.url, profile="nobody"))


def test_an_endpoint_that_nobody_listens_at(world: World, boto3_only: bool) -> None:
    options = S3Options(endpoint="http://127.0.0.1:9", boto3_only=boto3_only)
    backend = S3Backend(f"s3://{BUCKET}", options, retry=AT_ONCE)
    with pytest.raises(UnreachableError, match=r"http://127.0.0.1:9 cannot be reached"):
        backend.read("refs/a")
    with pytest.raises(UnreachableError):
        backend.swap("refs/a", None, b"")
    backend.close()


def test_a_missing_bucket_is_no_missing_object(world: World, boto3_only: bool) -> None:
    options = S3Options(endpoint=world.url, boto3_only=boto3_only)
    backend = S3Backend("s3://no-such-bucket/x", options, retry=AT_ONCE)
    for work in (lambda: backend.get("a"), lambda: backend.read("a"), lambda: backend.swap("refs/a", None, b"")):
        with pytest.raises(BucketNotFoundError, match="no bucket 'no-such-bucket'"):
            work()
    with pytest.raises(BucketNotFoundError):
        list(backend.entries(""))
    backend.close()


def test_options_of_writes_are_passed_on(world: World, prefix: str) -> None:
    options = S3Options(endpoint=world.url, storage_class="STANDARD_IA", sse="AES256", addressing="path")
    backend = S3Backend(f"s3://{BUCKET}/{prefix}", options)
    backend.put_new("packs/d/aa/x.pack", b"1")
    backend.put_new("packs/m/aa/x.pack", b"1")
    backend.close()
    client = world.client
    data = client.head_object(Bucket=BUCKET, Key=f"{prefix}/packs/d/aa/x.pack")
    meta = client.head_object(Bucket=BUCKET, Key=f"{prefix}/packs/m/aa/x.pack")
    assert (data.get("StorageClass"), meta.get("StorageClass")) == ("STANDARD_IA", None)
    assert data["ServerSideEncryption"] == meta["ServerSideEncryption"] == "AES256"


def test_an_answer_that_is_cut_off_is_asked_for_again(backend: S3Backend, world: World) -> None:
    backend.put_new("a", b"0123456789")
    numbers = count(1)
    world.lose = lambda asked: asked.method == "GET" and next(numbers) < 3
    assert backend.get("a") == b"0123456789"


def test_a_server_without_ranges(backend: S3Backend, world: World) -> None:
    def whole(asked: Asked) -> Answer | None:
        return ("200 OK", {"ETag": '"1"'}, b"0123456789") if asked.method == "GET" else None

    world.refuse = whole
    assert backend.get("a", offset=2, length=3) == b"234"
    assert backend.get("a", offset=-3) == b"789"
    assert backend.get("a", offset=8) == b"89"


@pytest.mark.parametrize(
    "url", ["s3://", "s3:///x", "s3://b/a//b", "s3://b/ä", "s3://b/../x", "s3://b/a b", "http://x"]
)
def test_places_that_cannot_be(url: str) -> None:
    with pytest.raises(InvalidInputError):
        parse_s3_url(url)


def test_the_registry_opens_buckets(world: World) -> None:
    backend = open_backend(f"s3://{BUCKET}/a/b/", S3Options(endpoint=world.url))
    assert backend.location == f"s3://{BUCKET}/a/b"
    with pytest.raises(NotFoundError):
        backend.get("none")
    backend.close()
    with pytest.raises(InvalidInputError, match="S3 cannot be used"):
        open_backend(f"s3://{BUCKET}", S3Options(endpoint="nonsense"))
