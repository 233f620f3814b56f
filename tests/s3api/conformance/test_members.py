"""Every member of every request and answer of the operations that are served, out of botocore's model.

A member of a request is honoured, means nothing here, or is refused; none is left out. A member of an answer comes, or
never does. What honoured members do is tested with their operations; here, that all of them are known and taken.
"""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime

import botocore.session
import pytest
from botocore import xform_name
from botocore.client import BaseClient
from botocore.exceptions import ClientError

from s3api.router import ROUTES

ONCE = pytest.mark.parametrize("server", ["http"], indirect=True, scope="session")
"""Members are the same over HTTPS."""
MODEL = botocore.session.get_session().get_service_model("s3")
SERVED = sorted(
    {route.operation.__name__ for routes in ROUTES.values() for route in routes} & set(MODEL.operation_names)
)
LONG_AGO, LATER = datetime(2001, 1, 1, tzinfo=UTC), datetime(2099, 1, 1, tzinfo=UTC)
ALGORITHMS = ("CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256")
Samples = Mapping[str, object]
CORS = {"CORSRules": [{"AllowedMethods": ["GET"], "AllowedOrigins": ["*"]}]}

NEEDED = {
    *("Bucket", "Key", "Body", "UploadId", "CopySource", "Delete", "MultipartUpload", "CORSConfiguration", "Tagging"),
    *("VersioningConfiguration", "ObjectAttributes", "AccessControlPolicy", "ContentLength"),
}
"""Honoured, and sent with every request below that has them."""
HONOURED: Samples = {
    "BucketRegion": "us-east-1",
    "CacheControl": "no-cache",
    "ChecksumAlgorithm": "SHA256",
    "ChecksumMode": "ENABLED",
    "ChecksumType": "COMPOSITE",
    "ContentDisposition": "inline",
    "ContentEncoding": "gzip",
    "ContentLanguage": "de",
    "ContentMD5": None,
    "ContentType": "text/x",
    "ContinuationToken": "YQ==",
    "CopySourceIfMatch": "*",
    "CopySourceIfModifiedSince": LONG_AGO,
    "CopySourceIfNoneMatch": '"other"',
    "CopySourceIfUnmodifiedSince": LATER,
    "CopySourceRange": "bytes=0-2",
    "CreateBucketConfiguration": {"LocationConstraint": "eu-west-1"},
    "Delimiter": "/",
    "EncodingType": "url",
    "ExpectedBucketOwner": "pfs",
    "ExpectedSourceBucketOwner": "pfs",
    "Expires": LATER,
    "FetchOwner": True,
    "IfMatch": "*",
    "IfMatchInitiatedTime": None,
    "IfMatchLastModifiedTime": None,
    "IfMatchSize": 5,
    "IfModifiedSince": LONG_AGO,
    "IfNoneMatch": '"other"',
    "IfUnmodifiedSince": LATER,
    "KeyMarker": "a",
    "Marker": "a",
    "MaxBuckets": 5,
    "MaxKeys": 5,
    "MaxParts": 5,
    "MaxUploads": 5,
    "Metadata": {"a": "1"},
    "MetadataDirective": "REPLACE",
    "MpuObjectSize": 4,
    "PartNumber": 1,
    "PartNumberMarker": 0,
    "Prefix": "k",
    "Range": "bytes=0-2",
    "ResponseCacheControl": "no-cache",
    "ResponseContentDisposition": "inline",
    "ResponseContentEncoding": "gzip",
    "ResponseContentLanguage": "de",
    "ResponseContentType": "text/x",
    "ResponseExpires": LATER,
    "StartAfter": "a",
    "TaggingDirective": "COPY",
    "UploadIdMarker": None,
    "VersionId": None,
    "VersionIdMarker": None,
    **{f"Checksum{name}": None for name in ALGORITHMS},
}
"""Honoured; None: the sample depends on what is there, and is tested with the operation."""
IGNORED: Samples = {
    "ACL": "private",
    "AnnotationDirective": None,
    "BucketNamespace": "global",
    "BypassGovernanceRetention": True,
    "ObjectOwnership": "BucketOwnerEnforced",
    "OptionalObjectAttributes": ["RestoreStatus"],
    "RequestPayer": "requester",
    "StorageClass": "STANDARD_IA",
}
"""These mean nothing here: nobody pays, all is kept alike, and keys with roles say who may do what."""
REFUSED: Samples = {
    "BucketKeyEnabled": True,
    "CopySourceSSECustomerAlgorithm": "AES256",
    "CopySourceSSECustomerKey": "x" * 32,
    "CopySourceSSECustomerKeyMD5": "x",
    "GrantFullControl": "id=x",
    "GrantRead": "id=x",
    "GrantReadACP": "id=x",
    "GrantWrite": "id=x",
    "GrantWriteACP": "id=x",
    "MFA": "serial 123456",
    "ObjectLockEnabledForBucket": True,
    "ObjectLockEventHold": "ON",
    "ObjectLockEventHoldDurationDays": 1,
    "ObjectLockEventHoldDurationYears": 1,
    "ObjectLockLegalHoldStatus": "ON",
    "ObjectLockMode": "GOVERNANCE",
    "ObjectLockRetainUntilDate": LATER,
    "SSECustomerAlgorithm": "AES256",
    "SSECustomerKey": "x" * 32,
    "SSECustomerKeyMD5": "x",
    "SSEKMSEncryptionContext": "e30=",
    "SSEKMSKeyId": "x",
    "ServerSideEncryption": "AES256",
    "WebsiteRedirectLocation": "/other",
    "WriteOffsetBytes": 0,
    "ChecksumMD5": "XUFAKrxLKna5cZ2REBfFkg==",
    "ChecksumSHA512": "AAAA",
    "ChecksumXXHASH128": "AAAA",
    "ChecksumXXHASH3": "AAAA",
    "ChecksumXXHASH64": "AAAA",
}
"""These would promise what is not done."""
CODES = {"NotImplemented", "501", "InvalidRequest", "AccessControlListNotSupported"}
"""An answer to HEAD has the status alone."""


