"""Multipart uploads: begin, parts, complete, abort, lists."""

import base64
import hashlib
import zlib
from datetime import datetime
from email.utils import formatdate
from urllib.parse import quote, unquote

import pytest

from tests.s3api.conformance.uploads import PART, Upload, begin, part
from tests.s3api.conformance.wire import Wire, parse, refused, text, texts


@pytest.fixture
def upload(wire: Wire, bucket: str) -> Upload:
    return begin(wire, f"/{bucket}/dir/k", {"Content-Type": "text/x", "x-amz-meta-a": "1"})


def test_what_the_beginning_answers(wire: Wire, bucket: str) -> None:
    reply = wire.post(f"/{bucket}/a%20b?uploads")
    assert parse(reply).tag == "InitiateMultipartUploadResult"
    assert (text(reply, "Bucket"), text(reply, "Key")) == (bucket, "a b")
    assert text(reply, "UploadId") != text(wire.post(f"/{bucket}/a%20b?uploads"), "UploadId")
    assert wire.head(f"/{bucket}/a%20b").status == 404


def test_parts_out_of_order_become_one_object(wire: Wire, bucket: str, upload: Upload) -> None:
    tail = b"the end"
    assert upload.put(7, tail).headers["etag"] == f'"{hashlib.md5(tail).hexdigest()}"'
    upload.put(2, PART)
    reply = upload.complete()
    assert (reply.status, parse(reply).tag) == (200, "CompleteMultipartUploadResult")
    both = hashlib.md5(hashlib.md5(PART).digest() + hashlib.md5(tail).digest()).hexdigest()
    assert text(reply, "ETag") == f'"{both}-2"'
    assert (text(reply, "Bucket"), text(reply, "Key")) == (bucket, "dir/k")
    assert text(reply, "Location") == f"{wire.server.url}/{bucket}/dir/k"
    got = wire.get(f"/{bucket}/dir/k")
    assert got.body == PART + tail
    assert got.headers["etag"] == f'"{both}-2"'
    assert reply.headers["x-amz-version-id"] == got.headers["x-amz-version-id"]
    assert (got.headers["content-type"], got.headers["x-amz-meta-a"]) == ("text/x", "1")
    refused(upload.parts(), 404, "NoSuchUpload")


def test_a_part_sent_again_counts_last(wire: Wire, upload: Upload) -> None:
    first = upload.put(1, b"first").headers["etag"]
    upload.put(1, b"second")
    refused(upload.complete(parts=part(1, first)), 400, "InvalidPart")
    assert upload.complete().status == 200
    assert wire.get(upload.path).body == b"second"


def test_parts_that_are_not_listed_are_left_out(wire: Wire, upload: Upload) -> None:
    tag = upload.put(1, b"one").headers["etag"]
    upload.put(2, b"two")
    assert upload.complete(parts=part(1, tag)).status == 200
    assert wire.get(upload.path).body == b"one"


@pytest.mark.parametrize("spelled", ["{tag}", "{bare}", "&quot;{bare}&quot;", " {tag} "])
def test_etags_with_and_without_quotes(upload: Upload, spelled: str) -> None:
    tag = upload.put(1, b"one").headers["etag"]
    assert upload.complete(parts=part(1, spelled.format(tag=tag, bare=tag.strip('"')))).status == 200


LISTS = [
    ("", "MalformedXML"),
    ("<Part/>", "MalformedXML"),
    ("<Part><PartNumber>1</PartNumber></Part>", "MalformedXML"),
    ("<Part><PartNumber>x</PartNumber><ETag>a</ETag></Part>", "MalformedXML"),
    ("<Part><ETag>{1}</ETag></Part>", "MalformedXML"),
    (part(1, "{1}") + "<Part>", "MalformedXML"),
    (part(2, "{2}") + part(1, "{1}"), "InvalidPartOrder"),
    (part(1, "{1}") + part(1, "{1}"), "InvalidPartOrder"),
    (part(1, "ffffffffffffffffffffffffffffffff"), "InvalidPart"),
    (part(1, "{1}") + part(3, "{1}"), "InvalidPart"),
    (part(9999, "{1}"), "InvalidPart"),
    (part(1, "{1}") + part(2, "{2}"), "EntityTooSmall"),
]


@pytest.mark.parametrize(("parts", "code"), LISTS, ids=range(len(LISTS)))
def test_lists_that_are_refused_leave_the_upload(wire: Wire, upload: Upload, parts: str, code: str) -> None:
    tags = {number: upload.put(number, b"small").headers["etag"] for number in (1, 2)}
    filled = parts.replace("{1}", tags[1]).replace("{2}", tags[2])
    refused(upload.complete(parts=filled), 400, code)
    assert wire.head(upload.path).status == 404
    assert texts(upload.parts(), "Part/PartNumber") == ["1", "2"]


