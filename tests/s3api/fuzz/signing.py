"""Signatures of version 4 over whatever bytes a request has; botocore's signer would refuse to sign many of them."""

import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import quote, unquote_to_bytes

_SAFE = "-_.~"
Headers = list[tuple[str, bytes]]


@dataclass(frozen=True)
class Signer:
    """Signs for one key."""

    access_key: str
    secret: str

    def key(self, day: str) -> bytes:
        """Return the derived key of a day."""
        derived = f"AWS4{self.secret}".encode()
        for part in (day, "us-east-1", "s3", "aws4_request"):
            derived = hmac.digest(derived, part.encode(), "sha256")
        return derived

    def headers(self, method: str, target: str, headers: Sequence[tuple[str, bytes]], *, payload: str) -> Headers:
        """Return the headers with a signature over all of them, which comes last."""
        date = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
        sent = [*headers, ("x-amz-date", date.encode()), ("x-amz-content-sha256", payload.encode())]
        joined: dict[str, str] = {}
        for name, value in sent:
            text = _text(value.strip(b" \t"))
            joined[name.lower()] = f"{joined[name.lower()]},{text}" if name.lower() in joined else text
        names = sorted(joined)
        path, _, query = target.partition("?")
        lines = [method, quote(unquote_to_bytes(path), safe="/" + _SAFE), _query(query)]
        lines += [f"{name}:{joined[name]}" for name in names]
        canonical = "\n".join([*lines, "", ";".join(names), payload])
        digest = hashlib.sha256(canonical.encode()).hexdigest()
        scope = f"{date[:8]}/us-east-1/s3/aws4_request"
        signature = hmac.digest(self.key(date[:8]), f"AWS4-HMAC-SHA256\n{date}\n{scope}\n{digest}".encode(), "sha256")
        credential = f"Credential={self.access_key}/{scope}"
        value = f"AWS4-HMAC-SHA256 {credential},SignedHeaders={';'.join(names)},Signature={signature.hex()}"
        return [*sent, ("Authorization", value.encode())]


def _query(raw: str) -> str:
    pairs = [part.partition("=") for part in raw.replace("+", " ").split("&") if part]
    coded = [(quote(unquote_to_bytes(n), safe=_SAFE), quote(unquote_to_bytes(v), safe=_SAFE)) for n, _, v in pairs]
    return "&".join(f"{name}={value}" for name, value in sorted(coded))


def _text(raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode("latin-1")
