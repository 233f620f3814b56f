"""Form uploads: fields of any kind in any order, policies right and wrong, boundaries that may not fit."""

import base64
import hmac
import json
import random
from dataclasses import dataclass
from datetime import UTC, datetime

from tests.s3api.fuzz.signing import Signer
from tests.s3api.fuzz.words import key, number, spoil, word

NAMES = (
    *("acl", "tagging", "Content-Type", "success_action_status", "success_action_redirect", "x-amz-meta-a", "redirect"),
    *(
        "AWSAccessKeyId",
        "signature",
        "bucket",
        "x-ignore-a",
        "Content-MD5",
        "x-amz-checksum-crc32",
        "x-amz-storage-class",
    ),
    *("x-amz-security-token", "If-None-Match", "Cache-Control", "x-amz-server-side-encryption", "file", "key"),
)
CONDITIONS: tuple[object, ...] = (
    ["starts-with", "$key", ""],
    {"bucket": "b"},
    ["eq", "$key", "k"],
    ["content-length-range", 0, 10],
    ["content-length-range", "0", "9"],
    ["starts-with", "$Content-Type", "text/"],
    ["starts-with"],
    [],
    {},
    None,
    5,
    ["eq", 1, 2],
    {"key": {"a": []}},
    ["content-length-range", -1, 1e999],
)
ODD_POLICIES = (b"", b"{}", b"[]", b"null", b"[" * 5000, b'{"expiration": 5, "conditions": {}}', b"\xff", b"NaN")


@dataclass(frozen=True)
class Form:
    """A form's body with the Content-Type that goes with it."""

    content_type: bytes
    body: bytes


def form(rng: random.Random, signer: Signer) -> Form:
    boundary = rng.choice(["xyz", "xyz", "xyz", "xyz", "", "a b", "x" * 80, "é", "--"])
    fields = [(name, rng.choice([word(rng), number(rng), f"{key(rng)}${{filename}}"])) for name in _names(rng)]
    if rng.random() < 0.7:
        fields += _signed(rng, signer)
    fields.append(("key", f"k{rng.randrange(9)}${{filename}}"))
    rng.shuffle(fields)
    lines = [f'--{boundary}\r\nContent-Disposition: form-data; name="{n}"\r\n\r\n{v}\r\n' for n, v in fields]
    kind = f"Content-Type: {word(rng)}\r\n" if rng.random() < 0.5 else ""
    file = f'Content-Disposition: form-data; name="file"; filename="{word(rng)}"\r\n{kind}\r\nhello\r\n'
    lines.insert(rng.choice([len(lines)] * 4 + [0]), f"--{boundary}\r\n{file}")
    end = rng.choice([f"--{boundary}--\r\n"] * 4 + [f"--{boundary}--", "", "--"])
    body = ("".join(lines) + end).encode()
    content_type = rng.choice([f"multipart/form-data; boundary={boundary}"] * 6 + [word(rng)])
    return Form(content_type.encode(), spoil(rng, body, 6) if rng.random() < 0.3 else body)


def _names(rng: random.Random) -> list[str]:
    return [*rng.sample(NAMES, rng.randint(0, 4)), *([word(rng)] if rng.random() < 0.1 else [])]


def _signed(rng: random.Random, signer: Signer) -> list[tuple[str, str]]:
    """Return a policy with its signature; about half of them hold."""
    date = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    conditions = rng.sample(CONDITIONS, rng.randint(0, 3)) if rng.random() < 0.5 else [{"bucket": "b"}]
    names = ("key", "Content-Type", "x-amz-algorithm", "x-amz-credential", "x-amz-date", "acl", "tagging")
    covered = [["starts-with", f"${name}", ""] for name in names]
    expires = rng.choice(["2099-01-01T00:00:00Z", "2099-01-01T00:00:00.000Z", "2001-01-01T00:00:00Z", word(rng)])
    whole = json.dumps({"expiration": expires, "conditions": [*covered, *conditions]}).encode()
    raw = rng.choice([whole] * 4 + [spoil(rng, whole), rng.choice(ODD_POLICIES)])
    policy = rng.choice([base64.b64encode(raw).decode()] * 6 + [word(rng)])
    signature = hmac.digest(signer.key(date[:8]), policy.encode(), "sha256").hex()
    return [
        ("policy", policy),
        ("x-amz-algorithm", rng.choice(["AWS4-HMAC-SHA256"] * 6 + [word(rng)])),
        ("x-amz-credential", f"{signer.access_key}/{date[:8]}/us-east-1/s3/{rng.choice(['aws4_request'] * 6 + ['x'])}"),
        ("x-amz-date", rng.choice([date] * 6 + [word(rng)])),
        ("x-amz-signature", rng.choice([signature] * 6 + [word(rng)])),
    ]
