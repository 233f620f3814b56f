"""The retention rules of a repo, as its refs hold them (docs/format/refs.md, docs/design/retention.md)."""

from __future__ import annotations

import msgspec

from pfs.ids import CommitId


class Keep(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Which commits of a branch stay: those that any of these keeps; the head always does.

    ``last``: that many from the head back; ``seconds``: those finished within that time; ``daily``, ``weekly``,
    ``monthly``: the newest of each of the last so many days, ISO weeks and months (UTC) that have any.
    """

    last: int = 0
    seconds: int = 0
    daily: int = 0
    weekly: int = 0
    monthly: int = 0


class PathRule(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Files that ``glob`` matches lose their bytes in commits that were finished more than ``seconds`` ago.

    ``until``: commits finished up to then (ns) were looked at; ``left``: those of them that were heads or tagged.
    """

    glob: str
    seconds: int
    until: int = 0
    left: tuple[CommitId, ...] = ()


class Retention(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """``keep``: of every branch (None: all commits stay) but those in ``branches``, which have rules of their own.

    ``tags``: tagged commits stay; else tags that nothing else keeps go to the trash. ``stale_seconds``: branches whose
    head is older go to the trash (0: never). ``paths``: what loses its bytes by age.
    """

    keep: Keep | None = None
    branches: dict[str, Keep] = {}
    tags: bool = True
    stale_seconds: int = 0
    paths: tuple[PathRule, ...] = ()

    def of(self, branch: str) -> Keep | None:
        """Return the rules of a branch; None: all its commits stay."""
        return self.branches.get(branch, self.keep)
