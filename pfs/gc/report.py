"""What a collection did, or would do."""

from __future__ import annotations

from dataclasses import dataclass

from pfs.gc.expire import Expired
from pfs.lifecycle.retention import RepoEffect


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """Packs are counted, bytes are those of packs.

    ``deleted``: packs with nothing live; ``repacked``: packs whose live part went to ``written`` new ones; ``kept``:
    condemned packs that stayed, since something in them came to life meanwhile; ``forgotten``: commits that nothing
    leads to any more. ``generation``: the one that was published, None if there was nothing to do. ``resumed``: an
    earlier collection, which had been stopped, was ended first. ``damaged``: packs that cannot be read and were left
    alone. ``cold``: packs in other storage classes that stay though partly dead, as they are billed for a time anyway,
    or are archived; ``thawing``: packs in an archive with something purged, which were asked for. ``ended``: packs that
    the collection which was ended first had condemned, and that went. ``waiting``: packs that were condemned, and go
    with a collection after ``waits_until_ns`` (since the epoch), when readers have had their time; where that was so
    from the beginning nothing else was done, and ``live_bytes`` is not known.
    ``retention``: what the rules of repos took away first. ``full``: there was no room to write packs again, so only
    dead ones went.
    """

    packs: int
    deleted: int = 0
    repacked: int = 0
    kept: int = 0
    written: int = 0
    bytes_before: int
    bytes_after: int
    live_bytes: int | None
    expired: Expired
    retention: tuple[RepoEffect, ...] = ()
    forgotten: int = 0
    generation: int | None = None
    cold: int = 0
    thawing: int = 0
    ended: int = 0
    waiting: int = 0
    waits_until_ns: int | None = None
    resumed: bool = False
    damaged: tuple[str, ...] = ()
    full: bool = False
    dry_run: bool = False

    @property
    def did_nothing(self) -> bool:
        """Whether there was nothing to do."""
        removed = any(
            effect.removed or effect.hidden or effect.branches or effect.tags or effect.aged
            for effect in self.retention
        )
        condemned = self.waiting and self.live_bytes is not None
        done = self.deleted or self.repacked or self.expired or self.resumed or self.forgotten or condemned
        return not (done or removed)
