"""XML in and out, the little of it that S3 needs.

Out: elements are strings, escaped when made; what XML cannot hold (control characters in keys) must be URL-encoded by
the caller, see `is_xml_text`. In: no document types, hence no entities; namespaces are dropped.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from xml.etree import ElementTree
from xml.sax.saxutils import escape

from s3api.errors import S3Error

NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"
MAX_DOCUMENT_BYTES = 4 << 20
"""More than 10,000 parts with all their checksums need."""

_NO_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_REFERENCE = re.compile("&#(x[0-9a-fA-F]{1,6}|[0-9]{1,7});")
_MARK, _SHIFT = "\uf8ff", 0x100
_HIDDEN = re.compile("[\x01-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff\uf8ff]")
_SHOWN = re.compile("\uf8ff([\u0101-\u011f\U000100fe\U000100ff\uf9ff])")
Node = ElementTree.Element


def is_xml_text(text: str) -> bool:
    """Say whether XML 1.0 can hold the text and give it back unchanged."""
    return _NO_XML.search(text) is None


def to_text(text: str) -> str:
    """Return text as XML has it between tags; characters that XML cannot hold come as U+FFFD.

    A carriage return comes as a reference: readers take a raw one for a line feed.
    """
    return escape(_NO_XML.sub(chr(0xFFFD), text), {"\r": "&#13;"})


def leaf(name: str, text: str | int) -> str:
    """Return an element of text (`to_text`)."""
    return f"<{name}>{to_text(str(text))}</{name}>"


def checksum_leaves(checksums: Mapping[str, str]) -> str:
    """Return the elements of kept checksums, by name, and of their ``type``: ``crc32`` is ChecksumCRC32."""
    texts = ((name.capitalize() if name == "type" else name.upper(), value) for name, value in checksums.items())
    return "".join(leaf(f"Checksum{name}", value) for name, value in texts)


def node(name: str, *children: str) -> str:
    """Return an element of elements."""
    return f"<{name}>{''.join(children)}</{name}>"


def document(name: str, *children: str) -> bytes:
    """Return a whole answer in S3's namespace."""
    head = '<?xml version="1.0" encoding="UTF-8"?>\n'
    return f'{head}<{name} xmlns="{NAMESPACE}">{"".join(children)}</{name}>'.encode()


def parse(data: bytes, root: str, *, strict: bool = False) -> Node:
    """Parse a document whose root element is ``root``; ``strict``: no element may be of a namespace that is not S3's.

    Raises:
        S3Error: MalformedXML; it is not UTF-8, not well-formed, has a document type or another root.
    """
    try:
        text = data.decode()
        if "<!DOCTYPE" in text or "\0" in text:
            raise S3Error("MalformedXML", "document types are not allowed")
        # A str, so that a declared encoding cannot make the parser read other characters than were checked.
        plain, hidden = _hide(text)
        found = ElementTree.fromstring(plain)
    except (UnicodeDecodeError, ElementTree.ParseError, ValueError) as error:
        raise S3Error("MalformedXML") from error
    if strict and any(element.tag.rpartition("}")[0] not in {"", "{" + NAMESPACE} for element in found.iter()):
        raise S3Error("MalformedXML", "an element is of a namespace that is not S3's")
    for element in found.iter():
        element.tag = element.tag.rpartition("}")[2]
        if hidden and element.text:
            element.text = _show(element.text)
    if found.tag != root:
        raise S3Error("MalformedXML", f"expected <{root}>, got <{found.tag}>")
    return found


def _hide(text: str) -> tuple[str, bool]:
    """Replace what keys may have and XML 1.0 may not, raw or as a reference, by a mark and a letter; say whether.

    Clients send such keys to DeleteObjects as they are. At most twice as long. A reference in a CDATA section is text,
    so there they stay.
    """
    plain = text if "<![CDATA[" in text else _REFERENCE.sub(_resolve, text)
    if not _NO_XML.search(plain):
        return text, False
    return _HIDDEN.sub(lambda match: _MARK + chr(ord(match[0]) + _SHIFT), plain), True


def _resolve(match: re.Match[str]) -> str:
    """Return the character of a reference to one that is hidden; any other reference stays."""
    code = int(match[1][1:], 16) if match[1][0] == "x" else int(match[1])
    return chr(code) if code < sys.maxunicode and _HIDDEN.fullmatch(chr(code)) else match[0]


def _show(text: str) -> str:
    return _SHOWN.sub(lambda match: chr(ord(match[1]) - _SHIFT), text)


def text_of(element: Node, name: str) -> str | None:
    """Return the text of a child, None without one."""
    child = element.find(name)
    return None if child is None else (child.text or "")
