"""One page of a listing: objects and common prefixes in key order, for any prefix and delimiter; O(page) each."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice, repeat
from urllib.parse import quote

from pfs.trees.tree import Row, Tree
from s3api.errors import invalid_argument
from s3api.http.headers import OWNER
from s3api.http.numbers import parse_number
from s3api.http.request import Request
from s3api.http.times import iso_date
from s3api.http.xml import is_xml_text, leaf, node, to_text
from s3api.objects.metadata import checksums_of, etag_of, is_object, modified_ns

MAX_KEYS = 1000
_MAX_INT = (1 << 31) - 1
_UNRESERVED = re.compile("[A-Za-z0-9_.~/-]*")
"""What `quote` leaves as it is."""
_MARKUP = re.compile("[&<>\r]|[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


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
    count = parse_number(text, most=_MAX_INT) if text else default
    if count is None:
        raise invalid_argument(name, text, f"{name} must be a number from 0 to {_MAX_INT}")
    return count


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
    """Writes a page as XML; when XML cannot hold one of its texts, the page is URL-encoded though nobody asked.

    A page has a thousand rows and is asked for again and again, so its texts are looked at together: most have nothing
    that must be encoded or escaped, and then none is.
    """

    def __init__(self, query: Query, page: Page, *texts: str) -> None:
        self._rows, self._keys = page.rows, [row.key.decode() for row in page.rows]
        self._prefixes = [prefix.decode() for prefix in page.prefixes]
        self._etags = [etag_of(row) for row in page.rows]
        names = "".join((*self._keys, *self._prefixes))
        self.encoded = query.url_encoded or not is_xml_text("".join((query.prefix, query.delimiter, *texts, names)))
        plain = self.encoded and _UNRESERVED.fullmatch(names)
        self._quoted: Callable[[str], str] = quote if self.encoded and not plain else str
        self._escaped: Callable[[str], str] = to_text if _MARKUP.search(names + "".join(self._etags)) else str

    def leaf(self, name: str, text: str) -> str:
        """Return an element whose text is URL-encoded if the page is."""
        return leaf(name, quote(text) if self.encoded else text)

    def contents(self, *, owner: bool) -> str:
        """Return the Contents and CommonPrefixes elements."""
        who = owner_node() if owner else ""
        rows = map(self._row, self._keys, self._etags, self._rows, repeat(who))
        shown = (self._escaped(self._quoted(prefix)) for prefix in self._prefixes)
        return "".join([*rows, *(f"<CommonPrefixes><Prefix>{text}</Prefix></CommonPrefixes>" for text in shown)])

    def _row(self, key: str, etag: str, row: Row, owner: str) -> str:
        return (
            f"<Contents><Key>{self._escaped(self._quoted(key))}</Key>"
            f"<LastModified>{iso_date(modified_ns(row))}</LastModified>"
            f'<ETag>"{self._escaped(etag)}"</ETag>{_checksum_nodes(row) if row.aux and "c" in row.aux else ""}'
            f"<Size>{row.size}</Size>{owner}<StorageClass>STANDARD</StorageClass></Contents>"
        )


def _checksum_nodes(row: Row) -> str:
    checksums = checksums_of(row.aux)
    kind = checksums.pop("type", None)
    algorithms = "".join(leaf("ChecksumAlgorithm", name.upper()) for name in checksums)
    return algorithms + (leaf("ChecksumType", kind) if kind else "")


def owner_node(name: str = "Owner") -> str:
    """Return the element of the one owner of everything."""
    return node(name, leaf("ID", OWNER), leaf("DisplayName", OWNER))
