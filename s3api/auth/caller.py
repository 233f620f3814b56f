"""Who sends a request: finds the kind of signature, checks it, and says what the body must be.

Nothing of the body is read here. Header signatures of version 4 and 2, presigned addresses of both, and anonymous
requests, which the caller may only answer where it was allowed to.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

from pfs.keys import Key
from s3api.errors import S3Error
from s3api.http.request import Request
from s3api.http.times import SECOND_NS, iso_date

MAX_SKEW_S = 15 * 60
UNSIGNED = "UNSIGNED-PAYLOAD"
_HEADER = {"ArgumentName": "Authorization"}


@dataclass(frozen=True, slots=True)
class ChunkSigning:
    """What the signatures of a streamed body's chunks are made with; ``seed`` is that of the request."""

    secret_key: bytes
    scope: str
    date: str
    seed: str


AuthKind = Literal["anonymous", "v4-header", "v4-query", "v4-form", "v2-header", "v2-query", "v2-form"]
"""How a request was signed, as the audit log names it."""


@dataclass(frozen=True, slots=True)
class Caller:
    """A checked request. ``key`` is None for an anonymous one.

    ``payload`` is the x-amz-content-sha256 that was signed: the hex digest of the body, UNSIGNED-PAYLOAD, or a
    STREAMING- form, which ``chunks`` belongs to.
    """

    key: Key | None
    payload: str = UNSIGNED
    chunks: ChunkSigning | None = None
    kind: AuthKind = "anonymous"


KeyFinder = Callable[[str], tuple[Key, str] | None]
"""Gives key and secret of an access key."""


class KeySource(Protocol):
    """Who may come in: `pfs.keys.Keys`, or keys of another kind. Thread-safe."""

    def find(self, access_key: str) -> tuple[Key, str] | None:
        """Return key and secret of an access key, None if there is none; asked at each request. Raises PfsError."""
        ...


def authenticate(request: Request, find: KeyFinder, *, now_s: float) -> Caller:
    """Check a request's signature.

    Raises:
        S3Error: InvalidAccessKeyId, SignatureDoesNotMatch, RequestTimeTooSkewed, AccessDenied (expired, not valid yet,
            no date, or a header that is not signed), AuthorizationHeaderMalformed, AuthorizationQueryParametersError,
            InvalidArgument, InvalidRequest, InvalidToken, NotImplemented.
    """
    caller = _authenticate(request, find, now_s=now_s)
    if caller.key is not None:
        refuse_token(request.header("x-amz-security-token") or request.params.get("X-Amz-Security-Token"))
    return caller


def _authenticate(request: Request, find: KeyFinder, *, now_s: float) -> Caller:
    from s3api.auth import sigv2, sigv4

    header = request.header("authorization") or ""
    params = request.params
    presigned_4 = "X-Amz-Algorithm" in params or "X-Amz-Signature" in params
    presigned_2 = "AWSAccessKeyId" in params or "Signature" in params
    if header and (presigned_4 or presigned_2):
        raise S3Error("InvalidArgument", "Only one auth mechanism allowed: header or query", fields=_HEADER)
    if header.startswith("AWS4-"):
        return sigv4.check_header(request, header, find, now_s=now_s)
    if header.startswith("AWS "):
        return sigv2.check_header(request, header, find, now_s=now_s)
    if header:
        raise S3Error("InvalidArgument", "Unsupported Authorization Type", fields=_HEADER)
    if presigned_4:
        return sigv4.check_query(request, find, now_s=now_s)
    if presigned_2:
        return sigv2.check_query(request, find, now_s=now_s)
    return Caller(None, request.header("x-amz-content-sha256") or UNSIGNED)


def refuse_token(token: str | None) -> None:
    """Refuse a session token: there are no sessions, so it is left over from another service.

    Raises:
        S3Error: InvalidToken.
    """
    if token:
        raise S3Error("InvalidToken", "there are no session tokens here: unset AWS_SESSION_TOKEN")


def find_key(find: KeyFinder, access_key: str) -> tuple[Key, str]:
    """Return key and secret.

    Raises:
        S3Error: InvalidAccessKeyId.
    """
    found = find(access_key)
    if found is None:
        raise S3Error("InvalidAccessKeyId", fields={"AWSAccessKeyId": access_key})
    return found


def mismatch(access_key: str, provided: str, text: str, *, canonical: str | None = None) -> S3Error:
    """Return the answer to a wrong signature, as S3 gives it: with the text that should have been signed.

    All of that came from the client, so it tells nobody anything new; what the signature should be is not said.
    """
    fields = {
        "AWSAccessKeyId": access_key,
        "StringToSign": text,
        "SignatureProvided": provided,
        "StringToSignBytes": text.encode().hex(" "),
    }
    if canonical is not None:
        fields |= {"CanonicalRequest": canonical, "CanonicalRequestBytes": canonical.encode().hex(" ")}
    return S3Error("SignatureDoesNotMatch", fields=fields)


def expired(end_s: float, now_s: float, fields: Mapping[str, str]) -> S3Error:
    """Return the answer to an address that was valid until ``end_s``."""
    times = {"Expires": iso_date(int(end_s) * SECOND_NS), "ServerTime": iso_date(int(now_s) * SECOND_NS)}
    return S3Error("AccessDenied", "Request has expired", fields={**fields, **times})


def check_skew(time_s: float | None, now_s: float) -> None:
    """Compare the request's time with ours.

    Raises:
        S3Error: AccessDenied without a time after 1970, RequestTimeTooSkewed when it is over 15 minutes off.
    """
    if time_s is None or time_s < 0:
        raise S3Error("AccessDenied", "AWS authentication requires a valid Date or x-amz-date header")
    if abs(time_s - now_s) > MAX_SKEW_S:
        fields = {
            "RequestTime": iso_date(int(time_s) * SECOND_NS),
            "ServerTime": iso_date(int(now_s) * SECOND_NS),
            "MaxAllowedSkewMilliseconds": str(MAX_SKEW_S * 1000),
        }
        raise S3Error("RequestTimeTooSkewed", fields=fields)