def members(operation: str) -> set[str]:
    """Return the names of the members of a request."""
    shape = MODEL.operation_model(operation).input_shape
    return set(shape.members) if shape is not None else set()


def test_every_member_of_a_request_is_known() -> None:
    found = set().union(*map(members, SERVED))
    known = [NEEDED, HONOURED.keys(), IGNORED.keys(), REFUSED.keys()]
    assert found == set().union(*known)
    assert sum(map(len, known)) == len(found)


Place = dict[str, object]


def request_for(s3: BaseClient, bucket: str, operation: str) -> Place:
    """Make what an operation needs, and return the plainest request of it."""
    place: Place = {"Bucket": bucket, "Key": "k"}
    if operation == "DeleteBucket":
        return {"Bucket": bucket}
    s3.put_object(**place, Body=b"hello")
    needed = members(operation) & NEEDED
    if "UploadId" in needed:
        place["Key"] = "parts"
        place["UploadId"] = upload = s3.create_multipart_upload(**place)["UploadId"]
        if operation == "CompleteMultipartUpload":
            tag = s3.upload_part(Bucket=bucket, Key="parts", UploadId=upload, PartNumber=1, Body=b"part")["ETag"]
            place["MultipartUpload"] = {"Parts": [{"PartNumber": 1, "ETag": tag}]}
        if "PartNumber" in members(operation):
            place["PartNumber"] = 1
    if operation == "GetBucketTagging":
        s3.put_bucket_tagging(Bucket=bucket, Tagging={"TagSet": [{"Key": "a", "Value": "1"}]})
    if operation == "GetBucketCors":
        s3.put_bucket_cors(Bucket=bucket, CORSConfiguration=CORS)
    samples: Samples = {
        "Body": b"hello",
        "CopySource": {"Bucket": bucket, "Key": "k"},
        "Delete": {"Objects": [{"Key": "k"}]},
        "CORSConfiguration": CORS,
        "VersioningConfiguration": {"Status": "Enabled"},
        "ObjectAttributes": ["ETag"],
    }
    place |= {name: value for name, value in samples.items() if name in needed}
    if operation == "CopyObject":
        place["Key"] = "copy"
    if operation in {"PutObjectTagging", "PutBucketTagging"}:
        place["Tagging"] = {"TagSet": [{"Key": "a", "Value": "1"}]}
    if operation in {"PutObjectAcl", "PutBucketAcl"}:
        place["ACL"] = "private"
    return {name: value for name, value in place.items() if name in members(operation)}


def call(s3: BaseClient, operation: str) -> Callable[..., dict[str, object]]:
    method: Callable[..., dict[str, object]] = getattr(s3, xform_name(operation))
    return method


