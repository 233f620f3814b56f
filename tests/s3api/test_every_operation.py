"""Every operation that botocore knows of S3 is served as itself, or refused by its own name. None falls through."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import pytest
from botocore.loaders import Loader

from s3api.errors import S3Error
from s3api.http.request import parse_request
from s3api.router import ROUTES, route
from s3api.unserved import UNSERVED_NAMES
from tests.s3api.conftest import Server

Shape = Mapping[str, object]
MODEL = Loader().load_service_model("s3", "service-2")
NEWER = {
    "GetBucketLifecycle": "GetBucketLifecycleConfiguration",
    "GetBucketNotification": "GetBucketNotificationConfiguration",
    "PutBucketLifecycle": "PutBucketLifecycleConfiguration",
    "PutBucketNotification": "PutBucketNotificationConfiguration",
}
"""Older names of the same requests."""
VALUES = {
    "partNumber": "1",
    "uploadId": "0" * 32,
    "x-amz-copy-source": "b/other",
    "x-amz-object-attributes": "ETag",
    "x-amz-mp-object-size": "0",
}


@dataclass(frozen=True)
class Asked:
    """The plainest request for an operation: what its model says that must be there."""

    name: str
    method: str
    path: str
    headers: dict[str, str]

    def __str__(self) -> str:
        return self.name


def operations() -> Iterator[Asked]:
    for name, operation in MODEL["operations"].items():
        shape = MODEL["shapes"].get(operation.get("input", {}).get("shape"), {})
        required = [shape["members"][member] for member in shape.get("required", ())]
        query = [f"{m['locationName']}={value_of(m)}" for m in required if m.get("location") == "querystring"]
        headers = {m["locationName"]: value_of(m) for m in required if m.get("location") == "header"}
        path = operation["http"]["requestUri"].replace("{Bucket}", "b").replace("{Key+}", "k")
        if name == "ListDirectoryBuckets":
            query.append("x-id=ListDirectoryBuckets")  # all that tells it from ListBuckets but for another host
        mark = "&" if "?" in path else "?"
        yield Asked(name, operation["http"]["method"], path + (mark + "&".join(query) if query else ""), headers)


def value_of(member: Shape) -> str:
    return VALUES.get(str(member["locationName"]), "x")


ALL = list(operations())
SERVED = {one.operation.__name__ for routes in ROUTES.values() for one in routes}


def test_the_model_is_that_of_s3() -> None:
    assert len(ALL) >= 100
    assert {"GetObject", "ListObjectsV2", "CreateMultipartUpload"} <= {one.name for one in ALL}


@pytest.mark.parametrize("asked", ALL, ids=str)
def test_it_is_served_as_itself_or_refused_by_its_name(asked: Asked) -> None:
    name = NEWER.get(asked.name, asked.name)
    assert (name in SERVED) != (name in UNSERVED_NAMES)
    path, _, query = asked.path.partition("?")
    headers = [(key.encode(), value.encode()) for key, value in asked.headers.items()]
    request = parse_request(asked.method, path.encode(), query.encode(), headers=headers)
    if name in SERVED:
        assert type(route(request)).__name__ == name
    else:
        with pytest.raises(S3Error) as refused:
            route(request)
        assert (refused.value.code, refused.value.fields) == ("NotImplemented", {"Header": name})


@pytest.mark.parametrize("asked", [one for one in ALL if one.name not in SERVED], ids=str)
def test_who_asks_over_http_is_told_the_name(server: Server, asked: Asked) -> None:
    reply = server.request(asked.method, asked.path, headers=asked.headers)
    assert (reply.status, reply.code) == (501, "NotImplemented")
    assert f"<Message>{NEWER.get(asked.name, asked.name)} is not implemented</Message>".encode() in reply.body


def test_what_is_refused_is_known_to_s3() -> None:
    known = {one.name for one in ALL}
    assert known >= UNSERVED_NAMES
    assert known | {"PostObject"} >= SERVED
