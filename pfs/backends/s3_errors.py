"""What answers of S3, and failures on the way to it, mean: something missing, refused, full, or what may pass."""

from __future__ import annotations

from typing import Final

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionError,
    ConnectTimeoutError,
    CredentialRetrievalError,
    EndpointConnectionError,
    HTTPClientError,
    IncompleteReadError,
    NoCredentialsError,
    PartialCredentialsError,
    ProfileNotFound,
    SSLError,
    SSOError,
    TokenRetrievalError,
)
from urllib3.exceptions import HTTPError

FAILURES: Final = (BotoCoreError, ClientError, HTTPError, OSError)
"""What a call of boto3, or reading an answer's body, raises."""
NO_KEYS: Final = (
    NoCredentialsError,
    PartialCredentialsError,
    CredentialRetrievalError,
    ProfileNotFound,
    SSOError,
    TokenRetrievalError,
)
_STALE: Final = frozenset({"ExpiredToken", "InvalidAccessKeyId", "InvalidToken", "TokenRefreshRequired"})
_REFUSED: Final = _STALE | {
    "403",
    "401",
    "AccessDenied",
    "AllAccessDisabled",
    "Forbidden",
    "InvalidSecurity",
    "RequestTimeTooSkewed",
    "SignatureDoesNotMatch",
    "Unauthorized",
}
_ELSEWHERE: Final = frozenset(
    {"301", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException", "PermanentRedirect"}
)
_FULL: Final = frozenset(
    {"507", "InsufficientStorage", "QuotaExceeded", "XMinioAdminBucketQuotaExceeded", "XMinioStorageFull"}
)
_FULL_STATUS: Final = 507
_MISSING: Final = frozenset({"NoSuchKey", "404", "NotFound"})
_REJECTED: Final = frozenset(
    {"SlowDown", "503", "429", "TooManyRequests", "ServiceUnavailable", "RequestLimitExceeded"}
)
_CONFLICT: Final = frozenset({"ConditionalRequestConflict", "OperationAborted"})
_ARCHIVED: Final = frozenset({"InvalidObjectState", "ObjectNotInActiveTierError"})
_FAILED: Final = frozenset({"PreconditionFailed", "412"})
_ON_THE_WAY: Final = (ConnectionError, HTTPClientError, IncompleteReadError, HTTPError, OSError)


def code_of(error: Exception) -> str:
    """Return what S3 calls the error; empty where S3 did not answer."""
    return str(error.response.get("Error", {}).get("Code", "")) if isinstance(error, ClientError) else ""


def status_of(error: Exception) -> int:
    """Return the HTTP status of the answer; 0 where there is none."""
    found = error.response.get("ResponseMetadata", {}) if isinstance(error, ClientError) else {}
    return int(found.get("HTTPStatusCode", 0))


def is_missing(error: Exception) -> bool:
    """Say whether there is no such object; a missing bucket is something else."""
    return code_of(error) in _MISSING


def is_condition(error: Exception) -> bool:
    """Say whether a condition did not hold: the object was there already, or is another by now."""
    return code_of(error) in _FAILED


def is_beyond(error: Exception) -> bool:
    """Say whether a range begins after the end of the object."""
    return code_of(error) in {"InvalidRange", "416"}


def is_refused(error: Exception) -> bool:
    """Say whether these credentials, or none, may not do that."""
    return isinstance(error, NO_KEYS) or code_of(error) in _REFUSED


def is_stale(error: Exception) -> bool:
    """Say whether newer credentials, if there are any, would do: those that were sent have ended."""
    return code_of(error) in _STALE


def is_elsewhere(error: Exception) -> bool:
    """Say whether the bucket is in another region than the one that was asked."""
    return code_of(error) in _ELSEWHERE


def is_full(error: Exception) -> bool:
    """Say whether there is no room left for what was to be written."""
    return code_of(error) in _FULL or status_of(error) == _FULL_STATUS


def is_archived(error: Exception) -> bool:
    """Say whether the object is there, but has to be restored first."""
    return code_of(error) in _ARCHIVED


def wants_checksums(error: Exception) -> bool:
    """Say whether a PUT was refused for want of a checksum, as by buckets with object lock."""
    said = str(error.response.get("Error", {}).get("Message", "")) if isinstance(error, ClientError) else ""
    return code_of(error) == "InvalidRequest" and "Content-MD5" in said


def is_busy(error: Exception) -> bool:
    """Say whether the server asks to come less often."""
    return code_of(error) in _REJECTED


def is_undone(error: Exception) -> bool:
    """Say whether the call surely changed nothing and may be made again: refused for now, or never sent."""
    if isinstance(error, EndpointConnectionError | ConnectTimeoutError):
        return True
    return code_of(error) in _REJECTED | _CONFLICT


def is_passing(error: Exception) -> bool:
    """Say whether the same call may succeed in a while: a broken connection, a server that is busy or failed."""
    if isinstance(error, ClientError):
        failed = status_of(error) >= 500 or code_of(error) in {"RequestTimeout", "InternalError"}
        return is_undone(error) or (failed and not is_full(error))
    return isinstance(error, _ON_THE_WAY) and not isinstance(error, SSLError)
