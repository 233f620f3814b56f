"""If-Match and If-None-Match on PutObject, CopyObject, CompleteMultipartUpload."""

from collections.abc import Callable

import pytest

from tests.s3api.conformance.wire import Reply, Wire, refused, text

BASE = b"base"
Write = Callable[[Wire, str, dict[str, str]], Reply]


def put(wire: Wire, path: str, headers: dict[str, str]) -> Reply:
    return wire.put(path, b"new", headers)


def copy(wire: Wire, path: str, headers: dict[str, str]) -> Reply:
    wire.put(f"{path}-source", b"new")
    return wire.put(path, b"", {"x-amz-copy-source": f"{path}-source", **headers})


def complete(wire: Wire, path: str, headers: dict[str, str]) -> Reply:
    upload = text(wire.post(f"{path}?uploads"), "UploadId")
    tag = wire.put(f"{path}?partNumber=1&uploadId={upload}", b"new").headers["etag"]
    part = f"<Part><PartNumber>1</PartNumber><ETag>{tag}</ETag></Part>"
    body = f"<CompleteMultipartUpload>{part}</CompleteMultipartUpload>".encode()
    return wire.post(f"{path}?uploadId={upload}", body, headers)


WRITES = pytest.mark.parametrize("write", [put, copy, complete])


@WRITES
@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({"If-Match": "{tag}"}, ""),
        ({"If-Match": "{bare}"}, ""),
        ({"If-Match": "*"}, ""),
        ({"If-Match": '"ABCORZ"'}, "PreconditionFailed"),
        ({"If-None-Match": "*"}, "PreconditionFailed"),
        ({"If-None-Match": "{tag}"}, "PreconditionFailed"),
        ({"If-None-Match": '"ABCORZ"'}, ""),
        ({"If-Match": "{tag}", "If-None-Match": "*"}, "PreconditionFailed"),
    ],
)
def test_where_there_is_an_object(wire: Wire, bucket: str, write: Write, headers: dict[str, str], code: str) -> None:
    path = f"/{bucket}/k"
    tag = wire.put(path, BASE).headers["etag"]
    reply = write(wire, path, {name: value.format(tag=tag, bare=tag.strip('"')) for name, value in headers.items()})
    if code:
        refused(reply, 412, code)
        assert text(reply, "Condition") == (
            "If-Match" if '"ABCORZ"' in headers.get("If-Match", "") else "If-None-Match"
        )
    else:
        assert reply.status == 200, reply.body
    assert wire.get(path).body == (BASE if code else b"new")


@WRITES
@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        ({"If-None-Match": "*"}, 200, ""),
        ({"If-None-Match": '"ABCORZ"'}, 200, ""),
        ({"If-Match": "*"}, 404, "NoSuchKey"),
        ({"If-Match": '"ABCORZ"'}, 404, "NoSuchKey"),
    ],
)
def test_where_there_is_none(
    wire: Wire, bucket: str, write: Write, headers: dict[str, str], status: int, code: str
) -> None:
    reply = write(wire, f"/{bucket}/k", headers)
    assert (reply.status, reply.code) == (status, code), reply.body
    assert wire.head(f"/{bucket}/k").status == status


@WRITES
def test_where_there_was_one(wire: Wire, bucket: str, write: Write) -> None:
    path = f"/{bucket}/k"
    tag = wire.put(path, BASE).headers["etag"]
    wire.delete(path)
    refused(write(wire, path, {"If-Match": tag}), 404, "NoSuchKey")
    assert write(wire, path, {"If-None-Match": "*"}).status == 200


@pytest.mark.parametrize("header", ["If-Unmodified-Since", "If-Modified-Since"])
@pytest.mark.parametrize("time", ["Sun, 22 Nov 2020 08:00:00 GMT", "Sun, 22 Nov 2099 08:00:00 GMT", "junk"])
def test_conditions_on_time_are_not_passed_over(wire: Wire, bucket: str, header: str, time: str) -> None:
    path = f"/{bucket}/k"
    wire.put(path, BASE)
    upload = text(wire.post(f"{path}?uploads"), "UploadId")
    for method, query, more in [
        ("PUT", "", {}),
        ("PUT", "", {"x-amz-copy-source": f"{bucket}/k", "x-amz-metadata-directive": "REPLACE"}),
        ("DELETE", "", {}),
        ("POST", f"?uploadId={upload}", {}),
        ("PUT", f"?uploadId={upload}&partNumber=1", {}),
        ("PUT", "?tagging", {}),
    ]:
        reply = wire.send(method, path + query, b"", {header: time, **more})
        refused(reply, 501, "NotImplemented")
        assert header in (text(reply, "Header") or "")
    refused(wire.post(f"/{bucket}?delete", b"<Delete/>", {header: time}), 501, "NotImplemented")
    assert wire.get(path).body == BASE


def test_a_folder_is_not_there(wire: Wire, bucket: str) -> None:
    wire.put(f"/{bucket}/dir/k", b"1")
    assert wire.put(f"/{bucket}/dir", b"1", {"If-None-Match": "*"}).status == 200
    assert wire.put(f"/{bucket}/dir/", b"1", {"If-None-Match": "*"}).status == 200
    refused(wire.put(f"/{bucket}/dir/", b"1", {"If-None-Match": "*"}), 412, "PreconditionFailed")


def test_an_upload_whose_condition_failed_can_be_ended_otherwise(wire: Wire, bucket: str) -> None:
    path = f"/{bucket}/k"
    upload = text(wire.post(f"{path}?uploads"), "UploadId")
    tag = wire.put(f"{path}?partNumber=1&uploadId={upload}", b"new").headers["etag"]
    part = f"<Part><PartNumber>1</PartNumber><ETag>{tag}</ETag></Part>"
    body = f"<CompleteMultipartUpload>{part}</CompleteMultipartUpload>".encode()
    wire.put(path, BASE)
    refused(wire.post(f"{path}?uploadId={upload}", body, {"If-None-Match": "*"}), 412, "PreconditionFailed")
    assert wire.post(f"{path}?uploadId={upload}", body).status == 200
    assert wire.get(path).body == b"new"
