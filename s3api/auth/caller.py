"""Who sends a request: finds the kind of signature, checks it, and says what the body must be.

Nothing of the body is read here. Header signatures of version 4 and 2, presigned addresses of both, and anonymous
requests, which the caller may only answer where it was allowed to.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable
from dataclasses import dataclass

from pfs.keys import Key
from s3api.errors import S3Error
from s3api.http.request import Request

MAX_SKEW_S = 15 * 60
UNSIGNED = "UNSIGNED-PAYLOAD"


@dataclass(frozen=True, slots=True)
class ChunkSigning:
    """What the signatures of a streamed body's chunks are made with; ``seed`` is that of the request."""

    secret_key: bytes
    scope: str
    date: str
    seed: str


@dataclass(frozen=True, slots=True)
class Caller:
    """A checked request. ``key`` is None for an anonymous one.

    ``payload`` is the x-amz-content-sha256 that was signed: the hex digest of the body, UNSIGNED-PAYLOAD, or a
    STREAMING- form, which ``chunks`` belongs to.
    """

    key: Key | None
    payload: str = UNSIGNED
    chunks: ChunkSigning | None = None


KeyFinder = Callable[[str], tuple[Key, str] | None]
"""Gives key and secret of an access key."""


def authenticate(request: Request, find: KeyFinder, *, now_s: float) -> Caller:
    """Check a request's signature.

    Raises:
        S3Error: InvalidAccessKeyId, SignatureDoesNotMatch, RequestTimeTooSkewed, AccessDenied (expired, or a header
            that is not signed), AuthorizationHeaderMalformed, MissingSecurityHeader.
    """
    from s3api.auth import sigv2, sigv4

    header = request.header("authorization") or ""
    params = request.params
    if header and ("X-Amz-Signature" in params or "Signature" in params):
        raise S3Error("InvalidArgument", "only one way of signing is allowed: header or query")
    if header.startswith(sigv4.ALGORITHM):
        return sigv4.check_header(request, header, find, now_s=now_s)
    if header.startswith("AWS "):
        return sigv2.check_header(request, header, find, now_s=now_s)
    if header:
        raise S3Error("InvalidArgument", "unsupported authorization type", fields={"ArgumentName": "Authorization"})
    if "X-Amz-Algorithm" in params or "X-Amz-Signature" in params:
        return sigv4.check_query(request, find, now_s=now_s)
    if "AWSAccessKeyId" in params or "Signature" in params:
        return sigv2.check_query(request, find, now_s=now_s)
    return Caller(None, request.header("x-amz-content-sha256") or UNSIGNED)


def find_key(find: KeyFinder, access_key: str) -> tuple[Key, str]:
    """Return key and secret.

    Raises:
        S3Error: InvalidAccessKeyId.
    """
    found = find(access_key)
    if found is None:
        raise S3Error("InvalidAccessKeyId", fields={"AWSAccessKeyId": access_key})
    return found


def compare(expected: str, got: str, access_key: str) -> None:
    """Compare signatures in constant time.

    Raises:
        S3Error: SignatureDoesNotMatch.
    """
    if not hmac.compare_digest(expected.encode(), got.encode()):
        raise S3Error("SignatureDoesNotMatch", fields={"AWSAccessKeyId": access_key})


def check_skew(time_s: float | None, now_s: float) -> None:
    """Compare the request's time with ours.

    Raises:
        S3Error: AccessDenied without a time, RequestTimeTooSkewed when it is over 15 minutes off.
    """
    if time_s is None:
        raise S3Error("AccessDenied", "the request needs a valid Date or x-amz-date header")
    if abs(time_s - now_s) > MAX_SKEW_S:
        raise S3Error("RequestTimeTooSkewed", fields={"MaxAllowedSkewMilliseconds": str(MAX_SKEW_S * 1000)})
