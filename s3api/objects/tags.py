"""Tags of objects and buckets: reading them from XML and from the header x-amz-tagging, S3's limits, and back to XML.

Lengths are in code points. Allowed are letters, digits and separators of any script, and ``+ - = . _ : / @``.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote_to_bytes

from pfs.trees.tree import Row
from s3api.errors import S3Error
from s3api.http.xml import Node, document, leaf, node, parse, text_of

MAX_KEY: Final = 128
MAX_VALUE: Final = 256
MAX_XML_BYTES: Final = 256 << 10
"""More than 50 tags need, however they are escaped."""
HEADER: Final = "x-amz-tagging"
AUX: Final = "g"
"""Where a row's aux has the tags of an object: key to value, by key."""
_ESCAPE = re.compile("%(?![0-9A-Fa-f]{2})")
_SIGNS = frozenset("+-=._:/@")
_BAD_HEADER = "the header x-amz-tagging must hold tags as URL-encoded query parameters in UTF-8, no key twice"


@dataclass(frozen=True, slots=True)
class Kind:
    """What is tagged, with what S3 says of too many tags, and of those that only the system may set."""

    most: int
    too_many: str
    system: str


OBJECT: Final = Kind(10, "Object tags cannot be greater than 10", "Your TagKey cannot be prefixed with aws:")
BUCKET: Final = Kind(
    50, "Bucket tag count cannot be greater than 50", "System tags cannot be added/updated by requester"
)


def parse_tagging(body: bytes, kind: Kind) -> dict[str, str]:
    """Return the tags of a ``Tagging`` document, by key; none is none.

    Raises:
        S3Error: MalformedXML, InvalidTag, BadRequest (too many).
    """
    found = list(parse(body, "Tagging", strict=True))
    if [child.tag for child in found] != ["TagSet"]:
        raise S3Error("MalformedXML", "a tagging has one TagSet, and nothing else")
    return parse_tag_set(found[0], kind)


def parse_tag_set(element: Node, kind: Kind) -> dict[str, str]:
    """Return the tags that are the children of an element; raises as `parse_tagging`."""
    pairs = list[tuple[str, str]]()
    for child in element:
        key, value = text_of(child, "Key"), text_of(child, "Value")
        if child.tag != "Tag" or key is None or value is None:
            raise S3Error("MalformedXML", "each Tag has a Key and a Value")
        pairs.append((key, value))
    return check_tags(pairs, kind)


def parse_tag_header(text: str) -> dict[str, str]:
    """Return the tags of ``key=value&key2=value2``, by key; a key alone has the value ``""``, empty pairs are none.

    Raises:
        S3Error: InvalidArgument (a key twice, no UTF-8, two ``=``), InvalidTag, BadRequest (too many).
    """
    pairs = [_pair(part, text) for part in text.split("&") if part]
    if len({key for key, _ in pairs}) < len(pairs):
        raise _bad_header(text)
    return check_tags(pairs, OBJECT)


def _pair(part: str, text: str) -> tuple[str, str]:
    key, _, value = part.partition("=")
    if "=" in value or _ESCAPE.search(part):
        raise _bad_header(text)
    try:
        return _decoded(key), _decoded(value)
    except UnicodeDecodeError as error:
        raise _bad_header(text) from error


def _decoded(text: str) -> str:
    return unquote_to_bytes(text.replace("+", " ")).decode()


def _bad_header(text: str) -> S3Error:
    return S3Error("InvalidArgument", _BAD_HEADER, fields={"ArgumentName": HEADER, "ArgumentValue": text})


def check_tags(pairs: Sequence[tuple[str, str]], kind: Kind) -> dict[str, str]:
    """Return tags as a mapping, by key, if they may be; the first that may not decides, their number last.

    Raises:
        S3Error: InvalidTag, BadRequest (too many).
    """
    found = dict[str, str]()
    for key, value in pairs:
        fields = {"TagKey": key}
        if key in found:
            raise S3Error("InvalidTag", "Cannot provide multiple Tags with the same key", fields=fields)
        if key.startswith("aws:"):
            raise S3Error("InvalidTag", kind.system, fields=fields)
        if not 1 <= len(key) <= MAX_KEY or not _is_allowed(key):
            raise S3Error("InvalidTag", "The TagKey you have provided is invalid", fields=fields)
        if len(value) > MAX_VALUE or not _is_allowed(value):
            fields["TagValue"] = value
            raise S3Error("InvalidTag", "The TagValue you have provided is invalid", fields=fields)
        found[key] = value
    if len(found) > kind.most:
        raise S3Error("BadRequest", kind.too_many)
    return dict(sorted(found.items()))


def _is_allowed(text: str) -> bool:
    return all(char in _SIGNS or unicodedata.category(char)[0] in "LNZ" for char in text)


def tags_of(row: Row) -> dict[str, str]:
    """Return the tags of an object."""
    kept = row.aux.get(AUX) if row.aux else None
    return {str(key): str(value) for key, value in kept.items()} if isinstance(kept, Mapping) else {}


def with_tags(aux: Mapping[str, object] | None, tags: Mapping[str, str]) -> dict[str, object]:
    """Return ``aux`` with these tags and no others."""
    plain = {name: value for name, value in (aux or {}).items() if name != AUX}
    return {**plain, AUX: dict(tags)} if tags else plain


def tagging_xml(tags: Mapping[str, str]) -> bytes:
    """Return the document that Get…Tagging answers with."""
    rows = (node("Tag", leaf("Key", key), leaf("Value", value)) for key, value in tags.items())
    return document("Tagging", node("TagSet", *rows))
