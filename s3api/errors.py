"""What goes wrong, in S3's words: one table of codes, one from the kinds of pfs to codes.

`S3Error` is an answer, not a member of the library's error tree: it never leaves this package.
"""

from __future__ import annotations

from collections.abc import Mapping

from pfs.errors import PfsError

CODES: Mapping[str, tuple[int, str]] = {
    "AccessDenied": (403, "access denied"),
    "AccessForbidden": (403, "this CORS request is not allowed"),
    "AuthorizationHeaderMalformed": (400, "the authorization header is malformed"),
    "AuthorizationQueryParametersError": (400, "the parameters of the presigned address are not valid"),
    "BadDigest": (400, "the checksum that was sent does not match what was received"),
    "BadRequest": (400, "bad request"),
    "BucketAlreadyOwnedByYou": (409, "the bucket you tried to create already exists, and you own it"),
    "BucketNotEmpty": (409, "the bucket is not empty: delete its objects first"),
    "ConditionalRequestConflict": (409, "another write of this key came in between: try again"),
    "EntityTooLarge": (400, "the upload is larger than what is allowed"),
    "EntityTooSmall": (400, "every part but the last must have at least 5 MiB"),
    "IllegalLocationConstraintException": (400, "the location is not valid"),
    "IllegalVersioningConfigurationException": (400, "the versioning configuration is not valid"),
    "IncompleteBody": (400, "the body ended before the announced number of bytes"),
    "InsufficientStorage": (507, "no space left in the store; nothing was changed"),
    "InternalError": (500, "internal error"),
    "InvalidAccessKeyId": (403, "there is no such access key"),
    "InvalidArgument": (400, "invalid argument"),
    "InvalidBucketName": (400, "the bucket name is not valid"),
    "InvalidBucketState": (409, "the request is not valid for the bucket as it is"),
    "InvalidDigest": (400, "the Content-MD5 or checksum is not valid"),
    "InvalidLocationConstraint": (400, "the location constraint is not valid"),
    "InvalidObjectState": (403, "the object is in an archive and must be restored before it can be read"),
    "InvalidPart": (400, "a part was not found, or its ETag does not match"),
    "InvalidPartNumber": (416, "The requested partnumber is not satisfiable"),
    "InvalidPartOrder": (400, "the parts are not in ascending order"),
    "InvalidPolicyDocument": (400, "the policy of the form is not valid"),
    "InvalidRange": (416, "the requested range is not within the object"),
    "InvalidRequest": (400, "invalid request"),
    "InvalidStorageClass": (400, "the storage class is not valid"),
    "InvalidTag": (400, "invalid tag"),
    "InvalidToken": (400, "the session token is not valid"),
    "InvalidURI": (400, "the address is not valid"),
    "KeyTooLongError": (400, "the key is longer than 1024 bytes"),
    "MalformedPOSTRequest": (400, "The body of your POST request is not well-formed multipart/form-data."),
    "MalformedACLError": (400, "the XML is not well-formed or not an access control list"),
    "MalformedXML": (400, "the XML is not well-formed or not of the expected form"),
    "MaxMessageLengthExceeded": (400, "the request is too big"),
    "MaxPostPreDataLengthExceeded": (400, "the fields before the file are over 20 KiB: name the file's field `file`"),
    "MetadataTooLarge": (400, "the metadata headers exceed 2 KiB"),
    "MethodNotAllowed": (405, "this method is not allowed on this resource"),
    "MissingContentLength": (411, "the Content-Length header is missing"),
    "MissingSecurityHeader": (400, "a required header is missing"),
    "NoSuchBucket": (404, "there is no such bucket"),
    "NoSuchCORSConfiguration": (404, "the bucket has no CORS configuration"),
    "NoSuchKey": (404, "there is no such key"),
    "NoSuchTagSet": (404, "the bucket has no tags"),
    "NoSuchUpload": (404, "there is no such upload: it may have been completed or aborted"),
    "NoSuchVersion": (404, "there is no such version"),
    "NotImplemented": (501, "this is not implemented"),
    "OperationAborted": (409, "a conflicting change is under way: try again"),
    "PreconditionFailed": (412, "a precondition that you named does not hold"),
    "RequestTimeTooSkewed": (403, "the request's time differs from the server's by more than 15 minutes"),
    "RequestTimeout": (400, "the body did not arrive in time"),
    "ServiceUnavailable": (503, "the server cannot check who sends this: its log says why"),
    "SignatureDoesNotMatch": (403, "the signature does not match: check the secret key"),
    "SlowDown": (503, "too many requests at once: try again"),
    "TooManyBuckets": (400, "too many buckets"),
    "UnexpectedContent": (400, "the request has a body, and headers that take its place"),
    "XAmzContentSHA256Mismatch": (400, "the body does not match its x-amz-content-sha256"),
}
"""Code -> HTTP status and default message."""