def cases(samples: Samples) -> list[tuple[str, str]]:
    """Return all members of a kind with their operations, but for those without a sample."""
    return [
        (one, name) for one in SERVED for name in sorted(members(one) & samples.keys()) if samples[name] is not None
    ]


@ONCE
@pytest.mark.parametrize(("operation", "member"), cases({**HONOURED, **IGNORED}))
def test_members_that_are_taken(s3: BaseClient, bucket: str, operation: str, member: str) -> None:
    request = request_for(s3, bucket, operation)
    if operation == "CreateBucket":
        request["Bucket"] = f"{bucket}x"
    if (operation, member) in {("CopyObject", "IfMatch"), ("CreateMultipartUpload", "ChecksumType")}:
        request |= (
            {"Key": "k", "MetadataDirective": "REPLACE"} if member == "IfMatch" else {"ChecksumAlgorithm": "CRC32"}
        )
    if (operation, member) == ("CompleteMultipartUpload", "IfMatch"):
        s3.put_object(Bucket=bucket, Key="parts", Body=b"before")
    value = {"ChecksumType": "COMPOSITE", **HONOURED, **IGNORED}[member]
    answer = call(s3, operation)(**request, **{member: value} if member not in request else {})
    status = answer["ResponseMetadata"]["HTTPStatusCode"]  # type: ignore[index]  # botocore's own shape
    assert status in {200, 204, 206}


@pytest.fixture(scope="module")
def shared(s3: BaseClient) -> str:
    """One bucket for requests that change nothing."""
    s3.create_bucket(Bucket="members")
    return "members"


@ONCE
@pytest.mark.parametrize(("operation", "member"), cases(REFUSED))
def test_members_that_are_refused(s3: BaseClient, shared: str, operation: str, member: str) -> None:
    request = request_for(s3, shared, operation)
    if member.startswith("Grant"):
        request.pop("ACL", None)
    with pytest.raises(ClientError) as caught:
        call(s3, operation)(**request, **{member: REFUSED[member]})
    assert caught.value.response["Error"]["Code"] in CODES


NEVER = {
    *("RequestCharged", "Expiration", "Restore", "ReplicationStatus", "ArchiveStatus", "AbortDate", "AbortRuleId"),
    *("ServerSideEncryption", "SSECustomerAlgorithm", "SSECustomerKeyMD5", "SSEKMSKeyId", "SSEKMSEncryptionContext"),
    *("BucketKeyEnabled", "WebsiteRedirectLocation", "MFADelete", "BucketLocationName", "BucketLocationType"),
    *("BucketArn", "ObjectLockMode", "ObjectLockRetainUntilDate", "ObjectLockLegalHoldStatus", "ObjectLockEventHold"),
    *("ObjectLockEventHoldDurationDays", "ObjectLockEventHoldDurationYears", "ChecksumSHA512", "ChecksumMD5"),
    *("ChecksumXXHASH64", "ChecksumXXHASH3", "ChecksumXXHASH128"),
}
"""Members of answers that are about what is not done here."""
SOMETIMES: Mapping[str, set[str]] = {
    "GetObject": {"DeleteMarker", "MissingMeta", "StorageClass", "ContentRange", "PartsCount"},
    "HeadObject": {"DeleteMarker", "MissingMeta", "StorageClass", "ContentRange", "PartsCount"},
    "GetObjectAttributes": {"DeleteMarker", "ObjectParts"},
    "PutObject": {"Size"},
    "ListBuckets": {"ContinuationToken"},
    "AbortMultipartUpload": {"VersionId"},
    "CreateMultipartUpload": {"VersionId"},
    "UploadPart": {"VersionId"},
    "UploadPartCopy": {"VersionId"},
    "ListParts": {"VersionId"},
}
"""Not of the plain case: of deletions, ranges, parts, and of kinds of buckets that are not here."""
ONE_SUM = {f"Checksum{name}" for name in ALGORITHMS if name != "CRC32"}
"""An object has one checksum."""


