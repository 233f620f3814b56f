"""Every error that a client can provoke: status, code, the form of its XML, and what a HEAD says instead."""

from collections.abc import Callable
from dataclasses import dataclass, field
from email.utils import formatdate

import pytest

from s3api.errors import CODES
from tests.s3api.conformance.uploads import begin, part
from tests.s3api.conformance.wire import Reply, Wire, parse, refused, text


@dataclass(frozen=True)
class Provoked:
    """A request that is refused; `{b}` is the bucket, which has an object `k` of 5 bytes."""

    code: str
    method: str
    path: str
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    status: int = 0
    signed: bool = True
    payload: str = "UNSIGNED-PAYLOAD"

    def __str__(self) -> str:
        return f"{self.code} {self.method} {self.path}"

    def send(self, wire: Wire, bucket: str) -> Reply:
        headers = {name: value.format(b=bucket) for name, value in self.headers.items()}
        path = self.path.replace("{b}", bucket)
        return wire.send(self.method, path, self.body, headers, payload=self.payload, sign=self.signed)


SPOILED_V4 = "AWS4-HMAC-SHA256 Credential=X/20260101/us-east-1/s3/aws4_request,SignedHeaders=host,Signature=0"
PROVOKED = [
    Provoked("AccessDenied", "GET", "/{b}/k", signed=False),
    Provoked("AccessDenied", "GET", "/{b}/k", {"x-amz-expected-bucket-owner": "somebody"}),
    Provoked("AccessDenied", "DELETE", "/{b}/k?versionId=" + "0" * 32),
    Provoked("AccessDenied", "PUT", "/" + "0" * 32 + ".{b}"),
    Provoked(
        "AccessForbidden", "OPTIONS", "/{b}/k", {"Origin": "a", "Access-Control-Request-Method": "GET"}, signed=False
    ),
    Provoked("AuthorizationHeaderMalformed", "GET", "/{b}/k", {"Authorization": "AWS4-HMAC-SHA256 X"}, signed=False),
    Provoked("AuthorizationQueryParametersError", "GET", "/{b}/k?X-Amz-Algorithm=AWS4-HMAC-SHA256", signed=False),
    Provoked("BadDigest", "PUT", "/{b}/new", {"Content-MD5": "AAAAAAAAAAAAAAAAAAAAAA=="}, b"hello"),
    Provoked("BadDigest", "PUT", "/{b}/new", {"x-amz-checksum-crc32": "AAAAAA=="}, b"hello"),
    Provoked("BadRequest", "OPTIONS", "/{b}/k", signed=False),
    Provoked("BadRequest", "PUT", "/{b}/new", {"x-amz-tagging": "a&b&c&d&e&f&g&h&i&j&k"}),
    Provoked("BucketNotEmpty", "DELETE", "/{b}"),
    Provoked(
        "IncompleteBody",
        "PUT",
        "/{b}/new",
        {"x-amz-decoded-content-length": "5"},
        b"5\r\nhel",
        payload="STREAMING-UNSIGNED-PAYLOAD-TRAILER",
    ),
    Provoked(
        "IllegalVersioningConfigurationException",
        "PUT",
        "/{b}?versioning",
        body=b"<VersioningConfiguration></VersioningConfiguration>",
    ),
    Provoked(
        "InvalidBucketState",
        "PUT",
        "/{b}?versioning",
        body=b"<VersioningConfiguration><Status>Suspended</Status></VersioningConfiguration>",
    ),
    Provoked("InvalidAccessKeyId", "GET", "/{b}/k", {"Authorization": SPOILED_V4}, signed=False),
    Provoked("InvalidArgument", "GET", "/{b}?max-keys=x"),
    Provoked("InvalidArgument", "GET", "/{b}?list-type=3"),
    Provoked("InvalidArgument", "GET", "/{b}/k", {"Authorization": "Other x"}, signed=False),
    Provoked("InvalidArgument", "PUT", "/{b}/new", {"x-amz-copy-source": "{b}"}),
    Provoked("InvalidArgument", "PUT", "/{b}/new", payload="nonsense"),
    Provoked("InvalidArgument", "GET", "/{b}/k?response-content-type=a%0Ab"),
    Provoked("InvalidBucketName", "PUT", "/a..b"),
    Provoked("InvalidDigest", "PUT", "/{b}/new", {"Content-MD5": "short"}, b"hello"),
    Provoked(
        "InvalidLocationConstraint",
        "PUT",
        "/new-bucket",
        body=b"<CreateBucketConfiguration><LocationConstraint>?</LocationConstraint></CreateBucketConfiguration>",
    ),
    Provoked("InvalidPartNumber", "GET", "/{b}/k?partNumber=2"),
    Provoked("InvalidRange", "GET", "/{b}/k", {"Range": "bytes=5-"}),
    Provoked("InvalidRequest", "PUT", "/{b}/k", {"x-amz-copy-source": "{b}/k"}),
    Provoked("InvalidRequest", "PUT", "/{b}/new", {"x-amz-checksum-crc32": "no"}, b"hello"),
    Provoked("InvalidStorageClass", "PUT", "/{b}/new", {"x-amz-storage-class": "OTHER"}, b"hello"),
    Provoked(
        "InvalidTag",
        "PUT",
        "/{b}/k?tagging",
        body=b"<Tagging><TagSet><Tag><Key></Key><Value/></Tag></TagSet></Tagging>",
    ),
    Provoked("InvalidURI", "PUT", "/{b}/%00"),
    Provoked("KeyTooLongError", "PUT", "/{b}/" + "x" * 1025),
    Provoked("MalformedACLError", "PUT", "/{b}?acl", body=b"<AccessControlPolicy/>"),
    Provoked("MalformedXML", "POST", "/{b}?delete", body=b"<Delete>"),
    Provoked("MaxMessageLengthExceeded", "GET", "/{b}/k", {"x-custom": "x" * (33 << 10)}),
    Provoked("MetadataTooLarge", "PUT", "/{b}/new", {"x-amz-meta-a": "x" * 2049}),
    Provoked("MethodNotAllowed", "POST", "/{b}/k"),
    Provoked("MethodNotAllowed", "PUT", "/"),
    Provoked("MethodNotAllowed", "DELETE", "/"),
    Provoked(
        "MissingContentLength", "PUT", "/{b}/new", body=b"0\r\n\r\n", payload="STREAMING-UNSIGNED-PAYLOAD-TRAILER"
    ),
    Provoked("MissingSecurityHeader", "PUT", "/{b}/k?acl"),
    Provoked("NoSuchBucket", "GET", "/nobody-has-this"),
    Provoked("NoSuchBucket", "GET", "/" + "0" * 32 + ".{b}"),
    Provoked("NoSuchBucket", "GET", "/nobranch.{b}"),
    Provoked("NoSuchCORSConfiguration", "GET", "/{b}?cors"),
    Provoked("NoSuchKey", "GET", "/{b}/none"),
    Provoked("NoSuchKey", "DELETE", "/{b}/none", {"If-Match": "*"}),
    Provoked("NoSuchKey", "PUT", "/{b}/new", {"If-Match": "*"}),
    Provoked("NoSuchTagSet", "GET", "/{b}?tagging"),
    Provoked("NoSuchUpload", "GET", "/{b}/k?uploadId=none"),
    Provoked("NoSuchVersion", "GET", "/{b}/k?versionId=" + "0" * 32),
    Provoked("NotImplemented", "GET", "/{b}?policy"),
    Provoked("NotImplemented", "PATCH", "/{b}/k"),
    Provoked("NotImplemented", "PUT", "/{b}/new", {"x-amz-server-side-encryption": "AES256"}),
    Provoked("PreconditionFailed", "GET", "/{b}/k", {"If-Match": '"x"'}),
    Provoked("PreconditionFailed", "DELETE", "/{b}/k", {"x-amz-if-match-size": "6"}),
    Provoked("PreconditionFailed", "PUT", "/{b}/k", {"If-None-Match": "*"}),
    Provoked(
        "RequestTimeTooSkewed",
        "GET",
        "/{b}/k",
        {"X-Amz-Date": "20200101T000000Z", "Authorization": "{v2}"},
        signed=False,
    ),
    Provoked("SignatureDoesNotMatch", "GET", "/{b}/k", {"Authorization": "{v2}"}, signed=False),
    Provoked("UnexpectedContent", "PUT", "/{b}?acl", {"x-amz-acl": "private"}, b"<AccessControlPolicy/>"),
    Provoked("XAmzContentSHA256Mismatch", "PUT", "/{b}/new", body=b"hello", payload="0" * 64),
]


