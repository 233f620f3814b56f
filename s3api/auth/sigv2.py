"""AWS Signature Version 2: header and presigned query, which boto3 and the aws CLI make by default for own endpoints.

The string to sign is botocore's own (`HmacV1Auth.canonical_string`).
"""

from __future__ import annotations

import base64
import hmac
import re
from dataclasses import replace
from http.client import HTTPMessage
from urllib.parse import urlsplit

from s3api.auth.caller import Caller, KeyFinder, check_skew, find_key
from s3api.errors import S3Error
from s3api.http.request import Request
from s3api.http.times import parse_amz_date, parse_http_date

_EXPIRES = re.compile("[0-9]{1,12}")


def check_header(request: Request, header: str, find: KeyFinder, *, now_s: float) -> Caller:
    """Check ``Authorization: AWS KEY:SIGNATURE``; see `s3api.auth.caller.authenticate`."""
    access_key, colon, signature = header.removeprefix("AWS ").strip().rpartition(":")
    if not colon:
        raise S3Error("InvalidArgument", "the authorization header must be AWS KEY:SIGNATURE")
    key, secret = find_key(find, access_key)
    amz_date = request.header("x-amz-date")
    date = amz_date or request.header("date") or ""
    check_skew(parse_http_date(date) or parse_amz_date(date), now_s)
    _compare(request, secret, signature, date="" if amz_date else date)
    return Caller(key, request.header("x-amz-content-sha256") or "UNSIGNED-PAYLOAD")


def check_query(request: Request, find: KeyFinder, *, now_s: float) -> Caller:
    """Check ``?AWSAccessKeyId=..&Expires=..&Signature=..``; see `s3api.auth.caller.authenticate`."""
    params = request.params
    access_key, expires, signature = (params.get(name, "") for name in ("AWSAccessKeyId", "Expires", "Signature"))
    if not access_key or not signature or not _EXPIRES.fullmatch(expires):
        raise S3Error("AccessDenied", "a presigned address needs AWSAccessKeyId, Signature and Expires")
    key, secret = find_key(find, access_key)
    if now_s > int(expires):
        raise S3Error("AccessDenied", "the presigned address has expired")
    _compare(request, secret, signature, date=expires)
    return Caller(key, request.header("x-amz-content-sha256") or "UNSIGNED-PAYLOAD")


def with_signed_query(request: Request) -> Request:
    """Return a presigned request with the headers that its address carries where they belong.

    Signing puts Content-Type, Content-MD5 and every ``x-amz-`` header beside the signature, which covers them as
    headers. A header that was sent counts; if it differs, the signature does not match.
    """
    if "AWSAccessKeyId" not in request.params or "Signature" not in request.params:
        return request
    carried = {name.lower(): value for name, value in request.query if _is_header(name)}
    rest = tuple(pair for pair in request.query if not _is_header(pair[0]))
    return replace(request, headers={**carried, **request.headers}, query=rest) if carried else request


def _is_header(name: str) -> bool:
    return name.lower() in {"content-type", "content-md5"} or name.lower().startswith("x-amz-")


def _compare(request: Request, secret: str, signature: str, *, date: str) -> None:
    """Compare with the signature of the path as it came, and for a bucket of both spellings of its path.

    ``date`` is the Date line: the header, the expiry, or empty beside x-amz-date. Clients sign ``/bucket/`` and send
    ``/bucket``.
    """
    path = f"/{request.bucket}{request.raw_path}" if request.virtual_host else request.raw_path
    paths = {path}
    if request.level == "bucket":
        paths |= {path.rstrip("/"), path.rstrip("/") + "/"}
    expected = [_signature_of(request, secret, date, one) for one in sorted(paths)]
    if not any(hmac.compare_digest(one, signature.encode()) for one in expected):
        raise S3Error("SignatureDoesNotMatch")


def _signature_of(request: Request, secret: str, date: str, path: str) -> bytes:
    """Return the base64 signature."""
    canonical = _canonical_string(request, date, path)
    return base64.b64encode(hmac.digest(secret.encode(), canonical.encode(), "sha1"))


def _canonical_string(request: Request, date: str, path: str) -> str:
    """Return the string to sign, computed by botocore from the request as it came."""
    from botocore.auth import HmacV1Auth

    class _Signer(HmacV1Auth):  # type: ignore[misc]  # botocore has no types
        def _get_date(self) -> str:
            return date

    headers = HTTPMessage()
    for name, value in request.headers.items():
        headers[name] = value
    address = urlsplit(f"//host/?{request.raw_query}")
    text: str = _Signer(None).canonical_string(request.method, address, headers, auth_path=path)
    return text
