"""What may be logged of a text that a client chose: any, but for the values of parameters that let somebody in.

A presigned address that was pasted where it does not belong (behind ``%3F`` in a path, into a copy source or a
User-Agent) is still good for whoever reads the log, and an access key may be a secret that was put in its place.
"""

from __future__ import annotations

import re
from typing import Final

REDACTED: Final = "[redacted]"
_SECRET = re.compile(
    r"((?:Signature|X-Amz-Security-Token|AWSAccessKeyId|Credential)(?:=|%(?:25)*3D))[^&\s]+", re.IGNORECASE
)
"""Signature and Credential also end X-Amz-Signature and X-Amz-Credential, and stand so in an Authorization header."""


def redact(text: str) -> str:
    """Return the text without the values of such parameters, encoded or not; each up to a ``&`` or a blank."""
    return _SECRET.sub(rf"\1{REDACTED}", text)