@pytest.mark.parametrize("provoked", PROVOKED, ids=str)
def test_errors_in_their_form(wire: Wire, bucket: str, provoked: Provoked) -> None:
    wire.put(f"/{bucket}/k", b"hello")
    if provoked.headers.get("Authorization") == "{v2}":
        headers = {**provoked.headers, "Authorization": f"AWS {wire.server.key.access_key}:AAAA"}
        headers.setdefault("Date", formatdate(usegmt=True))
        provoked = Provoked(provoked.code, provoked.method, provoked.path, headers, signed=False)
    reply = provoked.send(wire, bucket)
    refused(reply, CODES[provoked.code][0], provoked.code)
    assert text(reply, "Resource") is not None
    assert int(reply.headers["content-length"]) == len(reply.body)
    assert wire.head(f"/{bucket}/new").status == 404
    assert wire.get(f"/{bucket}/k").body == b"hello"


HEADS = [one for one in PROVOKED if one.method == "GET" and "?" not in one.path and "{v2}" not in one.headers.values()]


@pytest.mark.parametrize("provoked", HEADS, ids=str)
def test_a_head_has_the_status_and_no_body(wire: Wire, bucket: str, provoked: Provoked) -> None:
    wire.put(f"/{bucket}/k", b"hello")
    asked = Provoked(provoked.code, "HEAD", provoked.path, provoked.headers, signed=provoked.signed)
    reply = asked.send(wire, bucket)
    assert (reply.status, reply.body) == (CODES[provoked.code][0], b"")
    assert reply.headers["x-amz-request-id"]


