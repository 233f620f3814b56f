"""What files are called where they are sent to, and what is said of them there: templates with their values."""

from __future__ import annotations

import mimetypes
from collections.abc import Mapping
from typing import Final, NamedTuple

from pfs.files.described import is_media_type
from pfs.paths import from_key
from pfs.shorten import quoted
from pfs.trees.row import Row
from pps.spec.delivery import Levers, has_control
from pps.spec.template import Reference, Template, parse_template
from pps.transfers.errors import PlaceRefusedError
from pps.transfers.place import Said

_WHOLE: Final = "{{file.path}}"
_HEADERS: Final = {
    "content_encoding": "content-encoding",
    "storage_class": "x-amz-storage-class",
    "acl": "x-amz-acl",
    "encryption": "x-amz-server-side-encryption",
    "kms_key": "x-amz-server-side-encryption-aws-kms-key-id",
}


class _File(NamedTuple):
    """The path of a file below the part that is sent."""

    path: str

    def value(self, name: str) -> str:
        base = self.path.rpartition("/")[2]
        stem, dot, suffix = base.rpartition(".")
        has_suffix = bool(stem and dot)
        return {
            "path": self.path,
            "name": base,
            "stem": stem if has_suffix else base,
            "suffix": dot + suffix if has_suffix else "",
        }[name]


class Naming:
    """The templates of one delivery; ``values``: of what is no file's, such as ``job.id`` and ``params.x``."""

    def __init__(self, levers: Levers, values: Mapping[str, str]) -> None:
        self._levers, self._values = levers, values
        self._key = parse_template(levers.key or _WHOLE)
        self._type, self._cache = parse_template(levers.content_type), parse_template(levers.cache_control)
        self._metadata = {name: parse_template(value) for name, value in levers.metadata.items()}
        self._tags = {name: parse_template(value) for name, value in levers.tags.items()}
        self._headers = {
            header: value for name, header in _HEADERS.items() if (value := str(getattr(levers, name) or ""))
        }

    @property
    def is_plain(self) -> bool:
        """Whether each file is called like its path."""
        return self._levers.key in {"", _WHOLE}

    @property
    def is_one(self) -> bool:
        """Whether all that is sent has one name, whatever the files are."""
        return bool(self._levers.key) and not any(one.names[0] == "file" for one in self._key.references)

    @property
    def is_distinct(self) -> bool:
        """Whether no two files can have the same name."""
        # Beside other parts of the path the whole of it is not enough: x and xx make xxx in either order.
        return {str(one) for one in self._key.references if one.names[0] == "file"} == {"file.path"}

    def text(self, template: str) -> str:
        """Return a template that names nothing of files, with its values."""
        text = self._render(parse_template(template), None)
        if has_control(text):
            raise PlaceRefusedError(
                "name what is sent", f"the URL comes to {quoted(text)}, which has control characters"
            )
        return text

    def name(self, path: bytes) -> bytes:
        """Return the name of a file at the destination.

        Raises:
            PlaceRefusedError: it would have none, or a value is not there.
        """
        if self.is_plain:
            return path
        name = self._render(self._key, self._file(path)).lstrip("/")
        if not name:
            raise PlaceRefusedError(f"send {from_key(path)}", f"the key {self._levers.key!r} gives it no name")
        if has_control(name) and not has_control(path.decode()):
            why = f"the key comes to {quoted(name)}, which has control characters"
            raise PlaceRefusedError(f"send {from_key(path)}", why)
        return name.encode()

    def said(self, path: bytes, row: Row | None) -> Said:
        """Return what is said of a file: as the spec has it, else as the store knows it, else as its name says."""
        aux = (row.aux if row is not None else None) or {}
        file = self._file(path) if any(self._templates()) else None
        known = aux.get("m")
        mime = _type(self._render(self._type, file)) or (known if isinstance(known, str) else "")
        users = aux.get("u")
        metadata = {str(name): str(value) for name, value in users.items()} if isinstance(users, dict) else {}
        metadata |= {name: _header(name, self._render(value, file)) for name, value in self._metadata.items()}
        cache = _header("cache_control", self._render(self._cache, file), ascii_only=True)
        return Said(
            mime or mimetypes.guess_type(path.decode(errors="replace"))[0] or "application/octet-stream",
            self._headers | ({"cache-control": cache} if cache else {}),
            metadata,
            {name: self._render(value, file) for name, value in self._tags.items()},
        )

    def _templates(self) -> list[tuple[Reference, ...]]:
        found = [self._type, self._cache, *self._metadata.values(), *self._tags.values()]
        return [one.references for one in found]

    def _file(self, path: bytes) -> _File:
        try:
            return _File(path.decode())
        except UnicodeDecodeError as error:
            raise PlaceRefusedError(f"send {from_key(path)}", "its name is no UTF-8, as templates need it") from error

    def _render(self, template: Template, file: _File | None) -> str:
        def value(reference: Reference) -> str:
            if reference.names[0] == "file" and file is not None:
                return file.value(reference.names[1])
            known = self._values.get(str(reference))
            if known is None:
                raise PlaceRefusedError("name what is sent", f"{{{{{reference}}}}} has no value in this run")
            return known

        return template.render(value)


def _type(text: str) -> str:
    if text and not is_media_type(text):
        raise PlaceRefusedError("say what is sent", f"content_type comes to {quoted(text)}, which is no media type")
    return text


def _header(name: str, text: str, *, ascii_only: bool = False) -> str:
    """Return a text that goes into a header; values of params and names of files may be any."""
    if has_control(text) or (ascii_only and not text.isascii()):
        raise PlaceRefusedError("say what is sent", f"{name} comes to {quoted(text)}, which no header can hold")
    return text
