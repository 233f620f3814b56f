"""What S3 and the way to it answer, as errors of pfs: one line, what, which, what to do."""

from __future__ import annotations

from typing import Final

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectTimeoutError,
    CredentialRetrievalError,
    EndpointConnectionError,
    NoCredentialsError,
    PartialCredentialsError,
    ProfileNotFound,
    SSOError,
)
from urllib3.exceptions import HTTPError

from pfs.errors import (
    AccessRefusedError,
    ArchivedError,
    BucketNotFoundError,
    InvalidInputError,
    PfsError,
    StorageError,
    UnreachableError,
)

FAILURES: Final = (BotoCoreError, ClientError, HTTPError, OSError)
"""What a call of boto3, or reading an answer's body, raises."""
_REFUSED: Final = frozenset(
    {
        "403",
        "401",
        "AccessDenied",
        "AllAccessDisabled",
        "AuthorizationHeaderMalformed",
        "ExpiredToken",
        "Forbidden",
        "InvalidAccessKeyId",
        "InvalidSecurity",
        "InvalidToken",
        "RequestTimeTooSkewed",
        "SignatureDoesNotMatch",
        "TokenRefreshRequired",
        "Unauthorized",
    }
)
_MISSING: Final = frozenset({"NoSuchKey", "404", "NotFound"})
_REJECTED: Final = frozenset(
    {"SlowDown", "503", "429", "TooManyRequests", "ServiceUnavailable", "RequestLimitExceeded"}
)
_CONFLICT: Final = frozenset({"ConditionalRequestConflict", "OperationAborted"})
_ARCHIVED: Final = frozenset({"InvalidObjectState", "ObjectNotInActiveTierError"})
_FAILED: Final = frozenset({"PreconditionFailed", "412"})
_NO_KEYS: Final = (NoCredentialsError, PartialCredentialsError, CredentialRetrievalError, ProfileNotFound, SSOError)


def code_of(error: Exception) -> str:
    """Return what S3 calls the error; empty where S3 did not answer."""
    return str(error.response.get("Error", {}).get("Code", "")) if isinstance(error, ClientError) else ""


def _status(error: Exception) -> int:
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


def is_undone(error: Exception) -> bool:
    """Say whether the call surely changed nothing and may be made again: refused for now, or never sent."""
    if isinstance(error, EndpointConnectionError | ConnectTimeoutError):
        return True
    return code_of(error) in _REJECTED | _CONFLICT


def is_passing(error: Exception) -> bool:
    """Say whether the same call may succeed in a while: a broken connection, a server that is busy or failed."""
    if isinstance(error, ClientError):
        return is_undone(error) or _status(error) >= 500 or code_of(error) in {"RequestTimeout", "InternalError"}
    return not isinstance(error, _NO_KEYS)


def as_pfs_error(error: Exception, action: str, *, place: str, bucket: str) -> PfsError:
    """Return the error that a caller of the backend sees; ``action`` such as ``read s3://bucket/key``."""
    code = code_of(error)
    if code == "NoSuchBucket":
        return BucketNotFoundError(bucket, place)
    if isinstance(error, _NO_KEYS):
        return AccessRefusedError(action, _words(error))
    if code in _REFUSED:
        return AccessRefusedError(action, f"{place} answered {code}")
    if code in _ARCHIVED:
        return ArchivedError(action, _class_of(error))
    if isinstance(error, ClientError):
        said = str(error.response.get("Error", {}).get("Message") or "").strip().rstrip(".")
        return StorageError(action, f"{place} answered {code or _status(error)}{said and f' ({said})'}")
    if isinstance(error, EndpointConnectionError | ConnectTimeoutError):
        return UnreachableError(action, place)
    return StorageError(action, _words(error))


def _class_of(error: Exception) -> str:
    found = error.response.get("Error", {}) if isinstance(error, ClientError) else {}
    return str(dict(found).get("StorageClass") or "GLACIER")


def as_setup_error(error: Exception) -> PfsError:
    """Return the error for settings that no client can be made of."""
    if isinstance(error, _NO_KEYS):
        return AccessRefusedError("use S3", _words(error))
    return InvalidInputError(f"S3 cannot be used as it is set up: {_words(error)}")


def _words(error: Exception) -> str:
    return " ".join(str(error).split()).rstrip(".") or type(error).__name__