@pytest.mark.parametrize("number", ["0", "10001", "-1", "x", "", "1.5", "99999999999", "00000000011111"])
def test_part_numbers_that_are_none(wire: Wire, upload: Upload, number: str) -> None:
    reply = wire.put(f"{upload.path}?partNumber={number}&uploadId={upload.id}", b"1")
    refused(reply, 400, "InvalidArgument")
    assert (text(reply, "ArgumentName"), text(reply, "ArgumentValue")) == ("partNumber", number)
    assert texts(upload.parts(), "Part") == []


@pytest.mark.parametrize("digits", ["\u0661", "\uff11", "\u0967"])
def test_numbers_have_ascii_digits(wire: Wire, upload: Upload, digits: str) -> None:
    tag = upload.put(1, b"one").headers["etag"]
    refused(upload.complete(parts=part(1, tag).replace(">1<", f">{digits}<")), 400, "MalformedXML")
    encoded, bucket = quote(digits), upload.path.rsplit("/", 2)[0]
    refused(wire.put(f"{upload.path}?partNumber={encoded}&uploadId={upload.id}", b"1"), 400, "InvalidArgument")
    for query in ("max-keys=", "list-type=2&max-keys=", "uploads&max-uploads=", "versions&max-keys="):
        refused(wire.get(f"{bucket}?{query}{encoded}"), 400, "InvalidArgument")
    refused(wire.get(f"{upload.path}?uploadId={upload.id}&max-parts={encoded}"), 400, "InvalidArgument")
    assert upload.complete().status == 200
    refused(wire.get(f"{upload.path}?partNumber={encoded}"), 400, "InvalidArgument")
    cors = "<CORSRule><AllowedOrigin>*</AllowedOrigin><AllowedMethod>GET</AllowedMethod>"
    cors += f"<MaxAgeSeconds>{digits}</MaxAgeSeconds></CORSRule>"
    body = f"<CORSConfiguration>{cors}</CORSConfiguration>".encode()
    refused(wire.put(f"{bucket}?cors", body), 400, "MalformedXML")


def test_a_part_has_the_checksum_of_its_upload(wire: Wire, bucket: str) -> None:
    sha1 = base64.b64encode(hashlib.sha1(b"one").digest()).decode()
    crc = base64.b64encode(zlib.crc32(b"one").to_bytes(4, "big")).decode()
    upload = begin(wire, f"/{bucket}/k", {"x-amz-checksum-algorithm": "CRC32"})
    reply = upload.put(1, b"one", {"x-amz-checksum-sha1": sha1})
    refused(reply, 400, "InvalidRequest")
    assert text(reply, "Message") == (
        "Checksum Type mismatch occurred, expected checksum Type: crc32, actual checksum Type: sha1"
    )
    assert texts(upload.parts(), "Part") == []
    assert upload.put(1, b"one", {"x-amz-checksum-crc32": crc}).status == 200
    plain = begin(wire, f"/{bucket}/plain")
    assert plain.put(1, b"one", {"x-amz-checksum-sha1": sha1}).status == 200
    assert plain.complete().status == upload.complete().status == 200


def test_a_part_number_goes_with_an_upload(wire: Wire, bucket: str, upload: Upload) -> None:
    for headers in ({}, {"x-amz-copy-source": f"{bucket}/k"}):
        reply = wire.put(f"{upload.path}?partNumber=1", b"", headers)
        refused(reply, 400, "InvalidArgument")
        assert (text(reply, "ArgumentName"), text(reply, "ArgumentValue")) == ("partNumber", "partNumber")
        reply = wire.put(f"{upload.path}?uploadId={upload.id}", b"", headers)
        refused(reply, 405, "MethodNotAllowed")
        assert text(reply, "ResourceType") == "UPLOAD"
    assert wire.head(upload.path).status == 404


@pytest.mark.parametrize("key", ["a\x01b", "a\uffffb", "a\rb", "a\nb"])
def test_uploads_of_odd_keys_are_listed(wire: Wire, bucket: str, key: str) -> None:
    begin(wire, f"/{bucket}/{quote(key)}")
    for query in ("", "&encoding-type=url", f"&prefix={quote(key[:2])}", "&delimiter=b"):
        reply = wire.get(f"/{bucket}?uploads{query}")
        assert text(reply, "EncodingType") == ("url" if "encoding" in query or key[1] in "\x01\uffff" else None)
        shown = texts(reply, "CommonPrefixes/Prefix" if "delimiter" in query else "Upload/Key")
        assert [unquote(one) if text(reply, "EncodingType") else one for one in shown] == [key]


