"""From a request to its operation. One table; what is not in it has a name and answers 501.

An operation is found by method, level, and query parameters. Each one lists all parameters that it takes: an unknown
one is never ignored, for it could be a sub-resource (``?acl``, ``?policy``), and answering that with the base operation
would be a wrong answer that looks right. Parameters of signatures and ``x-`` ones are nobody's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from s3api.errors import S3Error, invalid_argument, not_implemented
from s3api.http.request import Request
from s3api.operation import Operation
from s3api.operations.abort_multipart_upload import AbortMultipartUpload
from s3api.operations.complete_multipart_upload import CompleteMultipartUpload
from s3api.operations.copy_object import CopyObject
from s3api.operations.create_bucket import CreateBucket
from s3api.operations.create_multipart_upload import CreateMultipartUpload
from s3api.operations.delete_bucket import DeleteBucket
from s3api.operations.delete_bucket_cors import DeleteBucketCors
from s3api.operations.delete_bucket_tagging import DeleteBucketTagging
from s3api.operations.delete_object import DeleteObject
from s3api.operations.delete_object_tagging import DeleteObjectTagging
from s3api.operations.delete_objects import DeleteObjects
from s3api.operations.get_bucket_acl import GetBucketAcl
from s3api.operations.get_bucket_cors import GetBucketCors
from s3api.operations.get_bucket_location import GetBucketLocation
from s3api.operations.get_bucket_tagging import GetBucketTagging
from s3api.operations.get_bucket_versioning import GetBucketVersioning
from s3api.operations.get_object import GetObject
from s3api.operations.get_object_acl import GetObjectAcl
from s3api.operations.get_object_attributes import GetObjectAttributes
from s3api.operations.get_object_tagging import GetObjectTagging
from s3api.operations.head_bucket import HeadBucket
from s3api.operations.head_object import HeadObject
from s3api.operations.list_buckets import ListBuckets
from s3api.operations.list_multipart_uploads import ListMultipartUploads
from s3api.operations.list_object_versions import ListObjectVersions
from s3api.operations.list_objects import ListObjects
from s3api.operations.list_objects_v2 import ListObjectsV2
from s3api.operations.list_parts import ListParts
from s3api.operations.post_object import PostObject
from s3api.operations.preflight import Preflight
from s3api.operations.put_bucket_acl import PutBucketAcl
from s3api.operations.put_bucket_cors import PutBucketCors
from s3api.operations.put_bucket_tagging import PutBucketTagging
from s3api.operations.put_bucket_versioning import PutBucketVersioning
from s3api.operations.put_object import PutObject
from s3api.operations.put_object_acl import PutObjectAcl
from s3api.operations.put_object_tagging import PutObjectTagging
from s3api.operations.upload_part import UploadPart
from s3api.operations.upload_part_copy import UploadPartCopy
from s3api.unserved import UNSERVED_NAMES, unserved_name

_SIGNATURE = {"AWSAccessKeyId", "Signature", "Expires"}
_LIST = {"prefix", "delimiter", "max-keys", "encoding-type"}
_OVERRIDES = {f"response-{name}" for name in ("cache-control", "content-disposition", "content-encoding")}
_READ = {
    *_OVERRIDES,
    "response-content-language",
    "response-content-type",
    "response-expires",
    "versionId",
    "partNumber",
}
_COPY = "x-amz-copy-source"
PREFLIGHT = "OPTIONS"
"""A method that asks about another: nothing of it is signed."""


@dataclass(frozen=True, slots=True)
class Route:
    """How an operation is recognised: all of ``needs`` (and ``with_header``), and nothing beyond ``takes``."""

    operation: type[Operation]
    needs: frozenset[str] = frozenset()
    takes: frozenset[str] = frozenset()
    with_header: str | None = None

    def fits(self, request: Request, names: set[str]) -> bool:
        """Say whether the request is this operation."""
        known = self.needs <= names <= self.needs | self.takes
        return known and (self.with_header is None or self.with_header in request.headers)


def _route(
    operation: type[Operation], needs: str = "", *, takes: set[str] | None = None, with_header: str | None = None
) -> Route:
    return Route(operation, frozenset(needs.split()), frozenset(takes or ()), with_header)


ROUTES: Mapping[tuple[str, str], tuple[Route, ...]] = {
    ("service", "GET"): (_route(ListBuckets, takes={"max-buckets", "prefix", "continuation-token", "bucket-region"}),),
    ("bucket", "GET"): (
        _route(
            ListObjectsV2, "list-type", takes={*_LIST, "continuation-token", "start-after", "fetch-owner", "marker"}
        ),
        _route(ListObjects, takes={*_LIST, "marker"}),
        _route(ListObjectVersions, "versions", takes={*_LIST, "key-marker", "version-id-marker"}),
        _route(GetBucketLocation, "location"),
        _route(GetBucketVersioning, "versioning"),
        _route(GetBucketAcl, "acl"),
        _route(GetBucketTagging, "tagging"),
        _route(GetBucketCors, "cors"),
        _route(
            ListMultipartUploads,
            "uploads",
            takes={"prefix", "delimiter", "encoding-type", "max-uploads", "key-marker", "upload-id-marker"},
        ),
    ),
    ("bucket", "HEAD"): (_route(HeadBucket),),
    ("bucket", "PUT"): (
        _route(CreateBucket),
        _route(PutBucketAcl, "acl"),
        _route(PutBucketTagging, "tagging"),
        _route(PutBucketCors, "cors"),
        _route(PutBucketVersioning, "versioning"),
    ),
    ("bucket", "DELETE"): (
        _route(DeleteBucket),
        _route(DeleteBucketTagging, "tagging"),
        _route(DeleteBucketCors, "cors"),
    ),
    ("bucket", "POST"): (_route(DeleteObjects, "delete"), _route(PostObject)),
    ("object", "GET"): (
        _route(GetObject, takes=_READ),
        _route(GetObjectAcl, "acl", takes={"versionId"}),
        _route(GetObjectAttributes, "attributes", takes={"versionId"}),
        _route(GetObjectTagging, "tagging", takes={"versionId"}),
        _route(ListParts, "uploadId", takes={"max-parts", "part-number-marker", "encoding-type"}),
    ),
    ("object", "HEAD"): (_route(HeadObject, takes=_READ),),
    ("object", "PUT"): (
        _route(UploadPartCopy, "partNumber uploadId", with_header=_COPY),
        _route(UploadPart, "partNumber uploadId"),
        _route(PutObjectAcl, "acl", takes={"versionId"}),
        _route(PutObjectTagging, "tagging", takes={"versionId"}),
        _route(CopyObject, with_header=_COPY),
        _route(PutObject),
    ),
    ("object", "POST"): (
        _route(CreateMultipartUpload, "uploads"),
        _route(CompleteMultipartUpload, "uploadId"),
    ),
    ("object", "DELETE"): (
        _route(DeleteObject, takes={"versionId"}),
        _route(DeleteObjectTagging, "tagging", takes={"versionId"}),
        _route(AbortMultipartUpload, "uploadId"),
    ),
}
"""Of the routes that fit, the first counts."""


def route(request: Request) -> Operation:
    """Return the operation of a request, with its parameters.

    Raises:
        S3Error: NotImplemented by name, MethodNotAllowed, and what the operation's parameters raise.
    """
    if request.method == PREFLIGHT:
        return Preflight.parse(request)
    _refuse_named(request)
    names = {name for name, _ in request.query if name not in _SIGNATURE and not name.lower().startswith("x-")}
    for candidate in ROUTES.get((request.level, request.method), ()):
        if candidate.fits(request, names):
            return candidate.operation.parse(request)
    raise _no_route(request, names)


def _refuse_named(request: Request) -> None:
    """Refuse what only its name or a header tells from a served operation: SDKs put the name into ``x-id``."""
    named = request.params.get("x-id", "")
    if "x-amz-request-route" in request.headers:
        named = "WriteGetObjectResponse"
    if named in UNSERVED_NAMES:
        raise not_implemented(named)


def _no_route(request: Request, names: set[str]) -> S3Error:
    name = unserved_name(request.level, request.method, names)
    if name is not None:
        return not_implemented(name)
    if (request.level, request.method) == ("object", "PUT"):
        if "partNumber" in names and "uploadId" not in names:
            message = "This operation does not accept partNumber without uploadId"
            return invalid_argument("partNumber", "partNumber", message)
        if "uploadId" in names and "partNumber" not in names:
            fields = {"Method": "PUT", "ResourceType": "UPLOAD"}
            return S3Error("MethodNotAllowed", "PUT of an upload needs a partNumber", fields=fields)
    if names:
        return not_implemented(
            f"{request.method} of the {request.level} with {', '.join(f'?{n}' for n in sorted(names))}"
        )
    if request.method in {"GET", "HEAD", "PUT", "POST", "DELETE"}:
        return S3Error("MethodNotAllowed", f"{request.method} is not allowed on this {request.level}")
    return not_implemented(f"method {request.method}")
