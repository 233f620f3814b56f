"""AWS Signature Version 2: header and presigned query, which boto3 and the aws CLI make by default for own endpoints.

The string to sign is botocore's own (`HmacV1Auth.canonical_string`).
"""

from __future__ import annotations

import base64
import hmac
import re
from http.client import HTTPMessage
from urllib.parse import urlsplit

from s3api.auth.caller import UNSIGNED, Caller, KeyFinder, check_skew, expired, find_key, mismatch
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
    time_s = parse_http_date(date)
    check_skew(parse_amz_date(date) if time_s is None else time_s, now_s)
    _check(request, (access_key, secret), signature, date="" if amz_date else date)
    return Caller(key, request.header("x-amz-content-sha256") or UNSIGNED, kind="v2-header")


def check_query(request: Request, find: KeyFinder, *, now_s: float) -> Caller:
    """Check ``?AWSAccessKeyId=..&Expires=..&Signature=..``; see `s3api.auth.caller.authenticate`."""
    params = request.params
    access_key, expires, signature = (params.get(name, "") for name in ("AWSAccessKeyId", "Expires", "Signature"))
    sent = [name for name, _ in request.query]
    twice = any(sent.count(name) > 1 for name in ("AWSAccessKeyId", "Expires", "Signature"))
    if twice or not access_key or not signature or not _EXPIRES.fullmatch(expires):
        raise S3Error(
            "AccessDenied",
            "Query-string authentication requires the Signature, Expires and AWSAccessKeyId parameters, each once; "
            "Expires in seconds since 1970",
        )
    key, secret = find_key(find, access_key)
    if now_s > int(expires):
        raise expired(int(expires), now_s, {})
    _check(request, (access_key, secret), signature, date=expires)
    return Caller(key, request.header("x-amz-content-sha256") or UNSIGNED, kind="v2-query")


def _check(request: Request, pair: tuple[str, str], signature: str, *, date: str) -> None:
    """Compare with the signature of the path as it came, and for a bucket of both spellings of its path.

    ``pair`` is access key and secret; ``date`` is the Date line: the header, the expiry, or empty beside x-amz-date.
    Clients sign ``/bucket/`` and send ``/bucket``.
    """
    access_key, secret = pair
    path = f"/{request.bucket}{request.raw_path}" if request.virtual_host else request.raw_path
    paths = {path: None}
    if request.level == "bucket":
        paths |= dict.fromkeys([path.rstrip("/"), path.rstrip("/") + "/"])
    texts = [_canonical_string(request, date, one) for one in paths]
    if not any(hmac.compare_digest(sign_text(secret, text).encode(), signature.encode()) for text in texts):
        raise mismatch(access_key, signature, texts[0])


def sign_text(secret: str, text: str) -> str:
    """Return the base64 HMAC-SHA1 of a string to sign."""
    return base64.b64encode(hmac.digest(secret.encode(), text.encode(), "sha1")).decode()


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
