"""What is kept beside an object's bytes: the ``aux`` of its row, to and from headers. See docs/design/s3.md.

``e`` ETag (MD5 hex, or md5-of-md5s and ``-N``), ``m`` Content-Type, ``u`` user metadata, ``h`` further system headers,
``c`` checksums by name with ``type`` (FULL_OBJECT or COMPOSITE), ``g`` tags. No part of a file's content id.
"""

from __future__ import annotations

import mimetypes
from collections.abc import Mapping

from pfs.trees.page import Kind
from pfs.trees.tree import Row
from s3api.bodies.checksums import HEADER, ChecksumType
from s3api.errors import S3Error
from s3api.http.response import Headers
from s3api.http.times import http_date
from s3api.objects import tags

Aux = Mapping[str, object]
USER = "x-amz-meta-"
MAX_USER_BYTES = 2048
KEPT = ("cache-control", "content-disposition", "content-encoding", "content-language", "expires")
DEFAULT_MIME = "binary/octet-stream"
NO_COMMIT = bytes(16)
"""In the rows of buckets without versions: only the time says when they changed."""


def is_object(row: Row | None) -> bool:
    """Say whether a row is one that S3 shows: a file with bytes of its own."""
    return row is not None and row.kind in {Kind.FILE, Kind.CHUNKED}


def etag_of(row: Row) -> str:
    """Return the ETag without quotes: the kept one, else one of the content id that nobody takes for an MD5."""
    kept = row.aux.get("e") if row.aux else None
    return kept if isinstance(kept, str) else f"{row.tid.hex()[:32]}-1"


def version_of(row: Row) -> str | None:
    """Return the version id: the commit in which the object last changed; None where there is none (`NO_COMMIT`)."""
    return row.changed.commit.hex() if row.changed and row.changed.commit != NO_COMMIT else None


def modified_ns(row: Row) -> int:
    """Return the time of the commit in which the object last changed."""
    return row.changed.finished_ns if row.changed else 0


def aux_from_headers(headers: Mapping[str, str]) -> dict[str, object]:
    """Return what a write's headers say about the object, but for ETag and checksums.

    Raises:
        S3Error: MetadataTooLarge; user metadata has over 2 KiB. Of tags as `tags.parse_tag_header`.
    """
    aux: dict[str, object] = {}
    mime = headers.get("content-type", "").strip()
    if mime:
        aux["m"] = mime
    system = {name: headers[name].strip() for name in KEPT if name in headers}
    encoding = _without_framing(system.pop("content-encoding", ""))
    if encoding:
        system["content-encoding"] = encoding
    user = {name.removeprefix(USER): value.strip() for name, value in headers.items() if name.startswith(USER)}
    if sum(len(name.encode()) + len(value.encode()) for name, value in user.items()) > MAX_USER_BYTES:
        raise S3Error("MetadataTooLarge")
    if system:
        aux["h"] = dict(sorted(system.items()))
    if user:
        aux["u"] = dict(sorted(user.items()))
    return tags.with_tags(aux, tags.parse_tag_header(headers[tags.HEADER])) if tags.HEADER in headers else aux


def _without_framing(encoding: str) -> str:
    """Drop ``aws-chunked``, which is about the transfer and not about the object."""
    names = (name.strip() for name in encoding.split(","))
    return ",".join(name for name in names if name and name.lower() != "aws-chunked")


def with_checksums(aux: Aux, checksums: Mapping[str, str], kind: ChecksumType = "FULL_OBJECT") -> dict[str, object]:
    """Return ``aux`` with checksums; none leaves it as it is."""
    return {**aux, "c": {**checksums, "type": kind}} if checksums else dict(aux)


def checksums_of(aux: Aux | None) -> dict[str, str]:
    """Return the kept checksums by name, ``type`` among them; empty without any."""
    kept = aux.get("c") if aux else None
    return {str(name): str(value) for name, value in kept.items()} if isinstance(kept, Mapping) else {}


def object_headers(row: Row, *, checksums: bool) -> Headers:
    """Return the headers that GET and HEAD answer with, but for the length; ``checksums`` were asked for."""
    version = version_of(row)
    found = [
        ("etag", f'"{etag_of(row)}"'),
        ("last-modified", http_date(modified_ns(row))),
        ("accept-ranges", "bytes"),
        ("content-type", mime_of(row)),
    ]
    if version is not None:
        found.append(("x-amz-version-id", version))
    aux = row.aux or {}
    found += [(name, value) for name, value in _texts(aux.get("h")) if name in KEPT]
    user = _texts(aux.get("u"))
    shown = [(USER + name, value) for name, value in user if _is_header_name(name)]
    found += shown
    if len(shown) < len(user):
        found.append(("x-amz-missing-meta", str(len(user) - len(shown))))
    if count := len(tags.tags_of(row)):
        found.append(("x-amz-tagging-count", str(count)))
    if checksums:
        found += checksum_headers(aux)
    return tuple(found)


def checksum_headers(aux: Aux | None) -> Headers:
    """Return the kept checksums as headers."""
    kept = checksums_of(aux)
    return tuple((HEADER + name, value) for name, value in kept.items())


def mime_of(row: Row) -> str:
    """Return the kept type; for a file that did not come over S3, one guessed from its name."""
    aux = row.aux or {}
    kept = aux.get("m")
    if isinstance(kept, str):
        return kept
    guessed = None if "e" in aux else mimetypes.guess_type(row.key.decode(errors="replace"))[0]
    return guessed or DEFAULT_MIME


def _texts(mapping: object) -> list[tuple[str, str]]:
    return [(str(name), str(value)) for name, value in mapping.items()] if isinstance(mapping, Mapping) else []


def _is_header_name(name: str) -> bool:
    """Metadata that came through the file API may have names that no header can have; they are left out."""
    return name.isascii() and name.replace("-", "").replace("_", "").replace(".", "").isalnum()
