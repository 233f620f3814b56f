"""The signature of requests to S3: AWS Signature Version 4, as its documentation "Signing AWS API requests" has it.

botocore signs, too, at ten times the cost: a value object, event handlers and sorted headers for each request. Many
small files are sent at the speed of this.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from functools import lru_cache
from urllib.parse import quote

UNSIGNED = "UNSIGNED-PAYLOAD"
_ALGORITHM = "AWS4-HMAC-SHA256"


def escaped(text: str | bytes, *, safe: str = "") -> str:
    """Return a text percent-encoded as signatures want it: all but letters, digits and ``-._~``."""
    return quote(text, safe=safe + "-._~")


def query_text(query: Mapping[str, str]) -> str:
    """Return a query in the one order and spelling that is signed."""
    return "&".join(f"{escaped(name)}={escaped(value)}" for name, value in sorted(query.items()))


def signature(
    request: tuple[str, str, str],
    headers: Mapping[str, str],
    *,
    keys: tuple[str, str],
    region: str,
    payload: str,
) -> str:
    """Return the header ``authorization``.

    ``request``: method, escaped path, query as of `query_text`. ``headers``: all that are signed, in lower case, with
    ``host`` and ``x-amz-date``. ``keys``: id and secret. ``payload``: its SHA-256 in hex, or `UNSIGNED`.
    """
    names = sorted(headers)
    lines = "".join(f"{name}:{' '.join(headers[name].split())}\n" for name in names)
    signed = ";".join(names)
    canonical = "\n".join((*request, lines, signed, payload))
    moment = headers["x-amz-date"]
    scope = f"{moment[:8]}/{region}/s3/aws4_request"
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    key_id, secret = keys
    signing = _signing_key(secret, moment[:8], region)
    found = hmac.digest(signing, f"{_ALGORITHM}\n{moment}\n{scope}\n{digest}".encode(), "sha256").hex()
    return f"{_ALGORITHM} Credential={key_id}/{scope}, SignedHeaders={signed}, Signature={found}"


@lru_cache(maxsize=16)
def _signing_key(secret: str, day: str, region: str) -> bytes:
    key = f"AWS4{secret}".encode()
    for text in (day, region, "s3", "aws4_request"):
        key = hmac.digest(key, text.encode(), "sha256")
    return key
