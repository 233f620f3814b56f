"""URLs of places that egress sends files to."""

from __future__ import annotations

from urllib.parse import unquote, urlsplit

from pfs.errors import InvalidInputError
from pfs.shorten import quoted

SCHEMES = ("s3", "file")


def split(url: str) -> tuple[str, str, str]:
    """Return scheme, bucket (empty for ``file``) and path of a URL, without the slash in front of a key.

    Raises:
        InvalidInputError: it is no such URL.
    """
    try:
        parts = urlsplit(url)
        path = parts.path if parts.scheme == "s3" else unquote(parts.path)
    except ValueError as error:
        raise InvalidInputError(f"{quoted(url)} is no URL: {error}") from error
    if parts.scheme not in SCHEMES:
        hint = "give s3://bucket/path or file:///path"
        raise InvalidInputError(f"egress to {quoted(url)} is not supported: {hint}")
    if parts.query or parts.fragment:
        raise InvalidInputError(f"{quoted(url)} should be a bucket and a path alone, without ? and #")
    if parts.scheme == "s3":
        if not parts.netloc or "@" in parts.netloc:
            raise InvalidInputError(f"{quoted(url)} should name a bucket: s3://bucket/path")
        return "s3", parts.netloc, path.strip("/")
    if parts.netloc not in {"", "localhost"} or not path.startswith("/"):
        raise InvalidInputError(f"{quoted(url)} should be an absolute path: file:///path")
    return "file", "", path
