"""A posted form, ``multipart/form-data``, taken in as it arrives: small fields first, then the file, which is not kept.

The parser is python-multipart's; it is fed with any pieces. Fields behind the file are passed over, as S3 does. One
thread at a time.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from typing import Final

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from pfs.backends.base import Buffer
from s3api.errors import S3Error

MAX_FIELDS_BYTES: Final = 20_480
"""Of everything before the file: names, values and headers; S3's own limit."""
MAX_BOUNDARY_BYTES: Final = 200
"""RFC 2046 allows 70; some clients make longer ones."""
_SILENT = logging.Logger("form", logging.CRITICAL + 1)
_FILE = "file"
_IGNORED = "x-ignore-"
_VARIABLE = "${filename}"


class FormDecoder:
    """Decodes one form: `read_fields` until it says that the file has begun, then `feed`; `finish` at the end."""

    def __init__(self, boundary: bytes) -> None:
        self.size = 0
        """Bytes of the file so far."""
        self._parser = _parser(self, boundary)
        self._fields: dict[str, bytes] = {}
        self._headers: dict[str, str] = {}
        self._name, self._value = bytearray(), bytearray()
        self._field: str | None = None
        self._filename: str | None = None
        self._begun = self._over = self._ended = False
        self._held = 0
        self._out: list[memoryview] = []
        self._sizes: tuple[int, float] = (0, math.inf)

    @property
    def fields(self) -> Mapping[str, str]:
        """The fields before the file, by name in lower case, with ``${filename}`` put in.

        The variable stays as it is when the file came without a name.
        """
        plain = {name: _text(value) for name, value in self._fields.items()}
        if self._filename is None:
            return plain
        return {name: value.replace(_VARIABLE, self._filename) for name, value in plain.items()}

    def read_fields(self, data: bytes) -> bool:
        """Take in received bytes; say whether the file has begun.

        Raises:
            S3Error: MalformedPOSTRequest, MaxPostPreDataLengthExceeded, InvalidArgument (a field twice).
        """
        self._write(data)
        return self._begun

    def limit(self, least: int, most: float) -> None:
        """Say how many bytes the file may have, both ends included."""
        self._sizes = least, most

    def feed(self, data: Buffer) -> list[memoryview]:
        """Take in received bytes and return those of the file, which came with the fields included.

        Raises:
            S3Error: MalformedPOSTRequest, EntityTooLarge, InvalidArgument (a second file).
        """
        self._write(bytes(data))
        most = self._sizes[1]
        if self.size > most:
            sizes = {"ProposedSize": str(self.size), "MaxSizeAllowed": str(most)}
            raise S3Error("EntityTooLarge", "Your proposed upload exceeds the maximum allowed size", fields=sizes)
        out, self._out = self._out, []
        return out

    def finish(self) -> Mapping[str, str]:
        """Check the end of the form; there are no trailers.

        Raises:
            S3Error: MalformedPOSTRequest (it was cut off), EntityTooSmall, InvalidArgument (no file).
        """
        if not self._ended:
            raise S3Error("MalformedPOSTRequest")
        if not self._begun:
            raise _one_file(0)
        if self.size < self._sizes[0]:
            sizes = {"ProposedSize": str(self.size), "MinSizeAllowed": str(self._sizes[0])}
            raise S3Error(
                "EntityTooSmall", "Your proposed upload is smaller than the minimum allowed size", fields=sizes
            )
        return {}

    def _write(self, data: bytes) -> None:
        try:
            self._parser.write(data)
        except FormParserError as error:
            raise S3Error("MalformedPOSTRequest") from error

    def on_header_name(self, data: bytes, start: int, stop: int) -> None:
        """Take a piece of the name of a part's header."""
        self._count(stop - start)
        self._name += data[start:stop]

    def on_header_value(self, data: bytes, start: int, stop: int) -> None:
        """Take a piece of its value."""
        self._count(stop - start)
        self._value += data[start:stop]

    def on_header_end(self) -> None:
        """Keep the header."""
        self._headers[self._name.decode("latin-1").lower()] = self._value.decode("latin-1")
        self._name.clear()
        self._value.clear()

    def on_headers_end(self) -> None:
        """Find out what the part is: a field, the file, or something behind the file."""
        kind, options = parse_options_header(self._headers.get("content-disposition", ""))
        self._headers.clear()
        name = options.get(b"name")
        if name is None:
            raise S3Error("MalformedPOSTRequest")
        self._field = _text(name).lower()
        is_file = self._field == _FILE and kind == b"form-data"
        if is_file and self._begun:
            raise _one_file(2)
        if is_file:
            self._begun = True
            self._filename = _base_name(options.get(b"filename"))
        elif not self._begun:
            if self._field in self._fields and not self._field.startswith(_IGNORED):
                argument = {"ArgumentName": self._field, "ArgumentValue": ""}
                raise S3Error("InvalidArgument", f"the form has the field {self._field!r} twice", fields=argument)
            self._fields[self._field] = b""

    def on_data(self, data: bytes, start: int, stop: int) -> None:
        """Take a piece of what is in the part."""
        if not self._begun:
            assert self._field is not None
            self._count(stop - start)
            self._fields[self._field] += data[start:stop]
        elif not self._over:
            self.size += stop - start
            self._out.append(memoryview(data)[start:stop])

    def on_part_end(self) -> None:
        """Note that the file has ended."""
        self._over = self._begun

    def on_end(self) -> None:
        """Note that the form has ended."""
        self._ended = True

    def _count(self, size: int) -> None:
        if self._begun:
            return
        self._held += size
        if self._held > MAX_FIELDS_BYTES:
            most = {"MaxPostPreDataLengthBytes": str(MAX_FIELDS_BYTES)}
            raise S3Error("MaxPostPreDataLengthExceeded", fields=most)


def form_boundary(content_type: str) -> bytes:
    """Return the boundary that a Content-Type names.

    Raises:
        S3Error: PreconditionFailed (it is no multipart/form-data), MalformedPOSTRequest (it names none).
    """
    kind, options = parse_options_header(content_type.encode())
    if kind != b"multipart/form-data":
        wanted = "Bucket POST must be of the enclosure-type multipart/form-data"
        raise S3Error("PreconditionFailed", fields={"Condition": wanted})
    boundary = options.get(b"boundary", b"")
    if not 1 <= len(boundary) <= MAX_BOUNDARY_BYTES:
        raise S3Error("MalformedPOSTRequest")
    return boundary


def _parser(form: FormDecoder, boundary: bytes) -> MultipartParser:
    parser = MultipartParser(
        boundary,
        {
            "on_header_field": form.on_header_name,
            "on_header_value": form.on_header_value,
            "on_header_end": form.on_header_end,
            "on_headers_finished": form.on_headers_end,
            "on_part_data": form.on_data,
            "on_part_end": form.on_part_end,
            "on_end": form.on_end,
        },
    )
    parser.logger = _SILENT  # what is wrong with a form is for its sender, not for the log of the server
    return parser


def _base_name(raw: bytes | None) -> str | None:
    """Return a file's name without the directories that some clients send along."""
    return None if raw is None else _text(raw).replace("\\", "/").rpartition("/")[2]


def _text(raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def _one_file(count: int) -> S3Error:
    argument = {"ArgumentName": _FILE, "ArgumentValue": str(count)}
    return S3Error("InvalidArgument", "POST requires exactly one file upload per request.", fields=argument)
