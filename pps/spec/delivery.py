"""How a file is delivered: its name at the destination, what is said of it there, in which archive, and as whom.

Texts marked as templates may name, beside what their reader puts in before, ``file.path`` (below the part that is sent,
without a slash in front), ``file.name``, ``file.stem``, ``file.suffix`` (with its dot), ``params.NAME``, ``job.id``,
``commit.id``, ``pipeline.name`` and ``run.date`` (when the job began, as 2026-01-31, UTC).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal, get_args

from pps.spec.template import Reference

Archive = Literal["none", "tar", "tar.gz", "tar.zst", "zip"]
Addressing = Literal["", "path", "virtual"]
ARCHIVES: Final[tuple[Archive, ...]] = get_args(Archive)
ACLS: Final = (
    "private",
    "public-read",
    "public-read-write",
    "authenticated-read",
    "aws-exec-read",
    "bucket-owner-read",
    "bucket-owner-full-control",
)
ENCRYPTIONS: Final = ("AES256", "aws:kms", "aws:kms:dsse")
OF_FILE: Final = frozenset({"path", "name", "stem", "suffix"})
OF_RUN: Final = frozenset({"job.id", "commit.id", "pipeline.name", "run.date"})
LEVELS: Final[Mapping[str, int]] = {"tar.gz": 9, "tar.zst": 19}
"""The highest archive_level of those that have one."""
MOST_TAGS: Final = 10


@dataclass(frozen=True, slots=True)
class Levers:
    """What may be said of a delivery; empty: what the destination does by itself.

    ``key``: a template, the name below the URL; default ``{{file.path}}``. ``content_type`` (guessed from the name by
    default), ``cache_control`` and the values of ``metadata`` and ``tags`` are templates, too. ``archive``: all files
    as one, whose ``file.path`` is the name of the part, or of the pipeline, with the archive's suffix;
    ``archive_level``: how hard to compress, 0 for the usual. ``encryption``: done by the server, with ``kms_key`` for
    aws:kms.
    ``addressing``: how a bucket is put into the address.
    """

    key: str = ""
    archive: Archive = "none"
    archive_level: int = 0
    content_type: str = ""
    content_encoding: str = ""
    cache_control: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    storage_class: str = ""
    acl: str = ""
    encryption: str = ""
    kms_key: str = ""
    endpoint: str = ""
    region: str = ""
    profile: str = ""
    addressing: Addressing = ""


PLAIN: Final = Levers()


def is_known(reference: Reference, *, of_file: bool = True) -> bool:
    """Say whether a template of a delivery may have this reference."""
    names = reference.names
    if len(names) == 2 and names[0] == "file":
        return of_file and names[1] in OF_FILE
    return str(reference) in OF_RUN or (len(names) == 2 and names[0] == "params")


def has_control(text: str) -> bool:
    """Say whether a text has control characters, which neither names at places nor headers are to have."""
    return any(ord(char) < 0x20 or 0x7F <= ord(char) < 0xA0 for char in text)
