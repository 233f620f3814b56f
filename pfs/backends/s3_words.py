"""Failures of S3 as errors of pfs: one line, what, which, what to do."""

from __future__ import annotations

from json import JSONDecodeError
from typing import Any, Final

from botocore.exceptions import (
    ClientError,
    ConnectTimeoutError,
    EndpointConnectionError,
    ReadTimeoutError,
    SSLError,
)

from pfs.backends.s3_errors import (
    NO_KEYS,
    code_of,
    is_archived,
    is_elsewhere,
    is_full,
    is_passing,
    is_refused,
    status_of,
)
from pfs.errors import (
    AccessRefusedError,
    ArchivedError,
    BucketFullError,
    BucketNotFoundError,
    InvalidInputError,
    PfsError,
    StorageError,
    UnreachableError,
)
from pfs.shorten import shorten

_SAID: Final = 160
"""Characters of what the server says."""
_RIGHTS: Final = {
    "CopyObject": "s3:GetObject and s3:PutObject",
    "DeleteObject": "s3:DeleteObject",
    "DeleteObjects": "s3:DeleteObject",
    "GetObject": "s3:GetObject and s3:ListBucket",
    "HeadObject": "s3:GetObject and s3:ListBucket",
    "ListObjectsV2": "s3:ListBucket",
    "PutObject": "s3:PutObject",
    "RestoreObject": "s3:RestoreObject",
}
"""What each call needs; without s3:ListBucket S3 refuses to say that an object is missing."""
_ADVICE: Final = {
    "ExpiredToken": "these credentials have ended: get new ones, then try again",
    "TokenRefreshRequired": "these credentials have ended: get new ones, then try again",
    "InvalidAccessKeyId": "check the credentials: there is no such access key",
    "SignatureDoesNotMatch": "check the credentials: the secret key is not that of the access key",
}


def as_pfs_error(error: Exception, action: str, *, place: str, bucket: str) -> PfsError:
    """Return the error that a caller of the backend sees; ``action`` such as ``read s3://bucket/key``."""
    if code_of(error) == "NoSuchBucket":
        return BucketNotFoundError(bucket, place)
    if is_full(error):
        return BucketFullError(action, f"{place} answered {_answer(error)}")
    if is_refused(error):
        return _refusal(error, action, place)
    if is_archived(error):
        return ArchivedError(action, str(_told(error).get("StorageClass") or "GLACIER"))
    if is_elsewhere(error):
        return UnreachableError(action, place, f"is not where the bucket is; {_where(error)}")
    if isinstance(error, ClientError):
        advice = "" if code_of(error) not in {"", str(status_of(error))} else "; is it an S3 server? check --endpoint"
        again = "; it was tried again and again, try later" if is_passing(error) else ""
        return StorageError(action, f"{place} answered {_answer(error)}{again or advice}")
    return _on_the_way(error, action, place)


def _refusal(error: Exception, action: str, place: str) -> AccessRefusedError:
    if not isinstance(error, ClientError):
        return AccessRefusedError(action, _words(error))
    code, right = code_of(error), _RIGHTS.get(str(error.operation_name))
    if code == "RequestTimeTooSkewed":
        date = _headers(error).get("date", "another time")
        advice = f"set this machine's clock: the server has {date}"
    elif code in {"AccessDenied", "403", "Forbidden"} and right:
        advice = f"check that the credentials have {right} there"
    else:
        advice = _ADVICE.get(code, "check the credentials and what they may do")
    return AccessRefusedError(action, f"{place} answered {code}", advice)


def _where(error: Exception) -> str:
    region = _told(error).get("Region") or _headers(error).get("x-amz-bucket-region")
    return f"it is in region {region}: set --region" if region else "check --region and --endpoint"


def _on_the_way(error: Exception, action: str, place: str) -> StorageError:
    if isinstance(error, EndpointConnectionError | ConnectTimeoutError):
        return UnreachableError(action, place)
    if isinstance(error, ReadTimeoutError):
        return UnreachableError(action, place, "does not answer; check the network, or wait longer with --timeout")
    if isinstance(error, SSLError):
        why = str(error.kwargs.get("error", error))
        problem = f"cannot be trusted ({shorten(why, _SAID)}); check --endpoint, or name its CA with --ca-bundle"
        return UnreachableError(action, place, problem)
    return StorageError(action, _words(error))


def _answer(error: Exception) -> str:
    said = str(_told(error).get("Message") or "").strip().rstrip(".")
    return f"{code_of(error) or status_of(error)}{said and f' ({shorten(said, _SAID)})'}"


def _headers(error: Exception) -> dict[str, str]:
    found = error.response.get("ResponseMetadata", {}) if isinstance(error, ClientError) else {}
    return dict(found.get("HTTPHeaders", {}))


def _told(error: Exception) -> dict[str, Any]:
    return dict(error.response.get("Error", {})) if isinstance(error, ClientError) else {}


def as_setup_error(error: Exception) -> PfsError:
    """Return the error for settings that no client can be made of."""
    if isinstance(error, NO_KEYS):
        return AccessRefusedError("use S3", _words(error))
    if isinstance(error, JSONDecodeError):
        return InvalidInputError("S3 cannot be used as it is set up: what credential_process prints is not JSON")
    return InvalidInputError(f"S3 cannot be used as it is set up: {_words(error)}")


def _words(error: Exception) -> str:
    return " ".join(str(error).split()).rstrip(".") or type(error).__name__