@pytest.fixture
def rich(s3: BaseClient, bucket: str) -> Callable[[str], Place]:
    """Makes requests whose answers have all that they may have."""
    full = {"CacheControl": "a", "ContentDisposition": "inline", "ContentEncoding": "gzip", "ContentLanguage": "de"}
    s3.put_object(
        Bucket=bucket, Key="k", Body=b"hello", ChecksumAlgorithm="CRC32", Tagging="a=1", Metadata={"a": "1"},
        ContentType="text/x", Expires=LATER, **full,
    )  # fmt: skip
    sums = {"ChecksumAlgorithm": "CRC32", "ChecksumType": "FULL_OBJECT"}
    for key in ("dir/a", "dir/b", "l", "m"):
        s3.put_object(Bucket=bucket, Key=key, Body=b"1")
        s3.create_multipart_upload(Bucket=bucket, Key=key)
    s3.delete_object(Bucket=bucket, Key="l")
    s3.put_bucket_cors(Bucket=bucket, CORSConfiguration=CORS)
    s3.put_bucket_tagging(Bucket=bucket, Tagging={"TagSet": [{"Key": "a", "Value": "1"}]})

    def make(operation: str) -> Place:
        place: Place = {"Bucket": bucket, "Key": "k"}
        listing: Place = {"Bucket": bucket, "Delimiter": "/", "EncodingType": "url"}
        if "UploadId" in members(operation):
            place["UploadId"] = upload = s3.create_multipart_upload(**place, **sums)["UploadId"]
            tag = s3.upload_part(**place, PartNumber=1, Body=b"part", ChecksumAlgorithm="CRC32")["ETag"]
            if operation == "CompleteMultipartUpload":
                place["MultipartUpload"] = {"Parts": [{"PartNumber": 1, "ETag": tag}]}
            assert upload
        special: Mapping[str, Place] = {
            "CreateMultipartUpload": {**place, **sums},
            "UploadPart": {**place, "PartNumber": 1, "Body": b"x", "ChecksumAlgorithm": "CRC32"},
            "UploadPartCopy": {**place, "PartNumber": 1, "CopySource": f"{bucket}/k"},
            "PutObject": {**place, "Body": b"x", "ChecksumAlgorithm": "CRC32"},
            "CopyObject": {"Bucket": bucket, "Key": "copy", "CopySource": f"{bucket}/k"},
            "GetObject": {**place, "ChecksumMode": "ENABLED"},
            "HeadObject": {**place, "ChecksumMode": "ENABLED"},
            "GetObjectAttributes": {
                **place,
                "ObjectAttributes": ["ETag", "Checksum", "ObjectParts", "StorageClass", "ObjectSize"],
            },
            "DeleteObjects": {"Bucket": bucket, "Delete": {"Objects": [{"Key": "k"}, {"Key": "x" * 1025}]}},
            "CreateBucket": {"Bucket": f"{bucket}y"},
            "ListBuckets": {"Prefix": bucket, "MaxBuckets": 1},
            "ListObjects": {**listing, "MaxKeys": 2, "Marker": "A", "Prefix": ""},
            "ListObjectsV2": {**listing, "MaxKeys": 2, "StartAfter": "A", "ContinuationToken": "QQ=="},
            "ListObjectVersions": {**listing, "MaxKeys": 3, "KeyMarker": "A"},
            "ListMultipartUploads": {**listing, "MaxUploads": 2, "KeyMarker": "A"},
            "PutBucketAcl": {"Bucket": bucket, "ACL": "private"},
            "PutObjectAcl": {**place, "ACL": "private"},
            "PutObjectTagging": {**place, "Tagging": {"TagSet": [{"Key": "a", "Value": "2"}]}},
            "PutBucketTagging": {"Bucket": bucket, "Tagging": {"TagSet": [{"Key": "a", "Value": "2"}]}},
            "PutBucketCors": {
                "Bucket": bucket,
                "CORSConfiguration": CORS,
            },
            "PutBucketVersioning": {"Bucket": bucket, "VersioningConfiguration": {"Status": "Enabled"}},
        }
        made = special.get(operation, place)
        return {name: value for name, value in made.items() if name in members(operation)}

    return make


@ONCE
@pytest.mark.parametrize("operation", [one for one in SERVED if one != "DeleteBucket"])
def test_members_of_answers(s3: BaseClient, rich: Callable[[str], Place], operation: str) -> None:
    answer = call(s3, operation)(**rich(operation))
    shape = MODEL.operation_model(operation).output_shape
    known = set(shape.members) if shape is not None else set()
    wanted = known - NEVER - ONE_SUM - SOMETIMES.get(operation, set())
    got = {name for name, value in answer.items() if value is not None} - {"ResponseMetadata", "ExpiresString"}
    if operation == "GetBucketLocation":
        wanted = set()  # us-east-1 has no name
    if operation == "ListBuckets" and "ContinuationToken" in got:
        got.remove("ContinuationToken")
    assert got == wanted
