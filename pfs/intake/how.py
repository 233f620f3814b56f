"""How a put is to be done, and what came of it."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct, field

from pfs.errors import InvalidInputError
from pfs.files.described import described
from pfs.files.progress import Progress
from pfs.sources.links import Symlinks


class PutHow(Struct, frozen=True, kw_only=True):
    """What holds for all sources of a put.

    ``append``: add to files that are there. ``mirror``: what is below this path and was not put is deleted.
    ``checksum``: read also local files that show no change. ``mime`` and ``metadata``: of every file that is put;
    what a URL says of itself is used without them.
    """

    append: bool = False
    mirror: str | None = None
    checksum: bool = False
    symlinks: Symlinks = "follow"
    mime: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    jobs: int | None = None
    progress: Progress | None = None

    def __post_init__(self) -> None:
        """Refuse what contradicts itself."""
        described(self.mime, self.metadata)
        if self.append and self.mirror is not None:
            raise InvalidInputError("what is appended to cannot be mirrored: leave out --append or --delete-extra")


class Intaken(Struct, frozen=True):
    """What a put did: files and bytes that were put; of a mirror, what was deleted and whether anything changed.

    ``notes`` are lines for the user, about what was passed over.
    """

    files: int
    size_bytes: int
    deleted: int
    changed: bool
    notes: tuple[str, ...] = ()
