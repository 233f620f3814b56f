"""What URLs say by themselves: scheme, base name, and how they are shown to people."""

from __future__ import annotations

import re
from typing import Final

from pfs.errors import InvalidInputError
from pfs.shorten import shorten

_SCHEME: Final = r"[A-Za-z][A-Za-z0-9+.-]*(?=://)"
_LONGEST: Final = 120
"""Of a URL in a message: what leads there should be seen, and what it is."""
_NO_TYPE: Final = {"", "application/octet-stream", "binary/octet-stream", "application/x-www-form-urlencoded"}


def scheme_of(word: str) -> str | None:
    """Return the scheme of a URL in lower case; None for what is none."""
    found = re.match(_SCHEME, word)
    return found[0].lower() if found else None


def shown(url: str) -> str:
    """Return a URL for messages: without user and password, and without a query, which may be a signature."""
    scheme, _, rest = url.partition("#")[0].partition("://")
    place, question, _ = rest.partition("?")
    host, slash, path = place.partition("/")
    return short(f"{scheme}://{host.rpartition('@')[2]}{slash}{path}{question and '?…'}")


def short(url: str) -> str:
    """Return a URL without secrets for messages, shortened."""
    return shorten(url, _LONGEST)


def name_of(url: str) -> str:
    """Return the base name of what a URL names; of HTTP URLs without a query, and unquoted.

    Raises:
        InvalidInputError: it ends in a slash, or has no path.
    """
    scheme, _, rest = url.partition("://")
    if scheme.lower() in {"http", "https"}:
        from urllib.parse import unquote

        rest = rest.partition("#")[0].partition("?")[0]
        path = unquote(rest.partition("/")[2], errors="surrogateescape")
    else:
        path = rest.partition("/")[2]
    name = path.rpartition("/")[2]
    if not name:
        raise InvalidInputError(f"{shown(url)} names no file: it ends in a slash, or has no path")
    return name


def media_type(text: str | None) -> str | None:
    """Return a media type that says something; None for those that only mean bytes."""
    return None if text is None or text.strip().lower() in _NO_TYPE else text.strip()
