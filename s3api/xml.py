"""XML in and out, the little of it that S3 needs.

Out: elements are strings, escaped when made; what XML cannot hold (control characters in keys) must be URL-encoded by
the caller, see `is_xml_text`. In: no document types, hence no entities; namespaces are dropped.
"""

from __future__ import annotations

import re
from xml.etree import ElementTree
from xml.sax.saxutils import escape

from s3api.errors import S3Error

NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"
MAX_DOCUMENT_BYTES = 4 << 20
"""More than 10,000 parts with all their checksums need."""

_NO_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
Node = ElementTree.Element


def is_xml_text(text: str) -> bool:
    """Say whether XML 1.0 can hold the text as it is and give it back unchanged."""
    return "\r" not in text and _NO_XML.search(text) is None


def leaf(name: str, text: str | int) -> str:
    """Return an element of text; characters that XML cannot hold come as U+FFFD."""
    return f"<{name}>{escape(_NO_XML.sub(chr(0xFFFD), str(text)))}</{name}>"


def node(name: str, *children: str) -> str:
    """Return an element of elements."""
    return f"<{name}>{''.join(children)}</{name}>"


def document(name: str, *children: str) -> bytes:
    """Return a whole answer in S3's namespace."""
    head = '<?xml version="1.0" encoding="UTF-8"?>\n'
    return f'{head}<{name} xmlns="{NAMESPACE}">{"".join(children)}</{name}>'.encode()


def parse(data: bytes, root: str) -> Node:
    """Parse a document whose root element is ``root``.

    Raises:
        S3Error: MalformedXML; it is not UTF-8, not well-formed, has a document type or another root.
    """
    try:
        text = data.decode()
        if "<!DOCTYPE" in text or "\0" in text:
            raise S3Error("MalformedXML", "document types are not allowed")
        # A str, so that a declared encoding cannot make the parser read other characters than were checked.
        found = ElementTree.fromstring(text)
    except (UnicodeDecodeError, ElementTree.ParseError, ValueError) as error:
        raise S3Error("MalformedXML") from error
    for element in found.iter():
        element.tag = element.tag.rpartition("}")[2]
    if found.tag != root:
        raise S3Error("MalformedXML", f"expected <{root}>, got <{found.tag}>")
    return found


def text_of(element: Node, name: str) -> str | None:
    """Return the text of a child, None without one."""
    child = element.find(name)
    return None if child is None else (child.text or "")
