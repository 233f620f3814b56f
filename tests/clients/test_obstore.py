"""obstore: the Rust crate object_store, on which delta-rs and Lance build too."""

from __future__ import annotations

import urllib.request
from datetime import timedelta

import obstore
import pytest
from obstore.exceptions import AlreadyExistsError, BaseError, PermissionDeniedError, PreconditionError
from obstore.store import S3Store

from tests.clients.samples import MIB, ODD_KEYS, SIZES, content
from tests.clients.served import KEPT, MANY, Endpoint

pytestmark = [pytest.mark.client("obstore"), pytest.mark.usefixtures("trusted")]


def connect(endpoint: Endpoint, bucket: str, *, reader: bool = False) -> S3Store:
    access_key, secret_key = endpoint.keys(reader=reader)
    return S3Store(
        bucket,
        endpoint=endpoint.url,
        access_key_id=access_key,
        secret_access_key=secret_key,
        region="us-east-1",
        client_options={"allow_http": True},
        virtual_hosted_style_request=False,
    )


@pytest.fixture
def store(endpoint: Endpoint, bucket: str) -> S3Store:
    return connect(endpoint, bucket)


def get(store: S3Store, key: str) -> bytes:
    return bytes(obstore.get(store, key).bytes())


@pytest.mark.parametrize("name", SIZES)
def test_transfers(store: S3Store, name: str) -> None:
    data = content(SIZES[name])
    attributes = {"Content-Type": "image/x-raw", "Cache-Control": "no-cache", "by": "a test"}
    obstore.put(store, name, data, attributes=attributes, use_multipart=name == "parts", chunk_size=5 * MIB)
    found = obstore.get(store, name)
    assert bytes(found.bytes()) == data
    assert attributes.items() <= dict(found.attributes).items()
    with obstore.open_writer(store, "written", buffer_size=5 * MIB) as writer:
        writer.write(data)
    assert b"".join(map(bytes, obstore.get(store, "written").stream(min_chunk_size=MIB))) == data
    assert obstore.head(store, name)["size"] == len(data)


def test_odd_keys(store: S3Store) -> None:
    for key in ODD_KEYS:
        obstore.put(store, key, key.encode())
    assert sorted(item["path"] for batch in obstore.list(store) for item in batch) == sorted(ODD_KEYS)
    assert obstore.list_with_delimiter(store)["common_prefixes"] == ["漢字"]
    for key in ODD_KEYS:
        assert get(store, key) == key.encode()
        obstore.copy(store, key, f"copy/{key}")
        obstore.rename(store, f"copy/{key}", f"moved/{key}")
        assert get(store, f"moved/{key}") == key.encode()
    obstore.delete(store, [*ODD_KEYS, *(f"moved/{key}" for key in ODD_KEYS)])
    assert [item for batch in obstore.list(store) for item in batch] == []


def test_lists_and_ranges(endpoint: Endpoint) -> None:
    store = connect(endpoint, endpoint.many)
    expected = [f"key-{number:04}" for number in range(MANY)]
    assert [item["path"] for batch in obstore.list(store) for item in batch] == expected
    after = obstore.list(store, offset="key-1198")
    assert [item["path"] for batch in after for item in batch] == expected[1199:]
    kept, data = connect(endpoint, endpoint.kept), KEPT["sub/big.bin"]
    assert bytes(obstore.get_range(kept, "sub/big.bin", start=1000, end=2000)) == data[1000:2000]
    assert bytes(obstore.get(kept, "sub/big.bin", options={"range": {"suffix": 7}}).bytes()) == data[-7:]
    assert bytes(obstore.get(kept, "sub/big.bin", options={"range": {"offset": MIB - 9}}).bytes()) == data[-9:]
    ranges = obstore.get_ranges(kept, "sub/big.bin", starts=[0, 700_000], ends=[10, 700_010])
    assert [bytes(part) for part in ranges] == [data[:10], data[700_000:700_010]]


def test_conditions(store: S3Store) -> None:
    first = obstore.put(store, "k", b"1", mode="create")
    with pytest.raises(AlreadyExistsError):
        obstore.put(store, "k", b"2", mode="create")
    second = obstore.put(store, "k", b"2", mode={"e_tag": first["e_tag"]})
    with pytest.raises(PreconditionError):
        obstore.put(store, "k", b"3", mode={"e_tag": first["e_tag"]})
    assert get(store, "k") == b"2"
    assert bytes(obstore.get(store, "k", options={"version": first["version"]}).bytes()) == b"1"
    with pytest.raises(PreconditionError):
        obstore.get(store, "k", options={"if_match": first["e_tag"]})
    assert obstore.head(store, "k")["e_tag"] == second["e_tag"]
    obstore.delete(store, "k")
    with pytest.raises(FileNotFoundError):
        get(store, "k")


def test_a_writer_that_fails(store: S3Store, endpoint: Endpoint, bucket: str) -> None:
    def fail() -> None:
        with obstore.open_writer(store, "k", buffer_size=5 * MIB) as writer:
            writer.write(content(12 * MIB))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert endpoint.uploads(bucket) == []
    with pytest.raises(FileNotFoundError):
        get(store, "k")


def test_refusals(endpoint: Endpoint) -> None:
    with pytest.raises(FileNotFoundError):
        obstore.put(connect(endpoint, "no-such-bucket"), "k", b"x")
    with pytest.raises(BaseError, match="NoSuchBucket"):
        list(obstore.list(connect(endpoint, "no-such-bucket")))
    for store in (connect(endpoint, endpoint.frozen), connect(endpoint, endpoint.kept, reader=True)):
        assert get(store, "kept.txt") == KEPT["kept.txt"]
        with pytest.raises(PermissionDeniedError, match="AccessDenied"):
            obstore.put(store, "new", b"x")
        with pytest.raises(BaseError, match="AccessDenied"):
            obstore.put(store, "new", content(9 * MIB), use_multipart=True, chunk_size=5 * MIB)
        with pytest.raises(BaseError, match="AccessDenied"):
            obstore.delete(store, "kept.txt")


def test_presigned(store: S3Store) -> None:
    key = "umlaut-äöü +&.txt"
    url = obstore.sign(store, "PUT", key, timedelta(minutes=1))
    with urllib.request.urlopen(urllib.request.Request(url, data=b"by url", method="PUT"), timeout=30) as answer:
        assert answer.status == 200
    with urllib.request.urlopen(obstore.sign(store, "GET", key, timedelta(minutes=1)), timeout=30) as answer:
        assert answer.read() == b"by url"
