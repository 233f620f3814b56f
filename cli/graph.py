"""Drawing a commit graph in text, a commit at a time: the lanes left of the log, as git draws them."""

from __future__ import annotations

from collections.abc import Sequence


class Lanes:
    """The columns that are open: each waits for a commit. Commits must come before their parents."""

    def __init__(self) -> None:
        self._lanes: list[str] = []

    def draw(self, commit: str, parents: Sequence[str], *, mark: str = "*") -> tuple[str, list[str]]:
        """Return the row of a commit, and the rows that lead from it to its parents."""
        if commit not in self._lanes:
            self._lanes.append(commit)
        at = self._lanes.index(commit)
        row = " ".join(mark if lane == at else "|" for lane in range(len(self._lanes)))
        links = [self._branch_off(at, parent) for parent in dict.fromkeys(parents[1:]) if parent != parents[0]]
        links += self._follow(at, parents[0]) if parents else self._end(at)
        return row, links

    def _branch_off(self, at: int, parent: str) -> str:
        """Lead to a further parent: to its lane, or to a new one at the right."""
        if parent in self._lanes:
            return self._link(at, self._lanes.index(parent))
        row = self._plain()
        for lane in range(at + 1, len(self._lanes)):
            row[2 * lane] = " "
        for lane in range(at, len(self._lanes)):
            row[2 * lane + 1] = "\\"
        self._lanes.insert(at + 1, parent)
        return _text(row)

    def _follow(self, at: int, parent: str) -> list[str]:
        """Let the lane go on to the first parent, joining the lane that waits for it already."""
        if parent not in self._lanes:
            self._lanes[at] = parent
            return []
        left, right = sorted((at, self._lanes.index(parent)))
        row = self._plain()
        _cross(row, left, right)
        self._close(row, right)
        row[2 * right - 1] = "/"
        self._lanes[left] = parent
        return [_text(row)]

    def _end(self, at: int) -> list[str]:
        row = self._plain()
        self._close(row, at)
        return [_text(row)] if at < len(self._lanes) else []

    def _link(self, at: int, to: int) -> str:
        row = self._plain()
        _cross(row, *sorted((at, to)))
        row[2 * at + (1 if to > at else -1)] = "\\" if to > at else "/"
        return _text(row)

    def _close(self, row: list[str], at: int) -> None:
        """Take a lane away; those at its right move one to the left."""
        row[2 * at] = " "
        for lane in range(at + 1, len(self._lanes)):
            row[2 * lane], row[2 * lane - 1] = " ", "/"
        del self._lanes[at]

    def _plain(self) -> list[str]:
        return ["|", " "] * len(self._lanes)


def _cross(row: list[str], left: int, right: int) -> None:
    """Draw a line from lane to lane below those between."""
    if right - left > 1:
        for lane in range(left, right):
            row[2 * lane + 1] = "_"


def _text(row: list[str]) -> str:
    return "".join(row).rstrip()
