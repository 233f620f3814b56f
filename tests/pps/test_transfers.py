"""Places to send to: S3 (moto over real HTTP) and folders; what is said of objects, parts, resuming, refusals."""

from __future__ import annotations

import errno
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pfs.errors import InvalidInputError, StorageError
from pps.spec.delivery import Levers
from pps.transfers import wire
from pps.transfers.access import Access, find_access
from pps.transfers.errors import PlaceRefusedError, Stopped
from pps.transfers.folder import Folder
from pps.transfers.multipart import MOST_PARTS, part_bytes, parts_of
from pps.transfers.open import open_target
from pps.transfers.place import Pieces, Said, Sending, Target, There
from pps.transfers.sigv4 import signature
from tests.pfs.bucket_world import BUCKET, Asked, World

PART = 8 << 20


@pytest.fixture
def world(bucket: World, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setattr(wire, "FIRST_S", 0.0)
    return bucket


@pytest.fixture
def target(world: World) -> Iterator[Target]:
    with closing(to(world)) as made:
        yield made


def to(world: World, prefix: str = "out", stop: threading.Event | None = None) -> Target:
    return open_target(f"s3://{BUCKET}/{prefix}", Levers(endpoint=world.url), stop=stop)


def sending(name: bytes, data: bytes, said: Said | None = None) -> Sending:
    def pieces() -> Pieces:
        return (data[at : at + (1 << 20)] for at in range(0, len(data), 1 << 20))

    return Sending(name, len(data), pieces, said or Said("text/plain"))


def uploads(world: World) -> list[str]:
    return [one["Key"] for one in world.client.list_multipart_uploads(Bucket=BUCKET).get("Uploads", [])]


def parts_sent(world: World) -> int:
    return sum("partNumber" in asked.query and asked.method == "PUT" for asked in world.asked)


def test_what_is_said_of_an_object_is_seen_on_it(world: World, target: Target) -> None:
    headers = {"cache-control": "max-age=3", "x-amz-storage-class": "STANDARD_IA", "content-encoding": "x"}
    said = Said("text/csv", headers | {"x-amz-server-side-encryption": "AES256"}, {"job": "7"}, {"team": "a b+c"})
    arrived = target.put(sending("a b/ü+1.csv".encode(), b"1,2\n", said))
    key = "out/a b/ü+1.csv"
    assert (arrived.url, arrived.size) == (f"s3://{BUCKET}/{key}", 4)
    head = world.client.head_object(Bucket=BUCKET, Key=key)
    assert (head["ContentType"], head["CacheControl"], head["ContentEncoding"]) == ("text/csv", "max-age=3", "x")
    assert (head["StorageClass"], head["ServerSideEncryption"]) == ("STANDARD_IA", "AES256")
    assert head["Metadata"] == {"job": "7"}
    assert head["ETag"] == f'"{arrived.etag}"'
    tags = world.client.get_object_tagging(Bucket=BUCKET, Key=key)["TagSet"]
    assert tags == [{"Key": "team", "Value": "a b+c"}]


def test_a_listing_is_by_name_over_pages(world: World) -> None:
    world.page = 3
    with closing(to(world, "many")) as target:
        names = sorted([b"%d" % number for number in range(8)] + [b"a/b", "a+ü".encode(), b"a%20b"])
        for name in names:
            target.put(sending(name, name))
        assert [name for name, _ in target.listed()] == names
        assert target.find(b"a/b") == dict(target.listed())[b"a/b"]
        assert target.find(b"none") is None
        assert target.find_url(f"s3://{BUCKET}/many/a/b") == target.find(b"a/b")


def test_a_large_file_goes_in_parts_and_is_known_again(world: World, target: Target) -> None:
    data = os.urandom(2 * PART + 5)
    file = sending(b"large", data, Said("x/y", {}, {"k": "v"}))
    arrived = target.put(file)
    assert parts_sent(world) == 3
    there = world.client.get_object(Bucket=BUCKET, Key="out/large")
    assert (there["Body"].read() == data, there["ContentType"], there["Metadata"]) == (True, "x/y", {"k": "v"})
    found = target.find(b"large")
    assert found is not None
    world.asked.clear()
    assert target.holds(file, found) == arrived
    assert not any(asked.is_write for asked in world.asked)
    assert target.holds(sending(b"large", data, Said("x/z", {}, {"k": "v"})), found) is None
    assert target.holds(sending(b"large", data[:-1] + b"\0\0"[:1], Said("x/y", {}, {"k": "v"})), found) is None


def test_no_more_than_the_parts_under_way_are_sent_again(world: World) -> None:
    """A process that ends in the middle leaves its upload; the next one sends what is not there."""
    data = os.urandom(6 * PART)
    world.refuse = lambda asked: ("503 Slow Down", {}, b"") if "partNumber=4" in asked.query else None
    first = to(world, "resumed")
    with pytest.raises(StorageError, match="write part 4 of"):
        first.put(sending(b"large", data))
    first.close()
    arrived = sum("partNumber" in asked.query and "partNumber=4" not in asked.query for asked in world.asked)
    assert uploads(world) == ["resumed/large"]
    world.refuse = lambda _: None
    world.asked.clear()
    with closing(to(world, "resumed")) as second:
        second.put(sending(b"large", data))
    assert parts_sent(world) == 6 - arrived
    assert world.client.get_object(Bucket=BUCKET, Key="resumed/large")["Body"].read() == data
    assert uploads(world) == []


def test_parts_of_something_else_are_sent_anew(world: World) -> None:
    key = "stale/large"
    left = world.client.create_multipart_upload(Bucket=BUCKET, Key=key, Metadata={"old": "yes"})["UploadId"]
    world.client.upload_part(Bucket=BUCKET, Key=key, UploadId=left, PartNumber=1, Body=bytes(PART))
    data = os.urandom(2 * PART + 1)
    with closing(to(world, "stale")) as target:
        target.put(sending(b"large", data, Said("x/y")))
    there = world.client.get_object(Bucket=BUCKET, Key=key)
    assert (there["Body"].read() == data, there["Metadata"], there["ContentType"]) == (True, {}, "x/y")
    assert uploads(world) == []


def test_what_is_given_up_leaves_nothing_behind(world: World) -> None:
    world.refuse = lambda asked: ("503 Slow Down", {}, b"") if "partNumber=2" in asked.query else None
    with closing(to(world, "given up")) as target:
        with pytest.raises(StorageError):
            target.put(sending(b"large", bytes(3 * PART)))
        assert uploads(world) == ["given up/large"]
        target.abandon()
        assert uploads(world) == []


def test_a_stop_ends_it_and_what_was_sent_can_still_be_cleared(world: World) -> None:
    stop = threading.Event()

    def refuse(asked: Asked) -> None:
        if "partNumber=2" in asked.query:
            stop.set()

    world.refuse = refuse  # type: ignore[assignment]
    with closing(to(world, "stopped", stop)) as target:
        with pytest.raises(Stopped):
            target.put(sending(b"large", bytes(9 * PART)))
        target.abandon()
    assert uploads(world) == []


@pytest.mark.parametrize("what", ["PUT", "uploads", "partNumber=2", "uploadId"])
def test_a_lost_answer_is_made_up_for(world: World, what: str) -> None:
    """Each write once: the request came through, its answer did not."""
    lost: list[Asked] = []

    def lose(asked: Asked) -> bool:
        hit = asked.is_write and (what in asked.query or what == asked.method) and not lost
        lost.extend([asked] if hit else [])
        return hit

    world.lose = lose
    data = os.urandom(3 if what == "PUT" else 3 * PART)
    with closing(to(world, f"lost {what}")) as target:
        arrived = target.put(sending(b"x", data))
    assert lost
    there = world.client.get_object(Bucket=BUCKET, Key=f"lost {what}/x")
    assert (there["Body"].read() == data, there["ETag"]) == (True, f'"{arrived.etag}"')


@pytest.mark.parametrize(
    ("status", "code", "refused"),
    [
        ("403 Forbidden", "AccessDenied", True),
        ("404 Not Found", "NoSuchBucket", True),
        ("400 Bad Request", "InvalidStorageClass", True),
        ("409 Conflict", "OperationAborted", False),
        ("400 Bad Request", "RequestTimeout", False),
    ],
)
def test_refusals_are_told_from_trouble(world: World, status: str, code: str, refused: bool) -> None:
    body = f"<Error><Code>{code}</Code><Message>this is why.</Message></Error>".encode()
    world.refuse = lambda _: (status, {}, body)
    with closing(to(world)) as target, pytest.raises(PlaceRefusedError if refused else StorageError) as caught:
        target.put(sending(b"x", b"1"))
    assert str(caught.value) == f"cannot write s3://{BUCKET}/out/x: S3 answered {status[:3]} {code} (this is why)"
    assert len(world.asked) == (1 if refused else 5)


def test_what_arrived_is_compared_with_what_was_sent(world: World, target: Target) -> None:
    world.refuse = lambda asked: ("200 OK", {"ETag": '"' + "0" * 32 + '"'}, b"") if asked.is_write else None
    with pytest.raises(StorageError, match="what arrived is not what was sent"):
        target.put(sending(b"x", b"1"))
    world.refuse = lambda asked: ("200 OK", {"x-amz-checksum-crc32c": "AAAAAA=="}, b"") if asked.is_write else None
    with pytest.raises(StorageError, match="what arrived is not what was sent"):
        target.put(sending(b"x", b"1"))


@pytest.mark.parametrize(("number", "kind"), [(socket.EAI_NONAME, PlaceRefusedError), (socket.EAI_AGAIN, StorageError)])
def test_a_host_that_nobody_knows_is_a_refusal(
    monkeypatch: pytest.MonkeyPatch, number: int, kind: type[Exception]
) -> None:
    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(number, "no such name")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    monkeypatch.setattr(wire, "FIRST_S", 0.0)
    secret = {"AWS_ACCESS_KEY_ID": "k", "AWS_SECRET_ACCESS_KEY": "top secret", "AWS_REGION": "x"}
    there = open_target("s3://b", Levers(endpoint="http://no-such-host.test:1"), secret)
    with closing(there) as target, pytest.raises(kind) as caught:
        target.put(sending(b"x", b"1"))
    assert "no-such-host.test" in str(caught.value)
    assert "top secret" not in str(caught.value)


def test_a_profile_and_a_secret_say_as_whom(world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    config, shared = tmp_path / "config", tmp_path / "credentials"
    config.write_text("[profile work]\nregion = eu-west-3\n")
    shared.write_text("[work]\naws_access_key_id = mine\naws_secret_access_key = hidden\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(shared))
    monkeypatch.delenv("AWS_DEFAULT_REGION")

    def asks(access: Access) -> tuple[str, str, str]:
        keys = access.keys()
        assert keys is not None
        return keys.id, keys.secret, access.region

    assert asks(find_access(Levers(profile="work"))) == ("mine", "hidden", "eu-west-3")
    assert asks(find_access(Levers(profile="work", region="us-west-2")))[2] == "us-west-2"
    secret = {"AWS_ACCESS_KEY_ID": "s", "AWS_SECRET_ACCESS_KEY": "t", "AWS_ENDPOINT_URL": "http://x:1"}
    access = find_access(Levers(profile="work", region="r", endpoint="http://y"), secret)
    assert (*asks(access), access.endpoint) == ("s", "t", "r", "http://x:1")
    assert "hidden" not in repr(find_access(Levers(profile="work")).keys())
    with pytest.raises(InvalidInputError, match="nobody"):
        find_access(Levers(profile="nobody"))


@pytest.mark.parametrize(
    ("status", "headers", "body"),
    [
        ("301 Moved Permanently", {"x-amz-bucket-region": "eu-west-3"}, b""),
        (
            "400 Bad Request",
            {},
            b"<Error><Code>AuthorizationHeaderMalformed</Code><Message>m</Message><Region>eu-west-3</Region></Error>",
        ),
    ],
)
@pytest.mark.parametrize("told", ["eu-west-3", "eu-west-4"], ids=["it is there", "it is nowhere"])
def test_another_region_is_followed_once(
    world: World, monkeypatch: pytest.MonkeyPatch, status: str, headers: dict[str, str], body: bytes, told: str
) -> None:
    regions: list[str] = []

    def sign(*given: object, **more: object) -> str:
        regions.append(str(more["region"]))
        return signature(*given, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(wire, "signature", sign)
    world.refuse = lambda _: None if regions[-1] == told else (status, headers, body)
    with closing(open_target(f"s3://{BUCKET}/r", Levers(endpoint=world.url, region="us-east-1"))) as target:
        if told == "eu-west-3":
            assert target.put(sending(b"x", b"1")).size == 1
            target.put(sending(b"y", b"1"))
            assert regions == ["us-east-1", "eu-west-3", "eu-west-3"], "it is learnt"
        else:
            with pytest.raises(PlaceRefusedError, match=status[:3]):
                target.put(sending(b"x", b"1"))
            assert regions == ["us-east-1", "eu-west-3"]


def test_where_a_bucket_is() -> None:
    aws = find_access(Levers(region="eu-central-1"))
    assert aws.base_of("bucket", "eu-central-1") == ("https://bucket.s3.eu-central-1.amazonaws.com", "")
    assert aws.base_of("bucket", "us-west-2")[0] == "https://bucket.s3.us-west-2.amazonaws.com"
    assert aws.base_of("dots.in.it", "us-west-2") == ("https://s3.us-west-2.amazonaws.com", "/dots.in.it")
    assert find_access(Levers(endpoint="http://h:9/s3")).base_of("bucket", "x") == ("http://h:9", "/s3/bucket")
    virtual = find_access(Levers(endpoint="http://h:9", addressing="virtual"))
    assert virtual.base_of("bucket", "x") == ("http://bucket.h:9", "")
    assert find_access(Levers(region="eu-central-1", addressing="path")).base_of("b-b", "eu-central-1")[1] == "/b-b"


@given(st.integers(0, 60 << 40))
def test_every_size_fits_into_the_parts_that_there_are(size: int) -> None:
    assert -(-size // part_bytes(size)) <= MOST_PARTS


@given(st.lists(st.binary(max_size=9)), st.integers(1, 7))
def test_parts_are_the_bytes_in_order(pieces: list[bytes], size: int) -> None:
    parts = list(parts_of(pieces, size))
    assert b"".join(parts) == b"".join(pieces)
    assert {len(part) for part in parts[:-1]} <= {size}
    assert all(0 < len(part) <= size for part in parts[-1:])


def test_a_folder_takes_whole_files_with_names_of_files(tmp_path: Path) -> None:
    folder = Folder(str(tmp_path))
    with pytest.raises(PlaceRefusedError, match="cannot be the path of a file"):
        folder.put(sending(b"a//b", b"1"))
    data = os.urandom(3 << 20)

    def broken() -> Pieces:
        yield data[: 1 << 20]
        raise StorageError("read", "it broke")

    with pytest.raises(StorageError, match="it broke"):
        folder.put(Sending(b"a/b", len(data), broken))
    assert [path.name for path in (tmp_path / "a").iterdir() if not path.name.startswith(".")] == []
    arrived = folder.put(sending(b"a/b", data))
    assert (tmp_path / "a/b").read_bytes() == data
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["b"]
    assert arrived.url == (tmp_path / "a/b").as_uri()
    found = folder.find(b"a/b")
    assert found == There(arrived.size, arrived.etag) == folder.find_url(arrived.url)
    assert folder.holds(sending(b"a/b", data), found) == arrived
    assert folder.holds(sending(b"a/b", data[:-1] + bytes([data[-1] ^ 1])), found) is None
    with pytest.raises(StorageError):
        folder.put(Sending(b"a/c", len(data), broken))
    folder.abandon()
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["b"]


def test_a_draft_that_was_left_is_gone_on_with_where_it_differs(tmp_path: Path) -> None:
    folder, data = Folder(str(tmp_path)), os.urandom(5 << 20)

    def broken() -> Pieces:
        yield data[: 3 << 20]
        raise StorageError("read", "it broke")

    with pytest.raises(StorageError):
        folder.put(Sending(b"b", len(data), broken))
    (draft,) = tmp_path.iterdir()
    with draft.open("r+b") as out:
        out.seek(2 << 20)
        out.write(bytes(9))
    folder.put(sending(b"b", data))
    assert {path.name: path.read_bytes() == data for path in tmp_path.iterdir()} == {"b": True}


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EACCES])
@pytest.mark.parametrize("call", ["open", "fsync", "replace"])
def test_a_folder_that_is_full_or_read_only_refuses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, number: int
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    folder = Folder(str(tmp_path))
    with monkeypatch.context() as patch:
        if call == "replace":
            patch.setattr(Path, "replace", fail)
        else:
            patch.setattr(os, call, fail)
        with pytest.raises(PlaceRefusedError) as caught:
            folder.put(sending(b"b", b"1"))
    assert str(caught.value) == f"cannot write {tmp_path}/b: {os.strerror(number)}"
    folder.abandon()
    assert list(tmp_path.iterdir()) == []


def test_a_file_in_the_way_of_a_folder_is_waited_for(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"in the way")
    with pytest.raises(StorageError):
        Folder(str(tmp_path)).put(sending(b"a/b", b"1"))


@pytest.mark.parametrize("name", [b"folder", b"link/x", b"a/link/y/x"])
def test_what_never_mends_by_itself_is_a_refusal(tmp_path: Path, name: bytes) -> None:
    (tmp_path / "folder/inner").mkdir(parents=True)
    (tmp_path / "a").mkdir()
    for link in (tmp_path / "link", tmp_path / "a/link"):
        link.symlink_to(tmp_path / "nowhere")
    with pytest.raises(PlaceRefusedError):
        Folder(str(tmp_path)).put(sending(name, b"1"))
    assert not (tmp_path / "nowhere").exists()


def test_where_no_folder_can_be_made_is_a_refusal() -> None:
    with pytest.raises(PlaceRefusedError):
        Folder("/proc/no such folder").put(sending(b"a", b"1"))


def test_every_request_may_fail_once(world: World) -> None:
    failed: set[tuple[str, str, str]] = set()

    def refuse(asked: Asked) -> tuple[str, dict[str, str], bytes] | None:
        known = (asked.method, asked.key, asked.query.partition("uploadId")[0])
        if known in failed:
            return None
        failed.add(known)
        return "500 Internal Server Error", {}, b"<Error><Code>InternalError</Code></Error>"

    world.refuse = refuse
    data = os.urandom(2 * PART + 1)
    with closing(to(world, "each fails")) as target:
        target.put(sending(b"large", data))
        target.put(sending(b"small", b"1"))
        assert [name for name, _ in target.listed()] == [b"large", b"small"]
    assert len(failed) >= 8
    assert world.client.get_object(Bucket=BUCKET, Key="each fails/large")["Body"].read() == data
    assert "each fails/large" not in uploads(world), "of those whose begin was not answered nobody knows"
