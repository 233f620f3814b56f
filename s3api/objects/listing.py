"""One page of a listing: objects and common prefixes in key order, for any prefix and delimiter; O(page) each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from urllib.parse import quote

from pfs.trees.tree import Row, Tree
from s3api.errors import invalid_argument
from s3api.http.headers import OWNER
from s3api.http.request import Request
from s3api.http.times import iso_date
from s3api.http.xml import is_xml_text, leaf, node
from s3api.objects.metadata import checksums_of, etag_of, is_object, modified_ns

MAX_KEYS = 1000
_MAX_INT = (1 << 31) - 1


@dataclass(frozen=True, slots=True)
class Query:
    """What every version of listing takes; texts are as sent."""

    prefix: str
    delimiter: str
    max_keys: int
    url_encoded: bool


@dataclass(frozen=True, slots=True)
class Page:
    """A page; ``last`` is what to list behind for the next one, when it is ``truncated``."""

    rows: tuple[Row, ...]
    prefixes: tuple[bytes, ...]
    truncated: bool
    last: bytes


def parse_query(request: Request) -> Query:
    """Read the common parameters.

    Raises:
        S3Error: InvalidArgument.
    """
    params = request.params
    max_keys = parse_page_size(params.get("max-keys", ""), "max-keys")
    return Query(params.get("prefix", ""), params.get("delimiter", ""), max_keys, parse_encoding(params))


def parse_encoding(params: Mapping[str, str]) -> bool:
    """Say whether names are to be URL-encoded.

    Raises:
        S3Error: InvalidArgument.
    """
    encoding = params.get("encoding-type", "")
    if encoding not in {"", "url"}:
        raise invalid_argument("encoding-type", encoding, "encoding-type must be url")
    return encoding == "url"


def parse_page_size(text: str, name: str) -> int:
    """Return the value of max-keys and its like: at most 1000, which is also the default.

    Raises:
        S3Error: InvalidArgument.
    """
    return min(parse_count(text, name, default=MAX_KEYS), MAX_KEYS)


def parse_count(text: str, name: str, *, default: int) -> int:
    """Return a number; empty text is the default.

    Raises:
        S3Error: InvalidArgument.
    """
    if text and (not text.isdecimal() or not text.isascii() or int(text[:11]) > _MAX_INT):
        raise invalid_argument(name, text, f"{name} must be a number from 0 to 2147483647")
    return int(text) if text else default


def list_page(tree: Tree, query: Query, start_after: bytes) -> Page:
    """Return the entries behind ``start_after``, which is a key or a common prefix of an earlier page."""
    if not query.max_keys:
        return Page((), (), False, b"")
    found = list(islice(_entries(tree, query, start_after), query.max_keys + 1))
    page = found[: query.max_keys]
    rows = tuple(entry for entry in page if isinstance(entry, Row))
    prefixes = tuple(entry for entry in page if isinstance(entry, bytes))
    last = page[-1] if page else b""
    return Page(rows, prefixes, len(found) > len(page), last.key if isinstance(last, Row) else last)


def _entries(tree: Tree, query: Query, start_after: bytes) -> Iterator[Row | bytes]:
    prefix, delimiter = query.prefix.encode(), query.delimiter.encode()
    if not delimiter:
        yield from filter(is_object, tree.scan_prefix(prefix, start_after=start_after))
    elif delimiter == b"/":
        for row in tree.list_delimited(prefix, start_after=start_after):
            if row.is_dir:
                yield row.order_key
            elif is_object(row):
                yield row
    else:
        yield from _rolled_up(tree, prefix, delimiter, start_after)


def _rolled_up(tree: Tree, prefix: bytes, delimiter: bytes, start_after: bytes) -> Iterator[Row | bytes]:
    """List by a delimiter that the tree knows nothing of: at each common prefix, go on behind all its keys."""
    common = _common_prefix(start_after, prefix, delimiter)
    bound: bytes | None = start_after if common != start_after else _behind(start_after)
    while bound is not None:
        rows, bound = tree.scan_prefix(prefix, start_after=bound), None
        for row in filter(is_object, rows):
            common = _common_prefix(row.key, prefix, delimiter)
            if common is not None:
                yield common
                bound = _behind(common)
                break
            yield row


def _common_prefix(key: bytes, prefix: bytes, delimiter: bytes) -> bytes | None:
    at = key.find(delimiter, len(prefix)) if key.startswith(prefix) else -1
    return None if at < 0 else key[: at + len(delimiter)]


def _behind(prefix: bytes) -> bytes:
    """Return what sorts behind every key with this prefix: keys are UTF-8, which has no byte 0xff."""
    return prefix + b"\xff"


class Writer:
    """Writes a page as XML; when XML cannot hold one of its texts, the page is URL-encoded though nobody asked."""

    def __init__(self, query: Query, page: Page, *texts: str) -> None:
        names = [row.key.decode() for row in page.rows] + [prefix.decode() for prefix in page.prefixes]
        all_texts = (query.prefix, query.delimiter, *texts, *names)
        self.encoded = query.url_encoded or not all(map(is_xml_text, all_texts))
        self._page = page

    def leaf(self, name: str, text: str) -> str:
        """Return an element whose text is URL-encoded if the page is."""
        return leaf(name, quote(text) if self.encoded else text)

    def contents(self, *, owner: bool) -> str:
        """Return the Contents and CommonPrefixes elements."""
        rows = (self._row(row, owner=owner) for row in self._page.rows)
        prefixes = (node("CommonPrefixes", self.leaf("Prefix", prefix.decode())) for prefix in self._page.prefixes)
        return "".join([*rows, *prefixes])

    def _row(self, row: Row, *, owner: bool) -> str:
        checksums = checksums_of(row.aux)
        kind = checksums.pop("type", None)
        return node(
            "Contents",
            self.leaf("Key", row.key.decode()),
            leaf("LastModified", iso_date(modified_ns(row))),
            leaf("ETag", f'"{etag_of(row)}"'),
            *(leaf("ChecksumAlgorithm", name.upper()) for name in checksums),
            leaf("ChecksumType", kind) if kind else "",
            leaf("Size", row.size),
            owner_node() if owner else "",
            leaf("StorageClass", "STANDARD"),
        )


def owner_node(name: str = "Owner") -> str:
    """Return the element of the one owner of everything."""
    return node(name, leaf("ID", OWNER), leaf("DisplayName", OWNER))
