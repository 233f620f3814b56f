"""The bytes of a request, as whole as its maker wants them."""

from tests.s3api.fuzz.signing import Headers

_LINE_ENDS = bytes(range(32)).replace(b"\t", b"") + b"\x7f"


def clean(headers: Headers) -> Headers:
    """Leave out what would end a header's line: that is for requests whose bytes are mutated."""
    return [(name, value.translate(None, _LINE_ENDS)) for name, value in headers]


def message(method: str, target: str, headers: Headers, body: bytes = b"", *, chunked: bool = False) -> bytes:
    """Return a request; `chunked` sends the body in two chunks of HTTP."""
    lines = [f"{method} {target} HTTP/1.1".encode(), *(name.encode() + b": " + value for name, value in headers)]
    if chunked:
        at = len(body) // 2
        pieces = [piece for piece in (body[:at], body[at:]) if piece]
        body = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"
        lines.append(b"Transfer-Encoding: chunked")
    elif body or method in {"PUT", "POST"}:
        lines.append(b"Content-Length: %d" % len(body))
    return b"\r\n".join([*lines, b"", body])
