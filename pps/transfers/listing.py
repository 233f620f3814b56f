"""The documents by which S3 lists objects, uploads and parts."""

from __future__ import annotations

from xml.etree import ElementTree

from pfs.errors import StorageError


def entries(document: bytes, name: str, shown: str) -> tuple[list[dict[str, str]], dict[str, str]]:
    """Return the elements of one name as mappings, and the other texts of a document; namespaces are left out.

    Raises:
        StorageError: it is no such document; ``shown`` says what was asked for.
    """
    try:
        root = ElementTree.fromstring(document)
    except ElementTree.ParseError as error:
        raise StorageError(shown, f"the answer is none of S3 ({error})") from error
    found: list[dict[str, str]] = []
    others: dict[str, str] = {}
    for one in root:
        tag = _bare(one.tag)
        if tag == name:
            found.append({_bare(part.tag): part.text or "" for part in one})
        else:
            others[tag] = one.text or ""
    return found, others


def _bare(tag: str) -> str:
    return tag.rpartition("}")[2]
