"""What both versions of listing must agree on: keys, prefixes and pages, read from raw answers."""

from dataclasses import dataclass
from urllib.parse import quote, unquote

from tests.s3api.conformance.wire import Wire, parse, texts
from tests.s3api.conftest import Reply


@dataclass(frozen=True)
class Listed:
    """A page as it came."""

    reply: Reply
    keys: list[str]
    prefixes: list[str]
    truncated: bool


def query_of(**params: object) -> str:
    """Return a query string; underscores in names are dashes."""
    return "&".join(f"{name.replace('_', '-')}={quote(str(value), safe='')}" for name, value in params.items())


def page(wire: Wire, bucket: str, version: int, **params: object) -> Listed:
    """Return one page, decoded if the answer says that it is encoded."""
    kind = {"list_type": 2} if version == 2 else {}
    reply = wire.get(f"/{bucket}?{query_of(**kind, **params)}")
    assert reply.status == 200, reply.body
    assert parse(reply).tag == "ListBucketResult"
    encoded = texts(reply, "EncodingType") == ["url"]
    keys, prefixes = texts(reply, "Contents/Key"), texts(reply, "CommonPrefixes/Prefix")
    if encoded:
        keys, prefixes = [unquote(key) for key in keys], [unquote(prefix) for prefix in prefixes]
    return Listed(reply, keys, prefixes, texts(reply, "IsTruncated") == ["true"])


def fill(wire: Wire, bucket: str, keys: list[str]) -> None:
    """Put objects whose bytes are their keys."""
    for key in keys:
        assert wire.put(f"/{bucket}/{quote(key)}", key.encode()).status == 200
