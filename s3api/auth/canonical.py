"""The canonical text of a request under version 4: what a client that signed just this request has hashed.

There is more than one right text. S3 decodes the path and encodes it again; botocore signs it as it was sent, so that
``%2F`` stays what it is; a default port may stand in what was signed and not in what was sent. All of them are of the
same request and no other, so a signature of any is as good.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import product
from urllib.parse import quote, unquote_to_bytes

from s3api.http.request import Request

SIGNATURE = "X-Amz-Signature"
_SAFE = "-_.~"
_BLANKS = re.compile("[ \t]+")
_DEFAULT_PORTS = (":80", ":443")


def canonical_forms(request: Request, *, signed: Sequence[str], payload: str) -> Iterator[str]:
    """Yield the right texts, the likeliest first; at most 12. The signature in the query is not part of any."""
    path, query = _encoded_path(request), _encoded_query(request)
    likeliest = (_value(request, "host"), path, query)
    yield _text(request, likeliest, signed=signed, payload=payload)
    for parts in product(_hosts(request), {path, request.raw_path}, {query, _sent_query(request)}):
        if parts != likeliest:
            yield _text(request, parts, signed=signed, payload=payload)


def _text(request: Request, parts: tuple[str, str, str], *, signed: Sequence[str], payload: str) -> str:
    host, path, query = parts
    lines = [f"{name}:{host if name == 'host' else _value(request, name)}" for name in signed]
    return "\n".join([request.method, path, query, *lines, "", ";".join(signed), payload])


def _value(request: Request, name: str) -> str:
    return _BLANKS.sub(" ", request.headers.get(name, "").strip())


def _hosts(request: Request) -> list[str]:
    """Return the Host header, then with or without a default port: a proxy in front may take that away or add it."""
    sent = _value(request, "host")
    for port in _DEFAULT_PORTS:
        if sent.endswith(port):
            return [sent, sent.removesuffix(port)]
    has_port = sent.rpartition("]")[2].count(":") == 1
    return [sent] if has_port else [sent, *(sent + port for port in _DEFAULT_PORTS)]


def _encoded_path(request: Request) -> str:
    return quote(unquote_to_bytes(request.raw_path.encode("latin-1")), safe="/" + _SAFE)


def _encoded_query(request: Request) -> str:
    pairs = ((quote(name, safe=_SAFE), quote(value, safe=_SAFE)) for name, value in request.query if name != SIGNATURE)
    return "&".join(f"{name}={value}" for name, value in sorted(pairs))


def _sent_query(request: Request) -> str:
    """Return the query as it was sent, sorted: of bytes that are not UTF-8, and of a ``+`` that is meant as one."""
    pairs = (part.partition("=") for part in request.raw_query.split("&") if part)
    return "&".join(f"{name}={value}" for name, _, value in sorted(pairs) if name != SIGNATURE)
