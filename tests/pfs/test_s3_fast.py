"""Reading by obstore: as whom and from where boto3 would, and never with an answer that boto3 would not give."""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from pfs.backends.s3 import S3Backend
from pfs.backends.s3_fast import _RARELY, _TRIES, FastReads, _make, fast_reads
from pfs.backends.s3_place import S3Options
from pfs.errors import AccessRefusedError
from tests.pfs.bucket_world import BUCKET, Answer, Asked, World


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The keys that obstore answered for."""
    found: list[str] = []
    get = FastReads.get

    def noted(self: FastReads, key: str, offset: int, length: int | None) -> tuple[bytes, str] | None:
        answer = get(self, key, offset, length)
        if answer is not None:
            found.append(key)
        return answer

    monkeypatch.setattr(FastReads, "get", noted)
    return found


@pytest.fixture
def backend(bucket: World) -> Iterator[S3Backend]:
    made = S3Backend(f"s3://{BUCKET}/fast", S3Options(endpoint=bucket.url))
    yield made
    made.delete_many([entry.name for entry in made.entries("")])
    made.close()


def test_every_kind_of_read_is_done_by_obstore(backend: S3Backend, read: list[str]) -> None:
    backend.put_new("p+q=r/a.b-c_d", b"0123456789")
    assert backend.get("p+q=r/a.b-c_d") == b"0123456789"
    assert backend.get("p+q=r/a.b-c_d", offset=-3) == b"789"
    assert backend.get("p+q=r/a.b-c_d", offset=4) == b"456789"
    assert backend.get_ranges("p+q=r/a.b-c_d", [(8, 5), (0, 1)]) == [b"89", b"0"]
    body, etag = backend.read("p+q=r/a.b-c_d") or (b"", "")
    assert (body, etag) == (b"0123456789", next(backend.entries("p")).etag)
    assert read == ["fast/p+q=r/a.b-c_d"] * 5


def test_what_obstore_cannot_get_boto3_gets(backend: S3Backend, bucket: World, read: list[str]) -> None:
    backend.put_new("a", b"1")
    for number in range(_TRIES):
        numbers = count()
        bucket.lose = lambda asked, numbers=numbers: asked.method == "GET" and next(numbers) == 0  # type: ignore[misc]
        assert (number, backend.get("a")) == (number, b"1")
    assert read == []
    bucket.lose = lambda _: False
    bucket.counted()
    assert backend.get("a") == b"1"
    assert backend.get("a") == b"1"
    assert len(read) + bucket.counted()[1] <= 3  # it is tried rarely
    for _ in range(_RARELY):
        assert backend.get("a") == b"1"
    assert len(read) > 1  # and when it answers again it is asked as ever


def test_one_failure_among_answers_is_no_reason_to_stop(backend: S3Backend, bucket: World, read: list[str]) -> None:
    backend.put_new("a", b"1")
    numbers = count()
    bucket.lose = lambda asked: asked.method == "GET" and next(numbers) % 3 == 0
    for _ in range(_TRIES * 3):
        assert backend.get("a") == b"1"
    assert len(read) > _TRIES


def test_keys_that_change_are_asked_of_boto3_and_told_as_they_are(
    bucket: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, read: list[str]
) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    file = tmp_path / "credentials"
    file.write_text("[other]\naws_access_key_id=known\naws_secret_access_key=x\n")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(file))
    monkeypatch.setenv("AWS_SKIP_SIGNATURE", "true")  # obstore's own ways of being told are not ours
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:9")
    backend = S3Backend(f"s3://{BUCKET}/x", S3Options(endpoint=bucket.url, profile="other"))
    signed: list[str] = []
    bucket.refuse = lambda asked: (
        ("200 OK", {"ETag": '"1"'}, b"1") if signed.append(asked.authorization) is None else None
    )
    assert backend.get("a") == b"1"
    backend.close()
    assert read == ["x/a"]
    assert "Credential=known/" in signed[0]
    assert "/us-east-1/s3/" in signed[0]


def test_when_keys_end_those_that_came_are_used(
    bucket: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, read: list[str]
) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    file = tmp_path / "credentials"
    file.write_text("[other]\naws_access_key_id=one\naws_secret_access_key=x\n")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(file))
    backend = S3Backend(f"s3://{BUCKET}/x", S3Options(endpoint=bucket.url, profile="other"))
    ended: set[str] = set()

    def answer(asked: Asked) -> Answer:
        if any(f"Credential={key}/" in asked.authorization for key in ended):
            return "403 Forbidden", {"Content-Type": "application/xml"}, b"<Error><Code>ExpiredToken</Code></Error>"
        return "200 OK", {"ETag": '"1"'}, b"1"

    bucket.refuse = answer
    assert (backend.get("a"), len(read)) == (b"1", 1)
    ended.add("one")
    file.write_text("[other]\naws_access_key_id=two\naws_secret_access_key=x\n")
    assert (backend.get("a"), len(read)) == (b"1", 1)  # boto3 found the new ones
    assert (backend.get("a"), len(read)) == (b"1", 2)
    backend.close()


@pytest.mark.parametrize(
    ("options", "host", "in_path"),
    [
        (S3Options(region="eu-west-1"), "bucket.s3.eu-west-1.amazonaws.com", False),
        (S3Options(region="eu-west-1", addressing="path"), "s3.eu-west-1.amazonaws.com", True),
        (S3Options(endpoint="https://s3.example.org:9000", addressing="virtual"), "bucket.s3.example.org:9000", False),
        (S3Options(endpoint="https://s3.example.org:9000"), "s3.example.org:9000", True),
    ],
)
def test_the_address_is_that_of_boto3(bucket: World, options: S3Options, host: str, in_path: bool) -> None:
    backend = S3Backend(f"s3://{BUCKET}/x", options)
    config = _make(backend._clients, BUCKET).config
    assert urlsplit(config["endpoint"]).netloc == host
    assert str(config["virtual_hosted_style_request"]).lower() == str(not in_path).lower()
    assert config["region"] == (options.region or "us-east-1")
    backend.close()


def test_what_it_cannot_be_told_is_left_to_boto3(bucket: World, monkeypatch: pytest.MonkeyPatch) -> None:
    backend = S3Backend(f"s3://{BUCKET}/x", S3Options(endpoint=bucket.url))
    assert fast_reads(backend._clients, BUCKET) is not None
    assert fast_reads(backend._clients, "bucket--use1-az4--x-s3") is None
    backend.close()
    monkeypatch.setenv("AWS_CA_BUNDLE", "/etc/own.pem")
    for endpoint, fast in ((bucket.url, True), ("https://s3.example.org", False)):
        own = S3Backend(f"s3://{BUCKET}/x", S3Options(endpoint=endpoint))
        assert (own._fast is not None) == fast
        own.close()
    monkeypatch.delenv("AWS_CA_BUNDLE")
    monkeypatch.setattr("pfs.backends.s3_fast.find_spec", lambda _: None)
    without = S3Backend(f"s3://{BUCKET}/x", S3Options(endpoint=bucket.url))
    assert without._fast is None
    without.close()


def test_no_keys_are_told_in_boto3s_words(bucket: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    words = []
    for boto3_only in (True, False):
        backend = S3Backend(f"s3://{BUCKET}/x", S3Options(endpoint=bucket.url, boto3_only=boto3_only))
        with pytest.raises(AccessRefusedError) as caught:
            backend.get("a")
        words.append(str(caught.value))
        backend.close()
    assert words[0] == words[1]


def test_a_forked_child_reads_by_boto3(backend: S3Backend, bucket: World) -> None:
    backend.put_new("a", b"1")
    assert backend.get("a") == b"1"
    child = os.fork()
    if not child:
        fast = backend._fast
        good = fast is not None and fast.get("fast/a", 0, None) is None and backend.get("a") == b"1"
        os._exit(0 if good else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert backend.get("a") == b"1"
