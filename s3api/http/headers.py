"""Request headers that would change what an operation means and that we do not honour: refused by name, not ignored.

Others mean nothing here and are passed over: ``x-amz-request-payer`` (nobody pays), ``x-amz-acl`` with a canned ACL
that changes nothing, a storage class, and ``x-amz-bypass-governance-retention`` (no object is locked).
"""

from __future__ import annotations

from s3api.errors import S3Error, not_implemented
from s3api.http.request import Request

OWNER = "pfs"
"""Id and display name of the one owner of everything."""
CANNED_ACLS = frozenset({"private", "public-read", "bucket-owner-full-control", "bucket-owner-read"})
"""Those that may be asked for; what they say of access is said by keys and their roles."""
_REFUSED = (
    "x-amz-server-side-encryption",
    "x-amz-copy-source-server-side-encryption",
    "x-amz-object-lock-",
    "x-amz-bucket-object-lock-enabled",
    "x-amz-grant-",
    "x-amz-website-redirect-location",
    "x-amz-write-offset-bytes",
    "x-amz-mfa",
    "x-amz-rename-source",
)
_CONDITION = "x-amz-if-match-"
"""Conditions on time and size: of deletes only."""
_ON_READS = ("if-modified-since", "if-unmodified-since")
"""Conditions that no write has, here or at S3: one that was passed over would be a write that nobody wanted."""
_OWNERS = ("x-amz-expected-bucket-owner", "x-amz-source-expected-bucket-owner")
_STORAGE_CLASSES = {
    *("STANDARD", "STANDARD_IA", "ONEZONE_IA", "EXPRESS_ONEZONE", "INTELLIGENT_TIERING", "REDUCED_REDUNDANCY"),
    *("GLACIER", "GLACIER_IR", "DEEP_ARCHIVE", "OUTPOSTS", "SNOW", "FSX_OPENZFS", "FSX_ONTAP"),
}


def check_headers(request: Request, *, anonymous: bool = False) -> None:
    """Refuse headers that are not honoured, and an anonymous caller who sets those of the answer.

    Raises:
        S3Error: NotImplemented, by the header's name; InvalidStorageClass; AccessDenied for another expected owner;
            InvalidRequest.
    """
    if anonymous and any(name.startswith("response-") for name in request.params):
        raise S3Error("InvalidRequest", "Request specific response headers cannot be used for anonymous GET requests.")
    deletes = (request.level, request.method) == ("object", "DELETE")
    for name, value in request.headers.items():
        refused = name.startswith(_REFUSED) or (name.startswith(_CONDITION) and not deletes)
        if refused and value.strip().lower() != "false":
            raise not_implemented(f"header {name}")
    if request.method in {"PUT", "POST", "DELETE"}:
        for name in _ON_READS:
            if name in request.headers:
                raise not_implemented(f"header {name.title()} of a {request.method}")
    acl = request.header("x-amz-acl")
    if acl is not None and acl not in CANNED_ACLS:
        raise not_implemented(f"x-amz-acl: {acl}")
    if request.header("x-amz-storage-class") not in {None, *_STORAGE_CLASSES}:
        raise S3Error("InvalidStorageClass")
    if any(request.header(name) not in {None, OWNER} for name in _OWNERS):
        raise S3Error("AccessDenied", "the bucket has another owner than expected")