KINDS: Mapping[str, str] = {
    "error": "InternalError",
    "invalid-input": "InvalidArgument",
    "invalid-name": "InvalidBucketName",
    "invalid-path": "InvalidArgument",
    "invalid-address": "InvalidArgument",
    "invalid-params": "InvalidArgument",
    "key-needed": "InternalError",
    "not-found": "NoSuchKey",
    "store-not-found": "InternalError",
    "repo-not-found": "NoSuchBucket",
    "branch-not-found": "NoSuchBucket",
    "commit-not-found": "NoSuchBucket",
    "tag-not-found": "NoSuchBucket",
    "transaction-not-found": "InternalError",
    "branch-empty": "NoSuchBucket",
    "path-not-found": "NoSuchKey",
    "purged": "NoSuchKey",
    "conflict": "OperationAborted",
    "already-exists": "BucketAlreadyOwnedByYou",
    "collected": "SlowDown",
    "branch-moved": "OperationAborted",
    "merge-conflict": "OperationAborted",
    "path-conflict": "ConditionalRequestConflict",
    "file-collision": "OperationAborted",
    "commit-closed": "AccessDenied",
    "precondition-failed": "PreconditionFailed",
    "corruption": "InternalError",
    "missing-object": "InternalError",
    "config-damaged": "InternalError",
    "index-damaged": "InternalError",
    "collection-lost": "InternalError",
    "storage": "InternalError",
    "storage-full": "InsufficientStorage",
    "bucket-full": "InsufficientStorage",
    "access-refused": "InternalError",
    "unreachable": "ServiceUnavailable",
    "archived": "InvalidObjectState",
    "thawing": "InvalidObjectState",
    "bucket-not-found": "InternalError",
    "conditions-ignored": "InternalError",
    "wrong-key": "InternalError",
    "other-root-key": "InternalError",
    "failed": "InternalError",
    "kernel-unavailable": "InternalError",
}
"""Kind of a pfs error -> code. A test holds it against the whole tree of `PfsError`."""


class S3Error(Exception):
    """An answer that is an error: ``code`` of CODES, message, fields for the XML such as ``ArgumentName``, headers."""

    def __init__(
        self,
        code: str,
        message: str = "",
        *,
        fields: Mapping[str, str] | None = None,
        headers: tuple[tuple[str, str], ...] = (),
    ) -> None:
        super().__init__(code, message)
        self.code = code
        self.status, default = CODES[code]
        self.message = message or default
        self.fields = dict(fields or {})
        self.headers = headers

    def __str__(self) -> str:
        return f"{self.code}: {self.message}"


class NotModifiedError(Exception):
    """The answer 304: the client has this version already. Its ``headers`` (ETag, Last-Modified) go along."""

    def __init__(self, headers: tuple[tuple[str, str], ...]) -> None:
        super().__init__(headers)
        self.headers = headers


def invalid_argument(name: str, value: str, message: str) -> S3Error:
    """Return the 400 for a parameter or header, with its name and value as S3 says them."""
    return S3Error("InvalidArgument", message, fields={"ArgumentName": name, "ArgumentValue": value})


def not_implemented(what: str) -> S3Error:
    """Return the 501 for an operation or header, by its name."""
    return S3Error("NotImplemented", f"{what} is not implemented", fields={"Header": what})


def from_pfs(error: PfsError) -> S3Error:
    """Translate an error of the library, with its own words, by the kind of its class or of the nearest base."""
    kinds = (cls.kind for cls in type(error).__mro__ if issubclass(cls, PfsError))
    code = next((KINDS[kind] for kind in kinds if kind in KINDS), "InternalError")
    return S3Error(code, str(error))
