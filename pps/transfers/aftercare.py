"""Objects and files that were sent before: whether they are as they were left, deleting them, their storage class.

Nothing is done to what somebody else wrote, replaced or moved: each is looked at right before.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Final, NamedTuple, Protocol
from xml.etree import ElementTree

from pfs.errors import NotFoundError, StorageError
from pps.spec.delivery import Levers
from pps.spec.places import split
from pps.transfers.access import find_access
from pps.transfers.errors import of_system
from pps.transfers.folder import Folder
from pps.transfers.multipart import part_bytes
from pps.transfers.place import There
from pps.transfers.s3 import bucket_and_key
from pps.transfers.wire import Answer, Request, Wire

_MISSING: Final = ("NoSuchKey", "NoSuchVersion", "NoSuchBucket", "404", "NotFound")
_USUAL: Final = "STANDARD"
_LARGEST_COPY: Final = 5 << 30
"""What S3 copies by one request; larger objects, and those that came in parts, are copied in parts."""


class Left(NamedTuple):
    """One file as it was left at a place; ``version``: of the object, empty without."""

    url: str
    etag: str
    version: str
    size: int


class Aftercare(Protocol):
    """A place as one looks after what was left there."""

    def is_left(self, left: Left) -> bool:
        """Say whether it is there as it was left; raises as `delete`."""
        ...

    def delete(self, left: Left) -> bool:
        """Delete what is still as it was left; False: it is gone, or another's. Idempotent.

        Raises:
            StorageError, PlaceRefusedError: it cannot be done.
        """
        ...

    def move(self, left: Left, storage_class: str) -> Left | None:
        """Move what is still as it was left to a storage class; return it as it is then.

        None: it is gone, another's, or somebody moved it. What has the class already is returned as it is.

        Raises:
            StorageError, PlaceRefusedError: it cannot be done.
        """
        ...

    def close(self) -> None:
        """Let go of connections."""
        ...


def open_aftercare(url: str, levers: Levers, secret: Mapping[str, str] | None = None, *, below: str = "") -> Aftercare:
    """Return how the place of a URL is looked after; ``levers`` and ``secret`` say as whom.

    ``below``: the URL, or a template of it, that all was delivered below: folders in it that become empty go.

    Raises:
        InvalidInputError: S3 cannot be used as it is set up.
    """
    if url.startswith("file:"):
        return FolderCare(_folder_of(below))
    return S3Care(Wire(find_access(levers, secret)), levers)


def _folder_of(template: str) -> str:
    """Return the folder of a URL that is the same whatever its values are; empty for none."""
    fixed, opened, _ = template.partition("{{")
    fixed = fixed.rpartition("/")[0] + "/" if opened else fixed
    return split(fixed)[2].rstrip("/") if fixed.startswith("file:") else ""


class FolderCare:
    """Files of this machine; they have no storage classes. ``top``: folders below it that become empty go."""

    def __init__(self, top: str = "") -> None:
        self._top = top

    def is_left(self, left: Left) -> bool:
        """Compare size and time of last change."""
        return Folder("").find_url(left.url) == There(left.size, left.etag)

    def delete(self, left: Left) -> bool:
        """Remove a file, and the folders that are empty then."""
        path = split(left.url)[2]
        if not self.is_left(left):
            return False
        try:
            os.unlink(path)
        except FileNotFoundError:
            return False
        except OSError as error:
            raise of_system(f"delete {path}", error) from error
        self._prune(path)
        return True

    def _prune(self, path: str) -> None:
        folder = os.path.dirname(path)
        while self._top and folder.startswith(self._top + "/"):
            try:
                os.rmdir(folder)
            except OSError:
                return  # it has other files, or is somebody's who lets nobody remove it
            folder = os.path.dirname(folder)

    def move(self, left: Left, storage_class: str) -> Left | None:
        """Return None: there are no classes."""
        return None

    def close(self) -> None:
        """There is nothing to let go of."""


class S3Care:
    """Objects of any bucket of one S3, asked as one user."""

    def __init__(self, wire: Wire, levers: Levers) -> None:
        self._wire, self._levers = wire, levers

    def is_left(self, left: Left) -> bool:
        """Compare size and ETag; where there are versions, of this very one."""
        return self._found(left) is not None

    def delete(self, left: Left) -> bool:
        """Delete an object; where there are versions, this very one."""
        if self._found(left) is None:
            return False
        bucket, key = bucket_and_key(left.url)
        query = {"versionId": left.version} if left.version else {}
        with suppress(NotFoundError):
            self._wire.send(Request("DELETE", bucket, key, f"delete {left.url}", query, missing=_MISSING))
        return True

    def move(self, left: Left, storage_class: str) -> Left | None:
        """Copy an object onto itself, with all that is said of it; where there are versions, the old one goes then."""
        found = self._found(left)
        if found is None:
            return None
        now = found.headers.get("x-amz-storage-class", _USUAL)
        if now == storage_class:
            return left
        if now != (self._levers.storage_class or _USUAL):
            return None
        moved = self._copied(left, found, storage_class)
        if left.version and moved.version != left.version:
            self.delete(left)
        return moved

    def close(self) -> None:
        """Close the connections."""
        self._wire.close()

    def _found(self, left: Left) -> Answer | None:
        bucket, key = bucket_and_key(left.url)
        query = {"versionId": left.version} if left.version else {}
        try:
            found = self._wire.send(Request("HEAD", bucket, key, f"look at {left.url}", query, missing=_MISSING))
        except NotFoundError:
            return None
        same = (int(found.headers.get("content-length", "-1")), found.etag) == (left.size, left.etag)
        return found if same else None

    def _copied(self, left: Left, found: Answer, storage_class: str) -> Left:
        if "-" in left.etag or left.size > _LARGEST_COPY:
            answer = self._copied_in_parts(left, found, storage_class)
        else:
            answer = self._ask(left, "PUT", headers=self._about(left) | self._said(storage_class))
        etag = _text(answer, "ETag").strip('"')
        if not etag:
            raise StorageError(f"move {left.url}", "the answer to the copy has no ETag")
        return left._replace(etag=etag, version=answer.headers.get("x-amz-version-id", ""))

    def _copied_in_parts(self, left: Left, found: Answer, storage_class: str) -> Answer:
        """Copy in parts of the size in which it was sent, so that the ETag is the same."""
        begun = self._ask(left, "POST", {"uploads": ""}, self._headers_of(left, found) | self._said(storage_class))
        upload = _text(begun, "UploadId")
        try:
            parts = "".join(self._parts(left, upload))
            body = f"<CompleteMultipartUpload>{parts}</CompleteMultipartUpload>".encode()
            return self._ask(left, "POST", {"uploadId": upload}, body=body)
        except BaseException:
            with suppress(NotFoundError, StorageError):
                self._ask(left, "DELETE", {"uploadId": upload})
            raise

    def _parts(self, left: Left, upload: str) -> Iterator[str]:
        size = part_bytes(left.size)
        for number, start in enumerate(range(0, left.size, size), 1):
            last = min(start + size, left.size) - 1
            asked = self._about(left) | {"x-amz-copy-source-range": f"bytes={start}-{last}"}
            answer = self._ask(left, "PUT", {"partNumber": str(number), "uploadId": upload}, asked)
            etag = _text(answer, "ETag").replace('"', "&quot;")
            yield f"<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag></Part>"

    def _ask(
        self,
        left: Left,
        method: str,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        *,
        body: bytes = b"",
    ) -> Answer:
        bucket, key = bucket_and_key(left.url)
        return self._wire.send(Request(method, bucket, key, f"move {left.url}", query, headers, body))

    def _about(self, left: Left) -> dict[str, str]:
        from urllib.parse import quote

        bucket, key = bucket_and_key(left.url)
        version = f"?versionId={quote(left.version, safe='')}" if left.version else ""
        source = f"/{bucket}/{quote(key, safe='/')}{version}"
        return {"x-amz-copy-source": source, "x-amz-copy-source-if-match": f'"{left.etag}"'}

    def _said(self, storage_class: str) -> dict[str, str]:
        """Return what a copy does not take over by itself."""
        levers = self._levers
        said = {
            "x-amz-acl": levers.acl,
            "x-amz-server-side-encryption": levers.encryption,
            "x-amz-server-side-encryption-aws-kms-key-id": levers.kms_key,
        }
        return {"x-amz-storage-class": storage_class, **{name: value for name, value in said.items() if value}}

    def _headers_of(self, left: Left, found: Answer) -> dict[str, str]:
        """Return what is said of an object, as a copy in parts has to say it again."""
        names = ("content-type", "content-encoding", "cache-control", "content-disposition", "content-language")
        said = {name: found.headers[name] for name in names if name in found.headers}
        said |= {name: value for name, value in found.headers.items() if name.startswith("x-amz-meta-")}
        if found.headers.get("x-amz-tagging-count", "0") != "0":
            said["x-amz-tagging"] = self._tags(left)
        return said

    def _tags(self, left: Left) -> str:
        from urllib.parse import urlencode

        query = {"tagging": "", **({"versionId": left.version} if left.version else {})}
        answer = self._ask(left, "GET", query)
        tags = [one for one in ElementTree.fromstring(answer.body).iter() if one.tag.rpartition("}")[2] == "Tag"]
        return urlencode({_below(tag, "Key"): _below(tag, "Value") for tag in tags})


def _below(node: ElementTree.Element, name: str) -> str:
    return next((one.text or "" for one in node.iter() if one.tag.rpartition("}")[2] == name), "")


def _text(answer: Answer, name: str) -> str:
    """Return an element of an answer's document; empty without it."""
    try:
        return _below(ElementTree.fromstring(answer.body), name)
    except ElementTree.ParseError:
        return ""
