"""Reading the levers of a delivery from a mapping: that of an egress, or of an output of a workflow."""

from __future__ import annotations

import re
from typing import Final, cast

from pfs.errors import InvalidInputError
from pfs.files.described import described, is_media_type
from pps.spec.delivery import (
    ACLS,
    ARCHIVES,
    ENCRYPTIONS,
    LEVELS,
    MOST_TAGS,
    OF_FILE,
    OF_RUN,
    Addressing,
    Archive,
    Levers,
    has_control,
    is_known,
)
from pps.spec.fields import Fields
from pps.spec.template import TemplateError, parse_template

_CLASS: Final = re.compile(r"[A-Z0-9_-]+")
_NAMES: Final = {"key", "url", "s3"}
_HEADER: Final = re.compile(r"[ -~]*")


def read_levers(fields: Fields) -> Levers:
    """Return the levers of a mapping that knows the fields of `pps.spec.known.LEVERS`; what is wrong is found."""
    archive = fields.text("archive") or "none"
    _one_of(fields, "archive", archive, ARCHIVES)
    levers = Levers(
        key=_template(fields, "key"),
        archive=cast("Archive", archive),
        archive_level=_level(fields, archive),
        content_type=_content_type(fields),
        content_encoding=_header(fields, "content_encoding"),
        cache_control=_template(fields, "cache_control"),
        metadata=_pairs(fields, "metadata"),
        tags=_pairs(fields, "tags"),
        storage_class=fields.text("storage_class"),
        acl=_one_of(fields, "acl", fields.text("acl"), ACLS),
        encryption=_one_of(fields, "encryption", fields.text("encryption"), ENCRYPTIONS),
        kms_key=_header(fields, "kms_key"),
        endpoint=_endpoint(fields),
        region=_header(fields, "region"),
        profile=_header(fields, "profile"),
        addressing=cast("Addressing", _one_of(fields, "addressing", fields.text("addressing"), ("path", "virtual"))),
    )
    _check(fields, levers)
    return levers


def _check(fields: Fields, levers: Levers) -> None:
    if levers.storage_class and not _CLASS.fullmatch(levers.storage_class):
        fields.bad("storage_class", "a storage_class is written in capitals, such as STANDARD_IA")
    if levers.kms_key and not levers.encryption.startswith("aws:kms"):
        fields.bad("kms_key", "a kms_key goes with 'encryption: aws:kms' alone")
    if len(levers.tags) > MOST_TAGS:
        fields.bad("tags", f"an object has {MOST_TAGS} tags at most, not {len(levers.tags)}")
    try:
        described(None, levers.metadata)
    except InvalidInputError as error:
        fields.bad("metadata", str(error))


def _level(fields: Fields, archive: str) -> int:
    level, most = fields.count("archive_level"), LEVELS.get(archive, 0)
    if level and not most:
        fields.bad("archive_level", "archive_level goes with 'archive: tar.gz' and 'archive: tar.zst' alone")
    elif level > most:
        fields.bad("archive_level", f"the archive_level of {archive} is 1 to {most}, not {level}")
    return level


def _content_type(fields: Fields) -> str:
    text = _template(fields, "content_type")
    if text and "{{" not in text and not is_media_type(text):
        fields.bad("content_type", f"{text!r} is no media type: write it as in text/csv")
    return text


def _endpoint(fields: Fields) -> str:
    text = fields.text("endpoint")
    if text and not re.fullmatch(r"https?://[^/@\s]+(/[^@\s?#]*)?", text):
        fields.bad("endpoint", "an endpoint is written as in https://minio.example.org:9000, without user and password")
    return text


def _header(fields: Fields, name: str) -> str:
    text = fields.text(name)
    if not _HEADER.fullmatch(text):
        fields.bad(name, f"the field {name!r} holds characters that no header takes")
    return text


def _one_of(fields: Fields, name: str, value: str, known: tuple[str, ...]) -> str:
    if value and value not in known:
        fields.bad(name, f"the field {name!r} must be one of {', '.join(known)}, not {value!r}")
    return value


def _pairs(fields: Fields, name: str) -> dict[str, str]:
    found = fields.variables(name)
    for value in found.values():
        check_template(fields, name, value)
    return found


def _template(fields: Fields, name: str) -> str:
    text = fields.text(name)
    check_template(fields, name, text)
    return text


def check_template(fields: Fields, name: str, text: str, *, of_file: bool = True) -> None:
    """Find what is wrong with a template of a delivery; ``of_file``: whether it may say something of each file."""
    try:
        template = parse_template(text)
    except TemplateError as error:
        fields.bad(name, f"in the field {name!r}: {error}")
        return
    if name in _NAMES and has_control(text):
        fields.refused(name, f"the field {name!r} has control characters, which names of what is delivered do not have")
    for reference in template.references:
        if not is_known(reference, of_file=of_file):
            known = ", ".join(
                sorted({*OF_RUN, "params.NAME", *({f"file.{one}" for one in OF_FILE} if of_file else ())})
            )
            fields.bad(name, f"{{{{{reference}}}}} in the field {name!r} is not known here: there are {known}")
