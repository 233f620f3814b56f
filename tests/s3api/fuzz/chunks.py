"""Bodies in aws-chunked framing: right ones, and such with wrong sizes, signatures and trailers."""

import hashlib
import hmac
import random
from collections.abc import Sequence

from tests.s3api.fuzz.signing import Headers, Signer
from tests.s3api.fuzz.words import word

UNSIGNED_TRAILER = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
PAYLOADS = (
    *(UNSIGNED_TRAILER,) * 2,
    "STREAMING-AWS4-HMAC-SHA256-PAYLOAD",
    "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER",
    "STREAMING-OTHER",
    "UNSIGNED-PAYLOAD",
)
SIZES = ("ffffffffffffffff", "-1", "0x5", "", "z", "00000005", "1" * 2000, " 5", "5 ")
TRAILERS = ("x-amz-checksum-crc32:NhCmhg==\r\n", "x-amz-checksum-crc32:\r\n", "no colon\r\n", ":\r\n", "")


def framed(rng: random.Random, parts: Sequence[bytes], headers: Headers, *, signer: Signer) -> bytes:
    """Frame a body as its headers say, now and then with something wrong."""
    sent = dict(headers)
    signed = sent["x-amz-content-sha256"].startswith(b"STREAMING-AWS4")
    date, last = sent["x-amz-date"].decode(), sent["Authorization"].decode().rpartition("=")[2]
    out = b""
    for part in [*parts, b""] if rng.random() < 0.9 else parts:
        size = f"{len(part):x}" if rng.random() < 0.9 else rng.choice(SIZES)
        if signed and rng.random() < 0.95:
            last = _chain(signer, date, last, part)
            size += f";chunk-signature={last}"
        out += size.encode() + b"\r\n" + part + (b"\r\n" if part else b"")
    trailer = rng.choice(TRAILERS) * rng.choice([1] * 9 + [500])
    if rng.random() < 0.3:
        trailer += f"x-amz-trailer-signature:{word(rng)}\r\n"
    return out + trailer.encode() + b"\r\n"


def _chain(signer: Signer, date: str, last: str, part: bytes) -> str:
    """Return the signature of a chunk behind another."""
    empty, digest = hashlib.sha256(b"").hexdigest(), hashlib.sha256(part).hexdigest()
    scope = f"{date[:8]}/us-east-1/s3/aws4_request"
    text = f"AWS4-HMAC-SHA256-PAYLOAD\n{date}\n{scope}\n{last}\n{empty}\n{digest}"
    return hmac.digest(signer.key(date[:8]), text.encode(), "sha256").hex()
