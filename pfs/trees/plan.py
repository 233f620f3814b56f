"""Edits by directory, as they are applied: what each directory starts from, then its files, then those below."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from msgspec import Struct, field

from pfs.trees.edits import Delete, DeleteTree, Edit, Graft, Put, check_edit, puts_of
from pfs.trees.put_rows import PutRows


class Plan(Struct):
    """The edits of one directory: what it starts from, then its direct files, then its directories."""

    base: DeleteTree | Graft | None = None
    files: dict[bytes, Put | Delete] = field(default_factory=dict)
    folders: dict[bytes, Plan] = field(default_factory=dict)
    rows: list[PutRows] = field(default_factory=list)
    """Files too, of which none is in ``files``."""

    def add(self, one: Edit) -> Plan | None:
        """Take in one edit of the root directory; return the plan of the directory that it is of, if of one file."""
        check_edit(one)
        if isinstance(one, DeleteTree | Graft) and not one.key:
            self.base, self.files, self.folders, self.rows = one, {}, {}, []
            return None
        *steps, last = (one.key + b"/" if one.key and isinstance(one, PutRows) else one.key).split(b"/")
        plan = self
        for step in steps:
            cleared = plan.base if isinstance(plan.base, DeleteTree) else None
            plan = plan.folders.setdefault(step + b"/", Plan(cleared))
        if isinstance(one, Put | Delete):
            plan.set(last, one)
            return plan
        if isinstance(one, PutRows):
            plan.set_rows(one)
            return None
        plan.folders[last + b"/"] = Plan(one)
        return None

    def set(self, name: bytes, one: Put | Delete) -> None:
        """Take in an edit of a file of this directory."""
        if self.rows and any(rows.has(name) for rows in self.rows):
            self.spread()
        self.files[name] = one

    def set_rows(self, rows: PutRows) -> None:
        """Take in files of this directory."""
        apart = all(one.names[-1] < rows.names[0] or rows.names[-1] < one.names[0] for one in self.rows)
        again = not apart or (bool(self.files) and any(name in self.files for name in rows.names))
        if again:
            self.spread()
        self.rows.append(rows)
        if again:
            self.spread()

    def spread(self) -> None:
        """Make each row an edit of its own."""
        for rows in self.rows:
            self.files.update(zip(rows.names, puts_of(rows), strict=True))
        self.rows = []

    def names(self) -> list[bytes]:
        """Return the direct children that are touched, in row order."""
        return sorted([*self.files, *self.folders])

    def writes(self) -> Iterator[bytes]:
        """Yield the keys that are put or grafted here and below."""
        plans = [self]
        while plans:
            plan = plans.pop()
            if isinstance(plan.base, Graft):
                yield plan.base.key
            yield from (one.key for one in plan.files.values() if isinstance(one, Put))
            yield from (rows.key_of(name) for rows in plan.rows for name in rows.names)
            plans += plan.folders.values()


def planned(edits: Sequence[Edit]) -> Plan:
    """Return the edits by directory; those of one directory mostly come one after the other."""
    plan = Plan()
    head, folder = b"", None
    for one in edits:
        at = one.key.rfind(b"/") + 1
        if folder is None or one.key[:at] != head or not isinstance(one, Put | Delete):
            head, folder = one.key[:at], plan.add(one)
        else:
            check_edit(one)
            folder.set(one.key[at:], one)
    return plan
