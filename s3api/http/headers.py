"""Request headers that would change what an operation means and that we do not honour: refused by name, not ignored."""

from __future__ import annotations

from s3api.errors import S3Error, not_implemented
from s3api.http.request import Request

OWNER = "pfs"
"""Id and display name of the one owner of everything."""
_REFUSED = (
    "x-amz-server-side-encryption",
    "x-amz-copy-source-server-side-encryption",
    "x-amz-object-lock-",
    "x-amz-bucket-object-lock-enabled",
    "x-amz-grant-",
    "x-amz-tagging",
    "x-amz-website-redirect-location",
    "x-amz-write-offset-bytes",
    "x-amz-mfa",
    "x-amz-rename-source",
    "x-amz-if-match-",
)
_TAGGING_DIRECTIVE = "x-amz-tagging-directive"
_ACLS = {"private", "public-read", "bucket-owner-full-control", "bucket-owner-read"}


def check_headers(request: Request, *, anonymous: bool = False) -> None:
    """Refuse headers that are not honoured, and an anonymous caller who sets those of the answer.

    Raises:
        S3Error: NotImplemented, by the header's name; AccessDenied for another expected owner; InvalidRequest.
    """
    if anonymous and any(name.startswith("response-") for name in request.params):
        raise S3Error("InvalidRequest", "Request specific response headers cannot be used for anonymous GET requests.")
    for name, value in request.headers.items():
        if name == _TAGGING_DIRECTIVE and value.strip().upper() == "COPY":
            continue
        if name.startswith(_REFUSED) and value.strip().lower() != "false":
            raise not_implemented(f"header {name}")
    acl = request.header("x-amz-acl")
    if acl is not None and acl not in _ACLS:
        raise not_implemented(f"x-amz-acl: {acl}")
    if request.header("x-amz-expected-bucket-owner") not in {None, OWNER}:
        raise S3Error("AccessDenied", "the bucket has another owner than expected")
