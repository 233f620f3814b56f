"""Checksums as S3 has them."""

from __future__ import annotations

import hashlib
from base64 import b64encode
from collections.abc import Iterable, Sequence
from typing import Final

from pfs.errors import StorageError
from pps.transfers.wire import Answer

_SLOW: Final = 1 << 20


def crc32c_text(data: bytes) -> str:
    """Return the CRC32C of bytes as a header has it."""
    from awscrt.checksums import crc32c

    return b64encode(int(crc32c(data)).to_bytes(4, "big")).decode()


def md5_hex(pieces: Iterable[bytes | memoryview]) -> str:
    """Return the MD5 of pieces: the ETag of an object that was sent as one."""
    digest = hashlib.md5(usedforsecurity=False)
    for piece in pieces:
        digest.update(piece)
    return digest.hexdigest()


def composite(digests: Sequence[bytes]) -> str:
    """Return the ETag of an object that was sent in parts, from the MD5 of each."""
    return f"{hashlib.md5(b''.join(digests), usedforsecurity=False).hexdigest()}-{len(digests)}"


def check_arrived(answer: Answer, body: bytes, checksum: str, shown: str) -> None:
    """Compare what a server says of a body with the body: by its CRC32C, else by an ETag that is its MD5.

    MD5 is slow: where the server had to compare the SHA-256 of a large body, that is enough. An ETag under encryption
    by KMS is no MD5; then the server's word counts that took the body's length, and TLS.
    """
    said = answer.headers.get("x-amz-checksum-crc32c")
    if said is not None:
        right = said == checksum
    elif answer.signed_body and len(body) > _SLOW:
        right = True
    else:
        is_md5 = len(answer.etag) == 32 and not answer.headers.get("x-amz-server-side-encryption", "").startswith(
            "aws:"
        )
        right = not is_md5 or answer.etag == hashlib.md5(body, usedforsecurity=False).hexdigest()
    if not right:
        raise StorageError(shown, "what arrived is not what was sent")