def test_the_least_and_the_greatest_part_number(upload: Upload) -> None:
    assert upload.put(1, b"1").status == upload.put(10_000, b"2").status == 200
    assert texts(upload.parts(), "Part/PartNumber") == ["1", "10000"]


@pytest.mark.parametrize("made_up", ["0" * 32, "none", "", "..%2F..", "%00"])
def test_uploads_that_are_not_there(wire: Wire, bucket: str, made_up: str) -> None:
    path = f"/{bucket}/k"
    body = f"<CompleteMultipartUpload>{part(1, 'a')}</CompleteMultipartUpload>".encode()
    for reply in (
        wire.put(f"{path}?partNumber=1&uploadId={made_up}", b"1"),
        wire.get(f"{path}?uploadId={made_up}"),
        wire.post(f"{path}?uploadId={made_up}", body),
        wire.delete(f"{path}?uploadId={made_up}"),
    ):
        refused(reply, 404, "NoSuchUpload")
        assert text(reply, "UploadId") is not None


def test_an_upload_is_of_its_key(wire: Wire, bucket: str, upload: Upload) -> None:
    other = Upload(wire, f"/{bucket}/other", upload.id)
    refused(other.put(1, b"1"), 404, "NoSuchUpload")
    refused(other.parts(), 404, "NoSuchUpload")
    refused(other.abort(), 404, "NoSuchUpload")
    assert upload.put(1, b"1").status == 200


def test_abort(wire: Wire, bucket: str, upload: Upload) -> None:
    upload.put(1, b"1")
    reply = upload.abort()
    assert (reply.status, reply.body) == (204, b"")
    for after in (upload.put(2, b"2"), upload.parts(), upload.complete(), upload.abort()):
        refused(after, 404, "NoSuchUpload")
    assert texts(wire.get(f"/{bucket}?uploads"), "Upload/Key") == []
    assert wire.head(upload.path).status == 404


def test_complete_twice_answers_the_same(wire: Wire, upload: Upload) -> None:
    upload.put(1, b"1")
    first, second = upload.complete(), upload.complete()
    assert (second.status, text(second, "ETag")) == (200, text(first, "ETag"))
    assert second.headers["x-amz-version-id"] == first.headers["x-amz-version-id"]
    refused(upload.put(2, b"2"), 404, "NoSuchUpload")


def test_an_upload_over_an_object(wire: Wire, upload: Upload) -> None:
    wire.put(upload.path, b"old", {"x-amz-meta-b": "2"})
    upload.put(1, b"new")
    assert wire.get(upload.path).body == b"old"
    upload.complete()
    got = wire.get(upload.path)
    assert (got.body, got.headers.get("x-amz-meta-b")) == (b"new", None)


@pytest.mark.parametrize(("size", "status"), [("7", 200), ("8", 400)])
def test_the_announced_size(upload: Upload, size: str, status: int) -> None:
    upload.put(1, b"7 bytes")
    assert upload.complete({"x-amz-mp-object-size": size}).status == status


def test_what_the_list_of_parts_says(bucket: str, upload: Upload) -> None:
    upload.put(1, b"one")
    upload.put(3, b"three")
    reply = upload.parts()
    assert parse(reply).tag == "ListPartsResult"
    wanted = {"Bucket": bucket, "Key": "dir/k", "UploadId": upload.id, "StorageClass": "STANDARD", "MaxParts": "1000"}
    wanted |= {"PartNumberMarker": "0", "NextPartNumberMarker": "3", "IsTruncated": "false", "Owner/ID": "pfs"}
    assert {name: text(reply, name) for name in wanted} == wanted
    assert texts(reply, "Part/Size") == ["3", "5"]
    assert texts(reply, "Part/ETag") == [upload.tags[1], upload.tags[3]]
    assert len(texts(reply, "Part/LastModified")) == 2
    assert text(reply, "Initiator/ID")


def test_pages_of_parts(upload: Upload) -> None:
    for number in (1, 2, 5, 9, 10):
        upload.put(number, b"x")
    found, marker = list[str](), "0"
    for _ in range(3):
        reply = upload.parts(f"&max-parts=2&part-number-marker={marker}")
        found += texts(reply, "Part/PartNumber")
        marker = text(reply, "NextPartNumberMarker") or ""
    assert found == ["1", "2", "5", "9", "10"]
    assert text(reply, "IsTruncated") == "false"
    assert texts(upload.parts("&part-number-marker=5"), "Part/PartNumber") == ["9", "10"]
    assert texts(upload.parts("&max-parts=0"), "Part/PartNumber") == []
    for query in ("max-parts=-1", "max-parts=x", "part-number-marker=-1", "part-number-marker=x"):
        refused(upload.parts(f"&{query}"), 400, "InvalidArgument")


