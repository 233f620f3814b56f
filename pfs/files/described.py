"""What a file is said to be, beside its bytes: media type and user metadata; checked where they come in."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from pfs.errors import InvalidInputError
from pfs.shorten import quoted, shorten
from pfs.texts import check_text

MAX_METADATA_BYTES: Final = 2048
"""S3's limit of all names and values of a file together; more could not be shown there."""
_MIME: Final = r"[!-.0-~]+/[!-.0-~]+( ?;[ -~]*)?"
_NAME: Final = r"[A-Za-z0-9._-]+"


def described(mime: str | None = None, metadata: Mapping[str, str] | None = None) -> dict[str, object]:
    """Return what a row's metadata say of it; empty when nothing is given.

    Raises:
        InvalidInputError: no media type; a name that is no S3 metadata name; a value that is no UTF-8 or has control
            characters; too much.
    """
    found: dict[str, object] = {}
    if mime is not None:
        if not is_media_type(mime):
            raise InvalidInputError(f"{quoted(mime)} is no media type: write it as in text/csv")
        found["m"] = mime
    if metadata:
        check_metadata(metadata)
        if sum(len(name.encode()) + len(value.encode()) for name, value in metadata.items()) > MAX_METADATA_BYTES:
            raise InvalidInputError(f"a file's metadata have over {MAX_METADATA_BYTES} bytes, more than S3 shows")
        found["u"] = dict(metadata)
    return found


def is_media_type(text: str) -> bool:
    """Say whether it is a media type, with or without parameters."""
    return re.fullmatch(_MIME, text) is not None


def kept_metadata(metadata: Mapping[str, str]) -> dict[str, str]:
    """Return metadata that another store says of a file, or none of them when they could not be shown over S3."""
    try:
        described(None, metadata)
    except InvalidInputError:
        return {}
    return dict(metadata)


def check_metadata(metadata: Mapping[str, str]) -> None:
    """Check names and values one by one, but not how much they are together.

    Raises:
        InvalidInputError: a name that is no S3 metadata name; a value that no header can hold.
    """
    for name, value in metadata.items():
        _check_entry(name, value)


def _check_entry(name: str, value: str) -> None:
    if not re.fullmatch(_NAME, name):
        raise InvalidInputError(f"invalid metadata name {quoted(name)}: use letters, digits, '.', '-' and '_' only")
    check_text(value)
    if any(ord(char) < 0x20 or 0x7F <= ord(char) < 0xA0 for char in value):
        raise InvalidInputError(f"the metadata {shorten(name)} has control characters, which no header can hold")
