"""Where the objects of a store are in S3, and how they are asked for; what `pfs init --backend` was told."""

from __future__ import annotations

import re
from typing import Final, Literal

from msgspec import Struct

from pfs.errors import InvalidInputError
from pfs.shorten import quoted

SCHEME: Final = "s3://"
_BUCKET: Final = r"[A-Za-z0-9][A-Za-z0-9._-]{1,254}"
_PREFIX: Final = r"[A-Za-z0-9_.+=-]+(/[A-Za-z0-9_.+=-]+)*"
_MAX_PREFIX: Final = 512
TIMEOUT_S: Final = 60

Addressing = Literal["auto", "path", "virtual"]


class S3Options(Struct, frozen=True, kw_only=True):
    """How to reach the bucket; nothing here is secret: keys come from where boto3 finds them.

    ``profile``: one of ~/.aws/config. ``addressing``: the bucket in the path or in the host name. ``storage_class``: of
    data packs alone, as all else is read often. ``sse``: AES256, aws:kms … with ``sse_key``, the id of a KMS key.
    ``bare_etags``: the server compares etags of conditional PUTs without quotes; found out by trying (`pfs.attach`).
    ``boto3_only``: read by boto3 even where obstore is installed. ``ca_bundle``: file of certificates that are trusted.
    ``timeout_s``: silence after which a request is given up, tried again for twice as long. ``anonymous``: nothing is
    signed. ``requester_pays``: we pay for requests. ``read_only``: nothing is written, as the credentials may not, and
    so it is not known whether conditions of writes are kept; found out by trying.
    """

    endpoint: str | None = None
    region: str | None = None
    profile: str | None = None
    addressing: Addressing = "auto"
    storage_class: str | None = None
    sse: str | None = None
    sse_key: str | None = None
    bare_etags: bool = False
    boto3_only: bool = False
    ca_bundle: str | None = None
    timeout_s: int | None = None
    anonymous: bool = False
    requester_pays: bool = False
    read_only: bool = False

    @property
    def silence_s(self) -> int:
        """Seconds without a byte after which a request is given up."""
        return self.timeout_s or TIMEOUT_S


class S3Place(Struct, frozen=True):
    """A bucket and the prefix of all names in it: empty, or ending in a slash."""

    bucket: str
    prefix: str

    @property
    def url(self) -> str:
        """As `parse_s3_url` takes it."""
        return f"{SCHEME}{self.bucket}/{self.prefix}".rstrip("/")


def parse_s3_url(url: str) -> S3Place:
    """Parse ``s3://bucket/prefix``.

    Raises:
        InvalidInputError: there is no bucket in it, or the prefix has characters that names of objects have not.
    """
    bucket, _, prefix = url.removeprefix(SCHEME).partition("/")
    prefix = prefix.rstrip("/")
    if not url.startswith(SCHEME) or not re.fullmatch(_BUCKET, bucket):
        raise InvalidInputError(f"{quoted(url)} names no bucket: write s3://bucket/prefix")
    dotted = {".", ".."} & set(prefix.split("/"))
    if prefix and (not re.fullmatch(_PREFIX, prefix) or dotted or len(prefix) > _MAX_PREFIX):
        raise InvalidInputError(f"the prefix in {quoted(url)} cannot be used: write letters, digits and _ . + = - /")
    return S3Place(bucket, prefix and prefix + "/")