Made = Callable[[Wire, str], Reply]


def entity_too_small(wire: Wire, bucket: str) -> Reply:
    upload = begin(wire, f"/{bucket}/new")
    upload.put(1, b"1")
    upload.put(2, b"2")
    return upload.complete()


def invalid_part(wire: Wire, bucket: str) -> Reply:
    upload = begin(wire, f"/{bucket}/new")
    return upload.complete(parts=part(1, "a"))


def invalid_part_order(wire: Wire, bucket: str) -> Reply:
    upload = begin(wire, f"/{bucket}/new")
    return upload.complete(parts=part(2, "a") + part(1, "a"))


STEPS = {"EntityTooSmall": entity_too_small, "InvalidPart": invalid_part, "InvalidPartOrder": invalid_part_order}


@pytest.mark.parametrize("code", STEPS)
def test_errors_of_several_steps(wire: Wire, bucket: str, code: str) -> None:
    reply = STEPS[code](wire, bucket)
    refused(reply, 400, code)
    found = {element.tag for element in parse(reply)}
    assert code != "EntityTooSmall" or {"ProposedSize", "MinSizeAllowed", "PartNumber", "ETag"} <= found
    assert code != "InvalidPart" or {"PartNumber", "ETag", "UploadId"} <= found


ELSEWHERE = {
    "BucketAlreadyOwnedByYou": "us-east-1 answers 200",
    "ConditionalRequestConflict": "needs a writer in between",
    "EntityTooLarge": "of forms",
    "IllegalLocationConstraintException": "every region is this one",
    "InsufficientStorage": "needs a full disk",
    "InternalError": "needs a damaged store",
    "InvalidObjectState": "needs a store with an archive, tested there",
    "InvalidPolicyDocument": "of forms, tested there",
    "InvalidToken": "of session tokens, tested with the signatures",
    "MalformedPOSTRequest": "of forms, tested there",
    "MaxPostPreDataLengthExceeded": "of forms, tested there",
    "OperationAborted": "needs a writer in between",
    "RequestTimeout": "needs a client that stops",
    "ServiceUnavailable": "needs a damaged store",
    "SlowDown": "needs a collection in between",
    "TooManyBuckets": "of tasks, tested with their outputs",
}
"""What one request alone does not provoke here."""


def test_no_error_is_left_out() -> None:
    provoked = {one.code for one in PROVOKED} | STEPS.keys()
    assert not provoked & ELSEWHERE.keys()
    missing = CODES.keys() - provoked - ELSEWHERE.keys()
    assert not missing, f"provoke these above, or say why not: {sorted(missing)}"


def test_texts_of_errors_are_escaped(wire: Wire, bucket: str) -> None:
    reply = wire.get(f"/{bucket}/%3Cb%3E%26%01%C3%A9")
    refused(reply, 404, "NoSuchKey")
    assert text(reply, "Key") == "<b>&\ufffdé"


def test_a_request_of_every_answer_has_its_own_id(wire: Wire, bucket: str) -> None:
    ids = {wire.get(f"/{bucket}/none").headers["x-amz-request-id"] for _ in range(5)}
    assert len(ids) == 5
    assert len({wire.head(f"/{bucket}").headers["x-amz-id-2"] for _ in range(2)}) == 1
