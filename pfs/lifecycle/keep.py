"""Which commits of one branch its retention rules keep; pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from pfs.ids import CommitId
from pfs.refs.retention import Keep

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NS = 1_000_000_000


class Dated(NamedTuple):
    """A commit and when it was finished, ns since 1970."""

    id: CommitId
    finished_ns: int


def kept(chain: Sequence[Dated], keep: Keep, *, now_ns: int) -> set[CommitId]:
    """Return what stays of a branch's first-parent ``chain``, given head first; the head always does.

    Of a day, week or month the commit that stays is the one nearest to the head, whatever clocks said. O(chain).
    """
    stay = {commit.id for commit in chain[: max(keep.last, 1)]}
    if keep.seconds:
        oldest_ns = now_ns - keep.seconds * _NS
        stay.update(commit.id for commit in chain if commit.finished_ns >= oldest_ns)
    for count, period in ((keep.daily, _day), (keep.weekly, _week), (keep.monthly, _month)):
        stay.update(_first_of_each(chain, count, period))
    return stay


def _first_of_each(chain: Sequence[Dated], count: int, period: Callable[[int], str]) -> Iterable[CommitId]:
    found: dict[str, CommitId] = {}
    for commit in chain if count else ():
        name = period(commit.finished_ns)
        if name not in found:
            if len(found) == count:
                break
            found[name] = commit.id
    return found.values()


def _day(at_ns: int) -> str:
    return _moment(at_ns).strftime("%Y-%m-%d")


def _week(at_ns: int) -> str:
    return _moment(at_ns).strftime("%G-%V")


def _month(at_ns: int) -> str:
    return _moment(at_ns).strftime("%Y-%m")


def _moment(at_ns: int) -> datetime:
    return _EPOCH + timedelta(microseconds=at_ns // 1000)