def test_what_the_list_of_uploads_says(wire: Wire, bucket: str) -> None:
    keys = ["a", "b c", "dir/x", "dir/y", "dir/y", "ü"]
    begun = [begin(wire, f"/{bucket}/{quote(key)}") for key in keys]
    reply = wire.get(f"/{bucket}?uploads")
    assert parse(reply).tag == "ListMultipartUploadsResult"
    assert texts(reply, "Upload/Key") == keys
    assert sorted(texts(reply, "Upload/UploadId")) == sorted(one.id for one in begun)
    assert texts(reply, "Upload/Owner/ID") == ["pfs"] * 6
    assert len(texts(reply, "Upload/Initiated")) == 6
    wanted = {"Bucket": bucket, "KeyMarker": "", "UploadIdMarker": "", "MaxUploads": "1000", "IsTruncated": "false"}
    assert {name: text(reply, name) for name in wanted} == wanted
    split = wire.get(f"/{bucket}?uploads&delimiter=%2F")
    assert (texts(split, "Upload/Key"), texts(split, "CommonPrefixes/Prefix")) == (["a", "b c", "ü"], ["dir/"])
    assert texts(wire.get(f"/{bucket}?uploads&prefix=dir%2F"), "Upload/Key") == keys[2:5]
    coded = wire.get(f"/{bucket}?uploads&encoding-type=url")
    assert texts(coded, "Upload/Key") == [quote(key) for key in keys]
    assert text(coded, "EncodingType") == "url"


@pytest.mark.parametrize("delimiter", ["", "/"])
def test_pages_of_uploads(wire: Wire, bucket: str, delimiter: str) -> None:
    for key in ("a", "b", "b", "b", "dir/x", "dir/y"):
        begin(wire, f"/{bucket}/{key}")
    query = f"/{bucket}?uploads&delimiter={quote(delimiter, safe='')}"
    found, marker, more = list[str](), "", True
    while more:
        reply = wire.get(f"{query}&max-uploads=1{marker}")
        found += texts(reply, "Upload/Key") + texts(reply, "CommonPrefixes/Prefix")
        more = text(reply, "IsTruncated") == "true"
        key, upload_id = text(reply, "NextKeyMarker") or "", text(reply, "NextUploadIdMarker") or ""
        marker = f"&key-marker={quote(key, safe='')}&upload-id-marker={upload_id}"
        assert len(found) < 10
    assert found == ["a", "b", "b", "b", *(["dir/"] if delimiter else ["dir/x", "dir/y"])]
    assert texts(wire.get(f"/{bucket}?uploads&key-marker=b"), "Upload/Key") == ["dir/x", "dir/y"]
    for wrong in ("max-uploads=x", "max-uploads=-1", "encoding-type=x"):
        refused(wire.get(f"/{bucket}?uploads&{wrong}"), 400, "InvalidArgument")


@pytest.mark.parametrize("body", [b"", b"<CompleteMultipartUpload/>", b"x", b"<Other/>"])
def test_completing_with_nothing(wire: Wire, upload: Upload, body: bytes) -> None:
    upload.put(1, b"1")
    refused(wire.post(f"{upload.path}?uploadId={upload.id}", body), 400, "MalformedXML")
    assert texts(upload.parts(), "Part/PartNumber") == ["1"]


def test_a_bucket_with_uploads_is_empty(wire: Wire, bucket: str, upload: Upload) -> None:
    assert upload.put(1, b"1").status == 200
    assert wire.delete(f"/{bucket}").status == 204
    assert wire.put(f"/{bucket}").status == 200
    refused(upload.parts(), 404, "NoSuchUpload")


def test_abort_of_an_upload_that_was_begun_then(wire: Wire, bucket: str, upload: Upload) -> None:
    initiated = text(wire.get(f"/{bucket}?uploads"), "Upload/Initiated") or ""
    seconds = datetime.fromisoformat(initiated).timestamp()
    for shift, status in ((-60, 412), (0, 204)):
        header = {"x-amz-if-match-initiated-time": formatdate(seconds + shift, usegmt=True)}
        assert wire.delete(f"{upload.path}?uploadId={upload.id}", header).status == status
